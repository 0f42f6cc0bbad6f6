"""What a msgpack body may look like, found out before anything is built from it.

A checksum says that bytes are the ones that were written, not that a friend wrote them.  msgpack's own limits bound
each container alone, so that a kilobyte of nested headers may still ask for gigabytes.  This walk over the headers
bounds the whole: it holds one count per open container and nothing else.
"""

from __future__ import annotations

from ...errors import IntegrityError

MAX_ITEMS = 200_000
MAX_DEPTH = 16
MAX_TEXT_BYTES = 1 << 20

_NUMBER, _MAP, _ARRAY, _TEXT, _BINARY, _REFUSED = range(6)


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
