"""The pieces of Avro's binary encoding that the generated records are made of.

Source: Avro 1.12 specification, "Binary Encoding". Ints and longs are zigzag varints; a length is a long; money is a decimal: bytes in
two's complement, big-endian, shortest. What reads never looks past what it is given without noticing in the end: a slice that is cut
short moves the position past the end, which whoever reads the last field compares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MAX_MONEY: Final = 10**20  # decimal(20,8) holds less than this, in units of 1e-8
BOOLEANS: Final = {0: False, 1: True}
from_bytes: Final = int.from_bytes


class _Varints(dict[int, bytes]):
    """Int -> zigzag varint; small ones are at hand, others computed. Raises `ValueError` outside `bits`."""

    def __init__(self, bits: int) -> None:
        super().__init__((n, _varint(n)) for n in range(-64, 8192))
        self._limit = 1 << (bits - 1)

    def __missing__(self, n: int) -> bytes:
        if not -self._limit <= n < self._limit:
            raise ValueError(f"{n} does not fit {self._limit.bit_length()} bits")
        return _varint(n)


# By number of bytes: the bits that say that another follows.
_MORE: Final = tuple(0x8080808080808080 & ((1 << 8 * max(0, size - 1)) - 1) for size in range(9))


def _varint(n: int) -> bytes:
    z = (n << 1) ^ (n >> 63)
    size = (z.bit_length() + 6) // 7
    if size <= 8:  # seven bits a byte, spread without a loop
        z = (z & 0x000000000FFFFFFF) | (z & 0x00FFFFFFF0000000) << 4
        z = (z & 0x00003FFF00003FFF) | (z & 0x0FFFC0000FFFC000) << 2
        z = (z & 0x007F007F007F007F) | (z & 0x3F803F803F803F80) << 1
        return (z | _MORE[size]).to_bytes(size or 1, "little")
    out = bytearray()
    while z > 127:
        out.append(z & 127 | 128)
        z >>= 7
    out.append(z)
    return bytes(out)


INTS: Final = _Varints(32)
LONGS: Final = _Varints(64)
LENGTHS: Final = LONGS


def str_(text: str) -> bytes:
    """A string with its length."""
    raw = text.encode()
    return LENGTHS[len(raw)] + raw


def bytes_(raw: bytes) -> bytes:
    """Bytes with their length."""
    return LENGTHS[len(raw)] + raw


def long(d: bytes, i: int) -> tuple[int, int]:
    """The long at `i`, and where it ends."""
    z = d[i]
    i += 1
    if z & 128:
        z &= 127
        shift = 7
        while True:
            b = d[i]
            i += 1
            z |= (b & 127) << shift
            if b < 128:
                break
            shift += 7
            if shift > 63:
                raise ValueError("a varint of more than ten bytes")
        if z >> 64:
            raise ValueError("a varint of more than 64 bits")
    return (z >> 1) ^ -(z & 1), i


def length(d: bytes, i: int) -> tuple[int, int]:
    """Twice the length whose first byte is before `i`, and where it ends: for what a single byte cannot hold."""
    n, i = long(d, i - 1)
    if n < 0:
        raise ValueError("a negative length")
    return n << 1, i


def time(value: int) -> bytes:
    """A long that is most often a time of our days in microseconds: eight bytes, spread without a loop."""
    if 0x1000000000000 <= value < 0x80000000000000:  # its zigzag has 50 to 56 bits
        x = value << 1
        x = (x & 0x000000000FFFFFFF) | (x & 0x00FFFFFFF0000000) << 4
        x = (x & 0x00003FFF00003FFF) | (x & 0x0FFFC0000FFFC000) << 2
        x = (x & 0x007F007F007F007F) | (x & 0x3F803F803F803F80) << 1
        return (x | 0x0080808080808080).to_bytes(8, "little")
    return LONGS[value]


def to_time(d: bytes, i: int) -> tuple[int, int]:
    """What `time` wrote at `i`, or any other long, and where it ends."""
    x = int.from_bytes(d[i : i + 8], "little")
    if x & 0x8080808080808080 == 0x0080808080808080:
        x &= 0x7F7F7F7F7F7F7F7F
        x = (x & 0x007F007F007F007F) | (x & 0x7F007F007F007F00) >> 1
        x = (x & 0x00003FFF00003FFF) | (x & 0x3FFF00003FFF0000) >> 2
        x = (x & 0x000000000FFFFFFF) | (x & 0x0FFFFFFF00000000) >> 4
        return (x >> 1) ^ -(x & 1), i + 8
    return long(d, i)


def money(value: int) -> bytes:
    """An int of 1e-8 with its length. Raises `ValueError` for what decimal(20,8) cannot hold."""
    if 0 <= value < MAX_MONEY:  # most often; with room for its sign an unsigned number is the same
        n = (value.bit_length() + 8) >> 3
        return _LENGTHS[n] + value.to_bytes(n, "big")
    if not -MAX_MONEY < value < 0:
        raise ValueError(f"{value} units of 1e-8 do not fit decimal(20,8)")
    n = ((~value).bit_length() + 8) >> 3
    return _LENGTHS[n] + value.to_bytes(n, "big", signed=True)


_LENGTHS: Final = tuple(bytes([2 * n]) for n in range(11))


class _Remembered(dict[int, bytes]):
    """Int -> its encoding. The same amounts and times pass many records on their way, and looking one up costs a tenth of making it.

    Starts anew when it is full, so that it is bounded. Raises what `make` raises.
    """

    __slots__ = ("_make",)
    MOST = 1 << 16

    def __init__(self, make: Callable[[int], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, value: int) -> bytes:
        if len(self) >= self.MOST:
            self.clear()
        found = self[value] = self._make(value)
        return found


class _Texts(dict[str, bytes]):
    """String -> its encoding, remembered like amounts are: ids, symbols and names pass several records in a row. Long ones are not kept."""

    __slots__ = ()
    MOST, LONGEST = 1 << 16, 64

    def __missing__(self, text: str) -> bytes:
        found = str_(text)
        if len(found) <= self.LONGEST:
            if len(self) >= self.MOST:
                self.clear()
            self[text] = found
        return found


TEXTS: Final = _Texts()
MONEY: Final = _Remembered(money)
TIMES: Final = _Remembered(time)


def to_money(raw: bytes) -> int:
    """The int of 1e-8 in a decimal's bytes. Raises `ValueError` for what decimal(20,8) cannot hold."""
    value = int.from_bytes(raw, "big", signed=True)
    if not -MAX_MONEY < value < MAX_MONEY:
        raise ValueError(f"a decimal of {len(raw)} bytes does not fit decimal(20,8)")
    return value
