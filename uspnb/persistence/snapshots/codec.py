"""The file format of snapshots, dumps and stored states: a header, a msgpack body, a checksum or a seal.

Layout, all integers little-endian:

    bytes 0 to 7     magic, which says what kind of file it is
    byte 8           format version: 1 with a checksum, 2 with a seal
    byte 9           compression of the body: 0 none, 1 zstd
    bytes 10 to 17   length of the body before compression
    then             the body
    last 64 bytes    SHA-256 of everything before, in hexadecimal digits; of a sealed file HMAC-SHA256 (RFC 2104)

A checksum finds damage.  Where `USPNB_INTEGRITY_KEY` is in the environment, what is written is sealed with that key,
and what has no seal of it is refused: only who holds the key can have written it.

No pickle and no extension types: an array is a map of "dtype", "shape" and "data".  Nothing is unpacked before the
checksum has been verified, nothing is inflated before its length is known, and nothing is built before the body's
structure has been found to be bounded.
"""

from __future__ import annotations

import hmac
import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgpack
import numpy as np
import zstandard

from ...errors import DomainError, IntegrityError
from ...runtime.credentials import INTEGRITY_KEY, integrity_key, sealed

MAGIC = {"snapshot": b"USPNBSNP", "fleet": b"USPNBFLT", "dump": b"USPNBDMP", "state": b"USPNBSTA"}
MAGIC_BYTES = 8
FORMAT_VERSION, SEALED_VERSION = 1, 2
COMPRESSIONS = ("none", "zstd")
MAX_BYTES = 256 << 20
MAX_FLEET_BYTES = 4 << 30  # 65,000 states of 64 KiB
MAX_ITEMS = 200_000
MAX_DEPTH = 16
MAX_TEXT_BYTES = 1 << 20
DTYPES = ("bool", "int32", "int64", "uint32", "float32", "float64")
MAX_DIMENSIONS = 8

_HEADER = struct.Struct("<8sBBQ")
_CHECKSUM_BYTES = 64
_ARRAY_KEYS = frozenset(("dtype", "shape", "data"))
_ZSTD_LEVEL = 3
_AS_THEY_ARE = frozenset((bool, float, bytes, bytearray, memoryview, type(None)))
# Little-endian dtypes, whose bytes are stored as they are; of a dtype the name itself takes a microsecond.
_DTYPE_NAMES = {np.dtype(name).newbyteorder("<"): name for name in DTYPES}
_NUMBER, _MAP, _ARRAY, _TEXT, _BINARY, _REFUSED = range(6)


class Header(NamedTuple):
    """What the first bytes of a file say: its kind, its format version, compression, and the body's length [bytes]."""

    kind: str
    version: int
    compression: str
    body_bytes: int


def encode(payload: Mapping[str, Any], compression: str = "none", *, kind: str = "snapshot") -> bytes:
    """The bytes of a file that holds `payload`.

    Args:
        payload: maps with keys of text, lists, tuples, text, bytes, numbers, booleans, None, and NumPy arrays of a
            dtype in `DTYPES`.  Tuples come back as lists, NumPy scalars as arrays without dimensions.  A map of exactly
            "dtype", "shape" and "data" is taken for an array, so no other map may have just these keys.
        compression: "none" or "zstd".
        kind: what the magic says: "snapshot", "fleet", "dump" or "state".

    Returns:
        Header, body and checksum; `decode` gives the payload back, arrays bit for bit.

    Raises:
        DomainError: something in the payload has no place in the format, or it is larger than `MAX_BYTES`, a fleet's
            larger than `MAX_FLEET_BYTES`.
    """
    if compression not in COMPRESSIONS:
        raise DomainError(f"compression = {compression!r} is not one of {', '.join(map(repr, COMPRESSIONS))}")
    if kind not in MAGIC:
        raise DomainError(f"kind = {kind!r} is not one of {', '.join(map(repr, MAGIC))}")
    try:
        # What was written must be readable: keys of text, depth, number of items are checked here, not at the restart.
        plain = _Plain().map_of(payload, 1)
        body = bytes(msgpack.packb(plain, use_bin_type=True, strict_types=True) or b"")
    except DomainError:
        raise
    except (TypeError, ValueError, OverflowError) as problem:
        raise DomainError(f"the payload cannot be written as a {kind}: {problem}") from problem
    key = integrity_key()
    version = FORMAT_VERSION if key is None else SEALED_VERSION
    header = _HEADER.pack(MAGIC[kind], version, COMPRESSIONS.index(compression), len(body))
    stored = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body) if compression == "zstd" else body
    if max(len(body), len(stored)) > most_body_bytes(kind):
        raise DomainError(f"the payload has {len(body)} bytes; a {kind} holds at most {most_body_bytes(kind)}")
    return b"".join((header, stored, sealed(header, stored, key=key).encode()))


def decode(data: bytes, *, kind: str | tuple[str, ...] = "snapshot") -> dict[str, Any]:
    """The payload that `encode` wrote; arrays are read-only NumPy arrays that share the memory of the body.

    Args:
        data: a whole file.
        kind: what the magic must say, or those that it may.

    Raises:
        IntegrityError: the bytes are damaged, cut, of another kind or format version, or not what `encode` writes.
    """
    header = read_header(data)
    wanted = (kind,) if isinstance(kind, str) else kind
    if header.kind not in wanted:
        raise IntegrityError(f"this is a {header.kind}, not a {' or a '.join(wanted)}")
    body: bytes | memoryview = memoryview(data)[_HEADER.size : -_CHECKSUM_BYTES]
    if header.compression == "zstd":
        body = _inflated(body, header.body_bytes)
    if len(body) != header.body_bytes:
        raise IntegrityError(f"the body has {len(body)} bytes; the header says {header.body_bytes}")
    check_structure(body)
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=True, object_pairs_hook=_from_pairs, max_ext_len=0)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as problem:
        raise IntegrityError(f"the body cannot be unpacked: {problem}") from problem


def read_header(data: bytes) -> Header:
    """What the header says, once length, magic, checksum, version and bounds have been verified.

    Raises:
        IntegrityError: one of them is wrong.
    """
    least = _HEADER.size + _CHECKSUM_BYTES
    if len(data) < least:
        raise IntegrityError(f"{len(data)} bytes are too few; header and checksum alone have {least}")
    if len(data) > most_file_bytes(data):
        raise IntegrityError(f"{len(data)} bytes are too many; a file holds at most {most_file_bytes(data)}")
    _, version, compression, body_bytes = _HEADER.unpack_from(data)
    kind = _kind_of(data)
    if kind is None:
        raise IntegrityError("the first bytes are not those of a snapshot, a dump or a stored state")
    key = integrity_key()
    if version == SEALED_VERSION and key is None:
        raise IntegrityError(f"it is sealed with a key; put the key into {INTEGRITY_KEY} to read it")
    computed = sealed(memoryview(data)[:-_CHECKSUM_BYTES], key=key if version == SEALED_VERSION else None).encode()
    if not hmac.compare_digest(computed, bytes(data[-_CHECKSUM_BYTES:])):
        also = f", or sealed with another key than {INTEGRITY_KEY}" if version == SEALED_VERSION else ""
        raise IntegrityError(f"the checksum does not match; the bytes are damaged or cut{also}")
    if version not in (FORMAT_VERSION, SEALED_VERSION):
        raise IntegrityError(f"format version {version} is unknown; this program reads version {FORMAT_VERSION}")
    if version == FORMAT_VERSION and key is not None:
        raise IntegrityError(
            f"it has a checksum but no seal, and {INTEGRITY_KEY} asks for one; to take it over, load it without the "
            "key and save it with the key"
        )
    if compression >= len(COMPRESSIONS):
        raise IntegrityError(f"compression {compression} is unknown; known are 0 (none) and 1 (zstd)")
    if body_bytes > most_body_bytes(kind):
        raise IntegrityError(f"the header says a body of {body_bytes} bytes; at most {most_body_bytes(kind)} are read")
    return Header(kind, version, COMPRESSIONS[compression], body_bytes)


def most_body_bytes(kind: str) -> int:
    """The longest body of a file of this kind, before compression and after [bytes]."""
    return MAX_FLEET_BYTES if kind == "fleet" else MAX_BYTES


def most_file_bytes(start: bytes) -> int:
    """The longest that a file with these first bytes may be [bytes]; its magic alone is looked at."""
    return most_body_bytes(_kind_of(start) or "") + _HEADER.size + _CHECKSUM_BYTES


def _kind_of(start: bytes) -> str | None:
    return next((kind for kind, magic in MAGIC.items() if start.startswith(magic)), None)


def checksum_of(data: bytes) -> str:
    """The checksum at the end of encoded bytes, 64 hexadecimal digits."""
    return data[-_CHECKSUM_BYTES:].decode("ascii", "replace")


def _inflated(body: memoryview, expected: int) -> bytes:
    try:
        # The frame's own claim is what the library would allocate, so it must be the header's, which is bounded.
        claimed = zstandard.frame_content_size(body)
        if claimed != expected:
            raise IntegrityError(f"the compressed body claims {claimed} bytes; the header says {expected}")
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=expected, allow_extra_data=False)
    except zstandard.ZstdError as problem:
        raise IntegrityError(f"the body cannot be inflated: {problem}") from problem


class _Plain:
    """Turns a payload into what msgpack knows by itself, within the bounds of `check_structure`.

    A pass of its own, and no callback of msgpack and walk over the bytes: snapshots are encoded beside the ticks, which
    wait for the interpreter meanwhile.
    """

    def __init__(self) -> None:
        self.items = 1

    def map_of(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        """A mapping at that depth, of 1 for the root."""
        self._count(2 * len(value), depth)
        made = {}
        for key, member in value.items():
            if type(key) is not str:
                raise DomainError(f"the key {key!r} is no text")
            _check_text(key)
            made[key] = self.value_of(member, depth)
        return made

    def value_of(self, value: Any, depth: int) -> Any:
        """A member of a container at that depth."""
        kind = type(value)
        if kind is np.ndarray:
            return self._array_of(value, depth + 1)
        if kind is str:
            _check_text(value)
            return value
        if kind in _AS_THEY_ARE or (kind is int and -(2**63) <= value < 2**64):
            return value
        if kind is list or isinstance(value, tuple):
            self._count(len(value), depth + 1)
            return [self.value_of(member, depth + 1) for member in value]
        if isinstance(value, Mapping):
            return self.map_of(value, depth + 1)
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array_of(np.asarray(value), depth + 1)
        if isinstance(value, float):
            return float(value)
        raise DomainError(f"a value of type {kind.__name__}; turn it into text, a number or an array first")

    def _array_of(self, array: np.ndarray, depth: int) -> dict[str, Any]:
        name = _DTYPE_NAMES.get(array.dtype) or array.dtype.name
        if name not in DTYPES:
            raise DomainError(f"an array of dtype {array.dtype}; the format holds {', '.join(DTYPES)}")
        if array.ndim > MAX_DIMENSIONS:
            raise DomainError(f"an array of {array.ndim} dimensions; the format holds at most {MAX_DIMENSIONS}")
        self._count(6 + array.ndim, depth + 1)
        if array.dtype not in _DTYPE_NAMES:
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        return {"dtype": name, "shape": list(array.shape), "data": array.tobytes()}

    def _count(self, members: int, depth: int) -> None:
        self.items += members
        if self.items > MAX_ITEMS or depth > MAX_DEPTH:
            raise DomainError(
                f"a container of {members} items at level {depth} passes a bound of the format: {MAX_ITEMS} items in "
                f"all, {MAX_DEPTH} levels"
            )


def _check_text(text: str) -> None:
    if 4 * len(text) > MAX_TEXT_BYTES and len(text.encode()) > MAX_TEXT_BYTES:
        raise DomainError(f"a text of {len(text)} letters passes the bound of {MAX_TEXT_BYTES} bytes")


def _from_pairs(pairs: list[tuple[str, Any]]) -> Any:
    """A map, or the array that a map of dtype, shape and data stands for."""
    parts = dict(pairs)
    if len(parts) != len(pairs):
        raise IntegrityError("a map names one key twice")
    return _array(parts) if parts.keys() == _ARRAY_KEYS else parts


def _array(parts: dict[str, Any]) -> np.ndarray:
    name, shape, data = parts["dtype"], parts["shape"], parts["data"]
    if name not in DTYPES or not isinstance(data, bytes):
        raise IntegrityError(f"an array of dtype {name!r}; the format holds {', '.join(DTYPES)} as binary data")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        raise IntegrityError(f"an array's shape is no list of at most {MAX_DIMENSIONS} lengths")
    if not all(type(length) is int and 0 <= length <= MAX_FLEET_BYTES for length in shape):
        raise IntegrityError(f"an array of shape {shape} has a length that is no count")
    dtype = np.dtype(name).newbyteorder("<")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise IntegrityError(f"an array of dtype {name} and shape {shape} cannot have {len(data)} bytes of data")
    if name == "bool" and data.strip(b"\x00\x01"):
        raise IntegrityError("an array of booleans holds a byte that is neither 0 nor 1")
    return np.frombuffer(data, dtype).reshape(shape)


def _kinds() -> list[tuple[int, int, int]]:
    """Per first byte: its kind, how many bytes of length follow it, and the length where the byte itself says it.

    The table is that of the msgpack specification (github.com/msgpack/msgpack, spec.md, section "Formats").
    """
    table = [(_REFUSED, 0, 0)] * 256
    for byte in (*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3):  # small integers, nil, false, true
        table[byte] = (_NUMBER, 0, 0)
    for low in range(16):
        table[0x80 + low] = (_MAP, 0, low)
        table[0x90 + low] = (_ARRAY, 0, low)
    for low in range(32):
        table[0xA0 + low] = (_TEXT, 0, low)
    for i, size in enumerate((1, 2, 4)):
        table[0xC4 + i] = (_BINARY, size, 0)
        table[0xD9 + i] = (_TEXT, size, 0)
    for i, size in enumerate((2, 4)):
        table[0xDC + i] = (_ARRAY, size, 0)
        table[0xDE + i] = (_MAP, size, 0)
    for first, sizes in ((0xCA, (4, 8)), (0xCC, (1, 2, 4, 8)), (0xD0, (1, 2, 4, 8))):  # float, unsigned, signed
        for i, size in enumerate(sizes):
            table[first + i] = (_NUMBER, 0, size)
    return table


_KINDS = _kinds()


def check_structure(data: bytes | memoryview) -> None:
    """Refuse a msgpack body that is no plain map of bounded size.

    A checksum says that bytes are the ones that were written, not that a friend wrote them.  msgpack's own limits bound
    each container alone, so that a kilobyte of nested headers may still ask for gigabytes.  This walk over the headers
    bounds the whole before anything is built from it; it holds one count per open container and nothing else.

    Plain means: one map at the root, keys of text, values of text, binary, numbers, booleans, nil, maps and arrays; no
    extension types (timestamps are one).  Bounded means at most `MAX_ITEMS` items in all, `MAX_DEPTH` levels, texts of
    at most `MAX_TEXT_BYTES`, and no length beyond the end of the data.

    Raises:
        IntegrityError: one of these does not hold; the message says which, and at which byte.
    """
    end = len(data)
    if not end or _KINDS[data[0]][0] != _MAP:
        raise IntegrityError("the body is not a map")
    position, items = 0, 1
    left, is_map = [1], [False]  # per open container: items still to come; of a map's items every other one is a key
    while left:
        if not left[-1]:
            left.pop()
            is_map.pop()
            continue
        if position >= end:
            raise IntegrityError(f"the body ends at byte {end}, before its last item")
        start = position
        kind, length_bytes, length = _KINDS[data[start]]
        position += 1
        if length_bytes:
            length = int.from_bytes(data[position : position + length_bytes], "big")
            position += length_bytes
        if kind != _TEXT and is_map[-1] and not left[-1] % 2:
            raise IntegrityError(f"a key that is no text, at byte {start} of the body")
        left[-1] -= 1
        if kind in (_MAP, _ARRAY):
            members = 2 * length if kind == _MAP else length
            items += members
            left.append(members)
            is_map.append(kind == _MAP)
            if items > MAX_ITEMS or members > end - position or len(left) > MAX_DEPTH + 1:
                raise IntegrityError(
                    f"a container of {members} items at byte {start} of the body passes a bound: {MAX_ITEMS} items in "
                    f"all, {MAX_DEPTH} levels, or the {end - position} bytes that are left"
                )
        elif kind == _REFUSED:
            raise IntegrityError(f"an extension or reserved type, 0x{data[start]:02x}, at byte {start} of the body")
        else:
            position += length
            if kind == _TEXT and length > MAX_TEXT_BYTES:
                raise IntegrityError(f"a text of {length} bytes at byte {start} passes the bound of {MAX_TEXT_BYTES}")
            if position > end:
                raise IntegrityError(f"an item of {length} bytes at byte {start} of the body ends after its end, {end}")
    if position != end:
        raise IntegrityError(f"{end - position} bytes follow the end of the body's map")
