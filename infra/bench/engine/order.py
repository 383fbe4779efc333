"""Typed records of the flow. Generated from `avro/` by `infra.bench.engine.generate`: do not edit.

Decimals are exact ints of 1e-8, timestamps ints of microseconds since the epoch (UTC). `body` and `read` are Avro's binary encoding of
each record, written out field by field.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, Final

import msgspec

from schemas.binary import (
    BOOLEANS,
    INTS,
    LENGTHS,
    LONGS,
    MAX_MONEY,
    MONEY,
    TEXTS,
    TIMES,
    bytes_,
    from_bytes,
    length,
    long,
    money,
    to_money,
    to_time,
)
from schemas.records import Record


class BenchSide(StrEnum):
    """Side."""

    BUY = "BUY"
    SELL = "SELL"


_BENCH_SIDE: Final = {
    BenchSide.BUY: b"\x00",
    BenchSide.SELL: b"\x02",
}
_BENCH_SIDE_AT: Final = {index[0]: symbol for symbol, index in _BENCH_SIDE.items()}


class BenchKind(StrEnum):
    """Kind."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"


_BENCH_KIND: Final = {
    BenchKind.MARKET: b"\x00",
    BenchKind.LIMIT: b"\x02",
    BenchKind.STOP: b"\x04",
}
_BENCH_KIND_AT: Final = {index[0]: symbol for symbol, index in _BENCH_KIND.items()}


class BenchTif(StrEnum):
    """Time in force."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


_BENCH_TIF: Final = {
    BenchTif.GTC: b"\x00",
    BenchTif.IOC: b"\x02",
    BenchTif.FOK: b"\x04",
}
_BENCH_TIF_AT: Final = {index[0]: symbol for symbol, index in _BENCH_TIF.items()}


class BenchOrder(Record, frozen=True, kw_only=True):
    """The 12-field order of the engines' bench. Key: user_id."""

    AVRO: ClassVar[str] = "bestex.BenchOrder"
    order_id: str
    user_id: str
    client_order_id: str
    symbol: str
    side: BenchSide
    type: BenchKind
    tif: BenchTif
    quantity: int
    price: int | None = None
    stop_price: int | None = None
    scheduled_at: int | None = None
    created_at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.order_id],
                TEXTS[self.user_id],
                TEXTS[self.client_order_id],
                TEXTS[self.symbol],
                _BENCH_SIDE[self.side],
                _BENCH_KIND[self.type],
                _BENCH_TIF[self.tif],
                LONGS[self.quantity],
                b"\0" if self.price is None else b"\2" + LONGS[self.price],
                b"\0" if self.stop_price is None else b"\2" + LONGS[self.stop_price],
                b"\0" if self.scheduled_at is None else b"\2" + LONGS[self.scheduled_at],
                LONGS[self.created_at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[BenchOrder, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        order_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        user_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        client_order_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        side = _BENCH_SIDE_AT[d[i]]
        i += 1
        type = _BENCH_KIND_AT[d[i]]
        i += 1
        tif = _BENCH_TIF_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n < 128:
            quantity = (n >> 1) ^ -(n & 1)
        else:
            quantity, i = long(d, i - 1)
        price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                price = (n >> 1) ^ -(n & 1)
            else:
                price, i = long(d, i - 1)
        stop_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                stop_price = (n >> 1) ^ -(n & 1)
            else:
                stop_price, i = long(d, i - 1)
        scheduled_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                scheduled_at = (n >> 1) ^ -(n & 1)
            else:
                scheduled_at, i = long(d, i - 1)
        n = d[i]
        i += 1
        if n < 128:
            created_at = (n >> 1) ^ -(n & 1)
        else:
            created_at, i = long(d, i - 1)
        return cls(
            order_id=order_id,
            user_id=user_id,
            client_order_id=client_order_id,
            symbol=symbol,
            side=side,
            type=type,
            tif=tif,
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            scheduled_at=scheduled_at,
            created_at=created_at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> BenchOrder:
        return cls(
            order_id=d["order_id"],
            user_id=d["user_id"],
            client_order_id=d["client_order_id"],
            symbol=d["symbol"],
            side=BenchSide(d["side"]),
            type=BenchKind(d["type"]),
            tif=BenchTif(d["tif"]),
            quantity=d["quantity"],
            price=d["price"],
            stop_price=d["stop_price"],
            scheduled_at=d["scheduled_at"],
            created_at=d["created_at"],
        )


RECORDS: tuple[type[Record], ...] = (BenchOrder,)
