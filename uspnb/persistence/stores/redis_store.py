"""A store on a Redis server, for many tenants on many machines."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qs, urlsplit

import redis
from redis.backoff import EqualJitterBackoff, NoBackoff
from redis.retry import Retry

from ...errors import DomainError, IntegrityError
from ...runtime.arguments import check_number, check_whole
from ...runtime.credentials import is_loopback
from .base import (
    ClosingStore,
    ConflictError,
    Keys,
    Stored,
    StoreUnavailableError,
    Value,
    Versions,
    Write,
    checked_key,
    checked_prefix,
    checked_value,
    checked_version,
    checked_writes,
)

USER, PASSWORD = "USPNB_STORE_USER", "USPNB_STORE_PASSWORD"
SCHEMES = ("redis", "rediss", "unix")
ADDRESS_OPTIONS = ("db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0
STAGED_S = 3600  # after that the server forgets values that were sent ahead by a writer that has ended since
PIPELINE_BYTES = 128 << 20  # what one round trip may send: far below a server's own bound of 1 GiB per client
SCAN_COUNT = 1000
READ_BYTES = 1 << 20

_Answer = TypeVar("_Answer")
_FlatWrite = tuple[str, bytes | memoryview, int]
_Outcomes = list[tuple[bool, int]]  # whether the write won, and the version that is there now
_Answers = list[Any]
_Command = tuple[Any, ...]
_LOST = (redis.ConnectionError, redis.TimeoutError)

# Every change is conditional, so that a command which the server reads late, after it was sent again, changes nothing.
# A value does not pass through Lua, which would cost the server four times as much: it is staged under a name of its
# own, and the script moves it to its place.  All scripts of one call are one transaction, however many round trips the
# values take before.  KEYS: the entry, the staged hash, the counter of versions.  ARGV: the version that the entry must
# have, the mark of this write.  A write that is sent again because its answer was lost finds its own mark and is not
# made twice.
_WRITE = """
local held = redis.call('HMGET', KEYS[1], 'version', 'mark')
local version = tonumber(held[1] or 0)
local mine = held[2] == ARGV[2]
if mine or version ~= tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[2])
  return {mine and 1 or 0, version}
end
if redis.call('EXISTS', KEYS[2]) == 0 then return redis.error_reply('ERR the value was not taken in') end
local made = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[2], 'version', made, 'mark', ARGV[2])
redis.call('PERSIST', KEYS[2])
redis.call('RENAME', KEYS[2], KEYS[1])
return {1, made}
"""
# KEYS: the entry.  ARGV: the version to remove.  Returns the version that is there now, 0 for none.
_DELETE = """
local version = redis.call('HGET', KEYS[1], 'version')
if version == ARGV[1] then redis.call('DEL', KEYS[1]) return 0 end
return tonumber(version or 0)
"""


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
    unknown = [name for name in parse_qs(parts.query, keep_blank_values=True) if name not in ADDRESS_OPTIONS]
    if unknown or parts.fragment:
        raise DomainError(f"the address of the store has an option that is not one of {', '.join(ADDRESS_OPTIONS)}")
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


class RedisStore(ClosingStore):
    """A `Store` on one Redis server (6 or newer; no cluster).

    An entry is a hash of version, value and the mark of its last write; entries of a namespace share one counter of
    versions.  A lost connection is tried again after growing waits, and a write that was sent twice is made once.
    While the server stays lost, further calls ask once and do not wait, so that a compute loop goes on.

    What the server acknowledges outlives its own end only as its `appendonly` and `appendfsync` say: "yes" and
    "always" for nothing lost.

    Args:
        url: `redis://host:port/db`, `rediss://` for TLS, `unix:///path`; user and password come from
            `USPNB_STORE_USER` and `USPNB_STORE_PASSWORD`.
        namespace: beginning of the names of everything that this store writes to the server.
        timeout_s: how long to wait for a connection or an answer [s].
        retries: further attempts where a connection is lost, after waits from 0.1 s, doubled up to 1 s.

    Raises:
        DomainError: an address or option that cannot be used.  The server itself is first asked by the first call.
    """

    def __init__(self, url: str, *, namespace: str = "uspnb", timeout_s: float = 5.0, retries: int = 6) -> None:
        self._address = redis_address(url)
        if not checked_prefix(namespace) or len(namespace) > 100 or ":" in namespace:
            raise DomainError(f"namespace = {namespace!r} must have 1 to 100 characters and no colon")
        timeout_s = check_number("timeout_s", timeout_s, above=0, unit="seconds")
        retries = check_whole("retries", retries, 0)
        self.namespace = namespace
        self._entries, self._staged = f"{namespace}:entry:".encode(), f"{namespace}:staged:".encode()
        self._counter = f"{namespace}:version".encode()
        self._marks = (f"{uuid.uuid4().hex}:{number}".encode() for number in itertools.count())
        self._marks_lock = threading.Lock()
        backoff = EqualJitterBackoff(cap=LONGEST_WAIT_S, base=FIRST_WAIT_S)
        self._patient, self._once = Retry(backoff, retries, _LOST), Retry(NoBackoff(), 0, _LOST)
        self._lost = self._closed = False
        self._client = redis.Redis.from_url(
            self._address.url,
            username=self._address.user or None,
            password=self._address.password or None,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            socket_read_size=READ_BYTES,
            retry=Retry(NoBackoff(), 0),  # attempts are counted here, over whole operations
        )

    def __repr__(self) -> str:
        return f"RedisStore({self._address.name!r}, namespace={self.namespace!r})"

    def get_many(self, keys: Sequence[str]) -> Sequence[Stored | None]:
        """See `Store.get_many`.

        Raises:
            IntegrityError: something else than this class wrote the entry.
        """
        names = [self._name(key) for key in keys]
        answers = self._ask(lambda: self._pipeline([("HMGET", name, "version", "value") for name in names]))
        return [_stored(key, *answer) for key, answer in zip(keys, answers, strict=True)]

    def put(self, key: str, value: Value) -> int:
        """See `Store.put`."""
        name, flat = self._name(key), checked_value(value)
        current = int(self._ask(lambda: self._client.hget(name, "version")) or 0)
        while True:
            ((won, current),) = self._write([(key, flat, current)])
            if won:
                return current

    def delete(self, key: str) -> bool:
        """See `Store.delete`."""
        name = self._name(key)
        first = version = int(self._ask(lambda: self._client.hget(name, "version")) or 0)
        while version:
            command = ("EVAL", _DELETE, 1, name, version)
            (version,) = self._ask(partial(self._pipeline, [command]))
        return first > 0

    def list(self, prefix: str = "") -> Keys:
        """See `Store.list`; keys that are written or removed meanwhile may be in it or not."""
        pattern = _literal(self._entries + checked_prefix(prefix).encode()) + b"*"
        names = self._ask(lambda: set(self._client.scan_iter(match=pattern, count=SCAN_COUNT)))
        return sorted(name[len(self._entries) :].decode() for name in names)

    def compare_and_set(self, key: str, value: Value, version: int) -> int:
        """See `Store.compare_and_set`."""
        ((won, current),) = self._write([(checked_key(key), checked_value(value), checked_version(version))])
        if not won:
            raise ConflictError(key, version, current)
        return current

    def set_many(self, writes: Sequence[Write]) -> Versions:
        """See `Store.set_many`; one transaction, with a round trip before it for each 128 MiB beyond the first.

        Until then the server holds the new values beside the old ones.
        """
        return [version if won else None for won, version in self._write(checked_writes(writes))]

    def close(self) -> None:
        """See `Store.close`."""
        self._closed = True
        self._client.close()

    def _name(self, key: str) -> bytes:
        return self._entries + checked_key(key).encode()

    def _write(self, writes: Sequence[_FlatWrite]) -> _Outcomes:
        """Make all writes at one moment: a reader, or who starts after a kill, finds all of them or none."""
        with self._marks_lock:
            marks = list(itertools.islice(self._marks, len(writes)))
        staged = [self._staged + mark for mark in marks]
        pieces = list(_pieces(zip(staged, (value for _, value, _ in writes), strict=True)))
        for piece in pieces[:-1]:
            ahead = [command for put in piece for command in (put, ("EXPIRE", put[1], STAGED_S))]
            self._ask(lambda commands=ahead: self._pipeline(commands))
        moves = [
            ("EVAL", _WRITE, 3, self._name(key), name, self._counter, version, mark)
            for (key, _, version), name, mark in zip(writes, staged, marks, strict=True)
        ]
        commands = [*(pieces[-1] if pieces else ()), *moves]
        answers = self._ask(lambda: self._pipeline(commands, together=True)) if moves else []
        return [(bool(won), int(version)) for won, version in answers[len(commands) - len(moves) :]]

    def _pipeline(self, commands: Sequence[_Command], *, together: bool = False) -> _Answers:
        """The answers to commands of one round trip; `together` makes them one transaction, forced to disk once."""
        pipeline = self._client.pipeline(transaction=together)
        for command in commands:
            pipeline.execute_command(*command)
        answers = pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _ask(self, ask: Callable[[], _Answer]) -> _Answer:
        """What the server answers, after as many attempts as are due."""
        if self._closed:
            raise DomainError(f"the store {self._address.name} was closed; open it again")
        retry = self._once if self._lost else self._patient
        try:
            with self._translate_refusals():
                answer = retry.call_with_retry(lambda: self._attempt(ask), lambda _error: None)
        except _LOST as error:
            self._lost = True
            problem = self._address.hide(f"{type(error).__name__}: {error}")
            raise StoreUnavailableError(f"{self._address.name} cannot be reached ({problem})") from None
        self._lost = False
        return answer

    def _attempt(self, ask: Callable[[], _Answer]) -> _Answer:
        try:
            return ask()
        except redis.AuthenticationError:
            # redis-py counts it among lost connections; asking again would not help.
            raise StoreUnavailableError(
                f"{self._address.name} does not accept the credentials; check {PASSWORD}"
            ) from None

    @contextlib.contextmanager
    def _translate_refusals(self) -> Iterator[None]:
        """Errors that a server answers with (read-only, out of memory, disk full, no permission) as ours."""
        try:
            yield
        except _LOST:
            raise
        except redis.RedisError as error:
            # redis-py puts the command before the server's words, and with it stored bytes.
            problem = self._address.hide(str(error).rpartition(" caused error: ")[2])
            raise StoreUnavailableError(f"{self._address.name} refuses: {problem}") from None


def _stored(key: str, version: bytes | None, value: bytes | None) -> Stored | None:
    if version is None and value is None:
        return None
    if version is None or value is None or not version.isdigit():
        raise IntegrityError(f"the entry {key!r} was not written by a store; remove it, or use another namespace")
    return Stored(value, int(version))


def _pieces(values: Iterable[tuple[bytes, bytes | memoryview]]) -> Iterator[list[_Command]]:
    """Commands that stage values under names, in their order, cut where one round trip would send too much."""
    piece: list[_Command] = []
    size = 0
    for name, value in values:
        if piece and size + len(value) > PIPELINE_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(("HSET", name, "value", value))
        size += len(value)
    if piece:
        yield piece


def _literal(name: bytes) -> bytes:
    """A name as a pattern of SCAN that matches only itself."""
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\" else bytes([c]) for c in name)
