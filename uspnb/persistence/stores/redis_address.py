"""The address of a Redis server and the credentials for it, which come from the environment only."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qs, urlsplit

from ...errors import DomainError
from ...runtime.credentials import is_loopback

USER, PASSWORD = "USPNB_STORE_USER", "USPNB_STORE_PASSWORD"
SCHEMES = ("redis", "rediss", "unix")
OPTIONS = ("db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclasses.dataclass(frozen=True)
class RedisAddress:
    """Where a server is.

    Attributes:
        url: as redis-py reads it; holds no credentials.
        name: what messages call it.
        user, password: from the environment, "" for none; they appear in no `repr`.
    """

    url: str
    name: str
    user: str = dataclasses.field(default="", repr=False)
    password: str = dataclasses.field(default="", repr=False)

    def hide(self, text: str) -> str:
        """The text without the password."""
        return text.replace(self.password, "[hidden]") if self.password else text


def redis_address(url: object, environment: Mapping[str, str] = os.environ) -> RedisAddress:
    """Read `redis://host:port/db`, `rediss://...` (TLS) or `unix:///path/of/socket`.

    Messages name no part of an address that might be a password.

    Raises:
        DomainError: no such address, one that holds credentials or an unknown option, a user without a password, or a
            password that would travel unencrypted to another machine.
    """
    if not isinstance(url, str):
        raise DomainError(f"an address is text, not a {type(url).__name__}")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise DomainError("the address of the store cannot be read; write it as redis://host:port/0") from None
    if "@" in parts.netloc or "@" in url.partition("?")[0]:
        raise DomainError(
            "the address of the store holds a user or a password, which would end up in logs; set "
            f"{PASSWORD} (and {USER}) in the environment instead"
        )
    if parts.scheme not in SCHEMES:
        raise DomainError(f"an address of a Redis server begins with {', '.join(f'{s}://' for s in SCHEMES)}")
    unknown = [name for name in parse_qs(parts.query, keep_blank_values=True) if name not in OPTIONS]
    if unknown or parts.fragment:
        raise DomainError(f"the address of the store has an option that is not one of {', '.join(OPTIONS)}")
    if parts.scheme == "unix":
        if parts.netloc or not parts.path:
            raise DomainError("write the path of a socket with three slashes, unix:///run/redis/redis.sock")
        name = f"unix://{parts.path}"
        plain = f"{name}?{parts.query}"
    else:
        name, plain = _network_name(parts, port), parts.geturl()
    user, password = (environment.get(variable, "") for variable in (USER, PASSWORD))
    if user and not password:
        raise DomainError(f"{USER} is set and {PASSWORD} is not; set both, or the password alone, or neither")
    if password and parts.scheme == "redis" and not is_loopback(parts.hostname or ""):
        raise DomainError(
            f"the password would travel unencrypted to {parts.hostname}; use rediss://, or unset {PASSWORD}"
        )
    return RedisAddress(plain, name, user, password)


def _network_name(parts: SplitResult, port: int | None) -> str:
    database = parts.path.strip("/")
    if not parts.hostname or port == 0 or not (database.isdecimal() or not database):
        raise DomainError("the address of the store names no host, or no number of a database: redis://host:port/0")
    return f"{parts.scheme}://{parts.hostname}:{port or 6379}/{database or 0}"
