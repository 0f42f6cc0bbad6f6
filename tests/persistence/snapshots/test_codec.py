"""The file format: what goes in comes out, what is damaged or hostile is refused within bounded memory."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
import zstandard
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uspnb.errors import DomainError, IntegrityError
from uspnb.persistence.snapshots import codec
from uspnb.persistence.snapshots.codec import (
    DTYPES,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT_BYTES,
    check_structure,
    decode,
    encode,
)

HEADER = struct.Struct("<8sBBQ")
MIB = 1 << 20

arrays = st.sampled_from(DTYPES).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
payloads = st.dictionaries(
    st.text(),
    st.recursive(
        scalars | arrays, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_size=6,
)


def file_of(body: bytes, *, compression: int = 0, length: int | None = None, version: int = 1) -> bytes:
    """A file whose checksum is right, whatever stands in it: the work of an enemy, not of chance."""
    start = HEADER.pack(b"USPNBSNP", version, compression, len(body) if length is None else length) + body
    return start + hashlib.sha256(start).hexdigest().encode()


def same(left: Any, right: Any) -> bool:
    """Equal to the bit, NaN included."""
    if isinstance(left, np.ndarray):
        return (
            isinstance(right, np.ndarray)
            and left.dtype == right.dtype
            and left.shape == right.shape
            and left.tobytes() == right.tobytes()
        )
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, float):
        return type(right) is float and struct.pack("<d", left) == struct.pack("<d", right)
    return type(left) is type(right) and left == right


@settings(max_examples=80)
@given(payloads, st.sampled_from(["none", "zstd"]))
def test_what_goes_in_comes_out(payload: dict[str, Any], compression: str) -> None:
    assert same(payload, decode(encode(payload, compression)))


def test_a_payload_of_a_file_is_plain_msgpack_after_the_header(payload: dict) -> None:
    # Another program can read it with nothing but the layout in the docstring and a msgpack library.
    data = encode(payload)
    magic, version, compression, length = HEADER.unpack_from(data)
    assert (magic, version, compression, length) == (b"USPNBSNP", 1, 0, len(data) - HEADER.size - 64)
    assert data[-64:].decode() == hashlib.sha256(data[:-64]).hexdigest()
    window = msgpack.unpackb(data[HEADER.size : -64])["global"][".frame.window"]
    assert np.array_equal(np.frombuffer(window["data"], "<f8"), payload["global"][".frame.window"])


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_every_truncation_is_refused(payload: dict, compression: str) -> None:
    data = encode(payload, compression)
    for length in range(len(data)):
        with pytest.raises(IntegrityError):
            decode(data[:length])


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_five_thousand_single_bit_flips_are_refused(payload: dict, compression: str) -> None:
    data = bytearray(encode(payload, compression))
    flips = np.random.default_rng(41).integers(0, 8 * len(data), 5_000)
    ends = np.r_[0 : 8 * HEADER.size, 8 * (len(data) - 64) : 8 * len(data)]  # header and checksum whole
    for place in np.r_[flips, ends].tolist():
        data[place // 8] ^= 1 << place % 8
        with pytest.raises(IntegrityError):
            decode(bytes(data))
        data[place // 8] ^= 1 << place % 8
    decode(bytes(data))  # it was the flips


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"a": {1: 2}}, "no text"),
        ({"a": object()}, "object"),
        ({"a": {1, 2}}, "set"),
        ({"a": 2**64}, "int"),
        ({"a": np.array(["text"])}, "dtype"),
        ({"a": np.zeros(2, np.complex128)}, "complex128"),
        ({"a": np.zeros((1,) * 9)}, "9 dimensions"),
        ({"a": np.array([None])}, "object"),
        ({"a": "x" * (MAX_TEXT_BYTES + 1)}, "text"),
        ({"a": "\ud800"}, "surrogates"),
        ({"a": [0] * MAX_ITEMS}, str(MAX_ITEMS)),
    ],
)
def test_what_the_format_cannot_hold_is_refused_when_written(payload: dict, reason: str) -> None:
    with pytest.raises(DomainError, match=reason):
        encode(payload)


def test_what_is_nested_too_deeply_is_refused_when_written() -> None:
    nested: Any = 0
    for _ in range(MAX_DEPTH):
        nested = [nested]
    with pytest.raises(DomainError, match="levels"):
        encode({"a": nested})
    with pytest.raises(DomainError, match="levels"):
        encode({"a": nested[0]} | {"b": nested})
    assert decode(encode({"a": nested[0]})) == {"a": nested[0]}


@pytest.mark.parametrize("depth", range(MAX_DEPTH - 4, MAX_DEPTH + 2))
@pytest.mark.parametrize("innermost", [0, [], {}, np.zeros(()), np.zeros(0, ">f8"), np.float32(1)])
def test_what_is_written_is_what_may_be_read(depth: int, innermost: Any) -> None:
    """`encode` counts levels before the body is there, `check_structure` in its bytes: both draw the same line."""
    nested = innermost
    for level in range(depth - 1):
        nested = [nested] if level % 2 else {"a": nested}
    array = {"dtype": "float64", "shape": list(np.shape(innermost)), "data": b""}
    plain: Any = array if isinstance(innermost, (np.ndarray, np.generic)) else innermost
    for level in range(depth - 1):
        plain = [plain] if level % 2 else {"a": plain}
    try:
        check_structure(msgpack.packb({"a": plain}) or b"")
    except IntegrityError:
        with pytest.raises(DomainError, match="levels"):
            encode({"a": nested})
    else:
        decode(encode({"a": nested}))


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(DomainError, match="gzip"):
        encode({}, "gzip")
    with pytest.raises(DomainError, match="letter"):
        encode({}, kind="letter")


def test_the_kind_is_part_of_the_file() -> None:
    data = encode({"a": 1}, kind="dump")
    assert decode(data, kind="dump") == {"a": 1}
    with pytest.raises(IntegrityError, match="a dump, not a snapshot"):
        decode(data)


def array_map(dtype: Any, shape: Any, data: Any) -> bytes:
    return msgpack.packb({"a": {"dtype": dtype, "shape": shape, "data": data}})  # type: ignore[return-value]


HOSTILE = {
    "no map": msgpack.packb([1, 2]),
    "nothing": b"",
    "a map that claims 2^32 - 1 members": b"\xdf\xff\xff\xff\xff",
    "an array that claims 2^32 - 1 members": b"\x81\xa1a\xdd\xff\xff\xff\xff",
    "binary that claims 4 GiB": b"\x81\xa1a\xc6\xff\xff\xff\xff",
    "text that claims 4 GiB": b"\x81\xa1a\xdb\xff\xff\xff\xff",
    "a thousand arrays, one in the other": b"\x81\xa1a" + b"\x91" * 1000 + b"\xc0",
    "many arrays that each claim what is left": b"\x81\xa1a" + b"\xdc\x40\x00" * 12 + b"\xc0" * 40_000,
    "millions of empty maps": b"\x81\xa1a\xdd" + (4_000_000).to_bytes(4, "big") + b"\x80" * 4_000_000,
    "a timestamp": b"\x81\xa1a\xd6\xff\x00\x00\x00\x00",
    "an extension type": b"\x81\xa1a\xc7\x04\x05abcd",
    "an extension type of 4 GiB": b"\x81\xa1a\xc9\xff\xff\xff\xff\x05",
    "the reserved byte": b"\x81\xa1a\xc1",
    "a key that is a number": msgpack.packb({1: 2}),
    "a key that is binary": msgpack.packb({b"a": 2}),
    "one key twice": b"\x82\xa1a\x01\xa1a\x02",
    "text that is not UTF-8": b"\x81\xa1a\xa1\xff",
    "bytes after the end": msgpack.packb({"a": 1}) + b"\x00",  # type: ignore[operator]
    "an array of objects": array_map("object", [1], b"\0" * 8),
    "an array of pickles": array_map("O", [1], b"\0" * 8),
    "an array of an array's dtype": array_map({"dtype": "int64", "shape": [2], "data": b"\0" * 16}, [1], b"\0" * 8),
    "an array of a list's dtype": array_map(["float64"], [1], b"\0" * 8),
    "a shape that overflows": array_map("float64", [2**28, 2**28, 2**28], b""),
    "a shape with a zero that overflows": array_map("float64", [0] + [2**28] * 5, b""),
    "a negative shape": array_map("float64", [-1, -1], b"\0" * 8),
    "a shape of booleans": array_map("float64", [True], b"\0" * 8),
    "a shape of numbers with a point": array_map("float64", [1.0], b"\0" * 8),
    "a shape of too many lengths": array_map("float64", [1] * 40, b"\0" * 8),
    "a shape that is text": array_map("float64", "1", b"\0" * 8),
    "too little data": array_map("float64", [2], b"\0" * 15),
    "too much data": array_map("float64", [2], b"\0" * 17),
    "data that is text": array_map("float64", [1], "12345678"),
    "booleans that are neither": array_map("bool", [2], b"\x00\x02"),
}


def refused_within(data: bytes, most: float, name: str = "") -> None:
    """See that a file is refused and how much memory that takes at its peak [bytes]."""
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError):
            decode(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most, name


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_is_refused_within_bounded_memory(body: bytes) -> None:
    # Nothing grows with what the headers claim; 1 MiB covers the interpreter's own objects and the message.
    refused_within(file_of(body), MIB)


def test_memory_grows_with_the_items_that_there_are() -> None:
    # Empty maps cost most for one byte: 64 bytes each and 8 in the list.  So MAX_ITEMS of them stay below 32 MiB.
    items = MAX_ITEMS // 10
    body = b"\x81\xa1a\xdd" + items.to_bytes(4, "big") + b"\x80" * items
    tracemalloc.start()
    try:
        assert len(decode(file_of(body))["a"]) == items
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3.2 * MIB


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = zstd(bytes(64 * MIB))
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 * MIB))
    honest = zstd(msgpack.packb({"a": 1}))  # type: ignore[arg-type]
    files = {
        "claims little": file_of(bomb, compression=1, length=100),
        "claims more than is read": file_of(bomb, compression=1, length=MAX_BYTES + 1),
        "claims 2^64 - 1": file_of(bomb, compression=1, length=2**64 - 1),
        "frame without a size": file_of(unsized, compression=1, length=64 * MIB),
        "two frames": file_of(honest + bomb, compression=1, length=4),
        "no frame": file_of(b"nothing", compression=1, length=7),
        "cut frame": file_of(bomb[:100], compression=1, length=64 * MIB - 1),
        "compressed but says not": file_of(bomb, length=len(bomb)),
    }
    for name, data in files.items():
        refused_within(data, MIB, name)


def test_a_fleet_may_be_larger_than_one_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_BYTES", 1000)
    monkeypatch.setattr(codec, "MAX_FLEET_BYTES", 4000)
    payload = {"states": np.arange(250, dtype=np.float64)}
    with pytest.raises(DomainError, match="a snapshot holds at most 1000"):
        encode(payload)
    data = encode(payload, kind="fleet")
    assert same(payload, decode(data, kind=("snapshot", "fleet")))
    with pytest.raises(IntegrityError, match="a fleet, not a snapshot"):
        decode(data)
    with pytest.raises(IntegrityError, match="a fleet, not a dump or a state"):
        decode(data, kind=("dump", "state"))
    with pytest.raises(DomainError, match="a fleet holds at most 4000"):
        encode({"states": np.zeros(501)}, kind="fleet")
    claims = b"USPNBFLT" + file_of(b"\x80", length=4001)[8:-64]
    with pytest.raises(IntegrityError, match="at most 4000 are read"):
        decode(claims + hashlib.sha256(claims).hexdigest().encode(), kind="fleet")


def test_versions_and_compressions_of_the_future_are_refused_by_name() -> None:
    body = bytes(msgpack.packb({"a": 1}))  # type: ignore[arg-type]
    with pytest.raises(IntegrityError, match="format version 3"):
        decode(file_of(body, version=3))
    with pytest.raises(IntegrityError, match="compression 7"):
        decode(file_of(body, compression=7))
    with pytest.raises(IntegrityError, match="header says"):
        decode(file_of(body, length=len(body) + 1))


class Pairs(list):
    """A map as msgpack's parser found it."""


def is_plain(value: Any, depth: int = 1) -> bool:
    """Whether what was parsed has only what the format allows."""
    if isinstance(value, msgpack.ExtType | msgpack.Timestamp) or (isinstance(value, list) and depth > MAX_DEPTH):
        return False
    if isinstance(value, Pairs):
        return all(isinstance(key, str) and is_plain(member, depth + 1) for key, member in value)
    return not isinstance(value, list) or all(is_plain(member, depth + 1) for member in value)


# Mostly what the format allows, sometimes a key or a type that it does not; then one byte is changed, or none.
keys = st.text(max_size=3) | st.text("ab") | st.text(max_size=40) | st.sampled_from([b"a", 7])
foreign = st.sampled_from([msgpack.ExtType(5, b"x"), msgpack.ExtType(5, b"xyz"), msgpack.Timestamp(1)])
members = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=40) | st.binary(max_size=4) | foreign,
    lambda inner: st.lists(inner, max_size=18) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
bodies = st.dictionaries(keys, members, max_size=3).map(msgpack.packb)


@settings(max_examples=250)
@given(bodies, st.none() | st.tuples(st.integers(0, 60), st.integers(0, 255)))
def test_the_walk_agrees_with_the_parser_of_msgpack(body: bytes, change: tuple[int, int] | None) -> None:
    # The authority: a body passes if and only if the library parses it to a map of what the format allows.
    if change is not None:
        place = change[0] % len(body)
        body = body[:place] + bytes([change[1]]) + body[place + 1 :]
    try:
        parsed = msgpack.unpackb(
            body, strict_map_key=False, object_pairs_hook=Pairs, unicode_errors="surrogateescape", timestamp=0
        )
        expected = isinstance(parsed, Pairs) and is_plain(parsed)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException):
        expected = False
    try:
        check_structure(body)
        passed = True
    except IntegrityError:
        passed = False
    event(f"passed: {passed}, changed: {change is not None}")
    assert passed == expected


@settings(max_examples=200)
@given(st.data())
def test_a_mutated_file_with_a_right_checksum_raises_nothing_else(payload: dict, data: st.DataObject) -> None:
    body = bytearray(encode(payload)[HEADER.size : -64])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert", "copy"]))
        if kind == "set":
            body[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del body[at : at + data.draw(st.integers(1, 300))]
        elif kind == "insert":
            body[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            body[at:at] = body[at // 2 : at // 2 + 50]
        if not body:
            body += b"\x80"
    try:
        assert isinstance(decode(file_of(bytes(body))), dict)
    except IntegrityError as refused:
        assert str(refused)
