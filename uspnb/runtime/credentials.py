"""Secrets, from the environment only: what a network source may tell a server, and the key of seals."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import ipaddress
import os
from collections.abc import Collection, Mapping
from urllib.parse import SplitResult, urlsplit

from ..errors import DomainError

TOKEN, USER, PASSWORD = "USPNB_SOURCE_TOKEN", "USPNB_SOURCE_USER", "USPNB_SOURCE_PASSWORD"
# Who holds the key may write what the others can only read.
INTEGRITY_KEY = "USPNB_INTEGRITY_KEY"
LEAST_KEY_BYTES = 16
SCHEMES = ("ws", "wss", "http", "https")


@dataclasses.dataclass(frozen=True)
class Credentials:
    """The `Authorization` header, which appears in no `repr`, and the secrets that no message may hold."""

    header: str | None = dataclasses.field(default=None, repr=False)
    secrets: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    def hide(self, text: str) -> str:
        """The text without the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "[hidden]")
        return text


def read_credentials(address: SplitResult, environment: Mapping[str, str] = os.environ) -> Credentials:
    """Credentials for an address: a bearer token, else user and password, else none.

    Raises:
        DomainError: a user without a password, a value that no header carries, or an address to which they would
            travel unencrypted.
    """
    token, user, password = (environment.get(name, "") for name in (TOKEN, USER, PASSWORD))
    if not token and not user and not password:
        return Credentials()
    if not token and not (user and password):
        raise DomainError(f"{USER} and {PASSWORD} must both be set, or {TOKEN}, or none of them")
    if address.scheme in ("ws", "http") and not is_loopback(address.hostname or ""):
        secure = {"ws": "wss", "http": "https"}[address.scheme]
        raise DomainError(
            f"credentials would travel unencrypted to {address.hostname}; use {secure}://, or unset {TOKEN}, {USER} "
            f"and {PASSWORD}"
        )
    if token:
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise DomainError(f"{TOKEN} holds a space, an end of line or a letter that no header carries")
        return Credentials(f"Bearer {token}", (token,))
    if ":" in user:
        raise DomainError(f"{USER} holds a colon, which basic authentication does not allow")
    packed = base64.b64encode(f"{user}:{password}".encode()).decode()
    return Credentials(f"Basic {packed}", (packed, password))


def checked_address(url: object) -> SplitResult:
    """The parts of an address of a network source.

    Raises:
        DomainError: no ws, wss, http or https address with a host, or one with a user or a password in it.
    """
    if not isinstance(url, str):
        raise DomainError(f"an address is text, not a {type(url).__name__}")
    try:
        address = urlsplit(url.strip())
        port = address.port
    except ValueError:
        raise DomainError("the address cannot be read; write it as ws://host:port/path") from None
    if address.username is not None or address.password is not None or "@" in address.netloc:
        raise DomainError(
            f"the address of {address.hostname} holds a user or a password, which would end up in logs and results; "
            f"set {TOKEN}, or {USER} and {PASSWORD}, in the environment instead"
        )
    if address.scheme not in SCHEMES or not address.hostname or port == 0:
        raise DomainError(f"an address begins with {', '.join(f'{s}://' for s in SCHEMES)} and names a host")
    return address


def public_name(address: SplitResult) -> str:
    """The address without its query, in which keys are often passed."""
    return f"{address.scheme}://{address.netloc}{address.path}"


def is_loopback(host: str) -> bool:
    """Whether a host name stands for this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_addressed(header: str, names: Collection[str] = ()) -> bool:
    """Whether the header Host of a request names this machine's loopback or one of some names.

    A browser sends there the name that its page was loaded under, so that a page of another name, which its owner has
    let point to this machine, cannot read a server that refuses all but its own.

    Args:
        header: what the request says, HOST or HOST:PORT.
        names: names of hosts in lower case, without a port.
    """
    try:
        host = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    return is_loopback(host) or host in names


def integrity_key(environment: Mapping[str, str] = os.environ) -> bytes | None:
    """The secret that snapshots and the audit log are sealed with, None where there is none.

    Raises:
        DomainError: it is shorter than can be called a secret.
    """
    key = environment.get(INTEGRITY_KEY, "").encode("utf-8", "surrogateescape")
    if 0 < len(key) < LEAST_KEY_BYTES:
        raise DomainError(
            f"{INTEGRITY_KEY} has {len(key)} bytes and needs {LEAST_KEY_BYTES} or more; make one: openssl rand -hex 32"
        )
    return key or None


def sealed(*parts: bytes | memoryview, key: bytes | None) -> str:
    """64 hexadecimal digits: HMAC-SHA256 (RFC 2104) of the parts with a key, SHA-256 without one."""
    digest = hashlib.sha256() if key is None else hmac.new(key, digestmod="sha256")
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
