"""Typed records of the flow. Generated from `avro/` by `schemas.generate`: do not edit.

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


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of every generated record. Immutable all through, so it can be in no cycle: the collector is told to pass it by."""

    AVRO: ClassVar[str] = ""

    def body(self) -> bytes:
        """The Avro body, without a frame. Raises what Python raises for a value that the schema cannot hold.

        An array of records may be given in its encoding, by its field's name, where that is at hand.
        """
        raise NotImplementedError

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Record, int]:
        """The record whose body begins at `i`, and where it ends; may be past the end of `d`, if the body is cut short.

        Raises what Python raises for bytes that are no such body.
        """
        raise NotImplementedError

    @classmethod
    def read_brief(cls, d: bytes, i: int) -> tuple[Record, int]:
        """The same for who only acts on the record: the reasons that some carry are passed over, and left empty."""
        return cls.read(d, i)

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Record:
        """The record from what an Avro reader gives that takes no notice of logical types."""
        raise NotImplementedError


class Balance(Record, frozen=True, kw_only=True):
    """Funds of one asset."""

    AVRO: ClassVar[str] = "bestex.Balance"
    asset: str
    available: int
    locked: int
    owed: int | None = None  # Charged beyond what was there; paid back by whatever comes in. Null: nothing.
    held: int | None = None  # Set aside by command. Null: nothing.

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.asset],
                MONEY[self.available],
                MONEY[self.locked],
                b"\0" if self.owed is None else b"\2" + MONEY[self.owed],
                b"\0" if self.held is None else b"\2" + MONEY[self.held],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Balance, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        asset = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            available = d[i]
            if available > 127:
                available -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            available = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < available < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            locked = d[i]
            if locked > 127:
                locked -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            locked = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < locked < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        owed: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                owed = d[i]
                if owed > 127:
                    owed -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                owed = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < owed < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        held: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                held = d[i]
                if held > 127:
                    held -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                held = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < held < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        return cls(
            asset=asset,
            available=available,
            locked=locked,
            owed=owed,
            held=held,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Balance:
        return cls(
            asset=d["asset"],
            available=to_money(d["available"]),
            locked=to_money(d["locked"]),
            owed=None if d["owed"] is None else to_money(d["owed"]),
            held=None if d["held"] is None else to_money(d["held"]),
        )


class AssetAmount(Record, frozen=True, kw_only=True):
    """An amount of an asset."""

    AVRO: ClassVar[str] = "bestex.AssetAmount"
    asset: str
    amount: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.asset],
                MONEY[self.amount],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[AssetAmount, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        asset = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            amount = d[i]
            if amount > 127:
                amount -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            amount = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < amount < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        return cls(
            asset=asset,
            amount=amount,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> AssetAmount:
        return cls(
            asset=d["asset"],
            amount=to_money(d["amount"]),
        )


class Usage(Record, frozen=True, kw_only=True):
    """What counts against the limits of a time."""

    AVRO: ClassVar[str] = "bestex.Usage"
    day: int  # Days since the epoch, UTC.
    notional: int  # Of that day's orders, in the reporting currency.
    second: int  # Since the epoch.
    orders: int  # Within that second.
    modifies: int  # Within that second.

    def body(self) -> bytes:
        return b"".join(
            (
                INTS[self.day],
                MONEY[self.notional],
                LONGS[self.second],
                INTS[self.orders],
                INTS[self.modifies],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Usage, int]:
        n = d[i]
        i += 1
        if n < 128:
            day = (n >> 1) ^ -(n & 1)
        else:
            day, i = long(d, i - 1)
        n = d[i]
        i += 1
        if n == 2:
            notional = d[i]
            if notional > 127:
                notional -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            notional = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < notional < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n < 128:
            second = (n >> 1) ^ -(n & 1)
        else:
            second, i = long(d, i - 1)
        n = d[i]
        i += 1
        if n < 128:
            orders = (n >> 1) ^ -(n & 1)
        else:
            orders, i = long(d, i - 1)
        n = d[i]
        i += 1
        if n < 128:
            modifies = (n >> 1) ^ -(n & 1)
        else:
            modifies, i = long(d, i - 1)
        return cls(
            day=day,
            notional=notional,
            second=second,
            orders=orders,
            modifies=modifies,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Usage:
        return cls(
            day=d["day"],
            notional=to_money(d["notional"]),
            second=d["second"],
            orders=d["orders"],
            modifies=d["modifies"],
        )


class AccountState(Record, frozen=True, kw_only=True):
    """Table value: an account's funds and its place in the log. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.AccountState"
    balances: tuple[Balance, ...]
    seq: int  # Of the account's last event.
    hash: bytes  # Of the account's last event.
    open_orders: int
    orders_made: int | None = None  # Orders ever opened: the next one's slot.
    oldest_page: int | None = None  # First page of open orders that may have any.
    buying: tuple[AssetAmount, ...] | None = None  # What open buys may still bring, by base asset.
    usage: Usage | None = None
    symbols: tuple[str, ...] | None = None  # Symbols of which it ever had an open order: it is listed as their trader.

    def body(self, *, balances: bytes | None = None) -> bytes:
        return b"".join(
            (
                balances
                if balances is not None
                else (
                    b"".join((LENGTHS[len(self.balances)], *[x.body() for x in self.balances], b"\0"))
                    if self.balances
                    else b"\0"
                ),
                LONGS[self.seq],
                LENGTHS[len(self.hash)],
                self.hash,
                INTS[self.open_orders],
                b"\0" if self.orders_made is None else b"\2" + LONGS[self.orders_made],
                b"\0" if self.oldest_page is None else b"\2" + INTS[self.oldest_page],
                b"\0"
                if self.buying is None
                else b"\2"
                + (
                    b"".join((LENGTHS[len(self.buying)], *[x.body() for x in self.buying], b"\0"))
                    if self.buying
                    else b"\0"
                ),
                b"\0" if self.usage is None else b"\2" + self.usage.body(),
                b"\0"
                if self.symbols is None
                else b"\2"
                + (
                    b"".join((LENGTHS[len(self.symbols)], *[TEXTS[x] for x in self.symbols], b"\0"))
                    if self.symbols
                    else b"\0"
                ),
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[AccountState, int]:
        balances_: list[Balance] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                balances_item, i = Balance.read(d, i)
                balances_.append(balances_item)
            n, i = long(d, i)
        balances = tuple(balances_)
        n = d[i]
        i += 1
        if n < 128:
            seq = (n >> 1) ^ -(n & 1)
        else:
            seq, i = long(d, i - 1)
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        hash = d[i:j]
        i = j
        n = d[i]
        i += 1
        if n < 128:
            open_orders = (n >> 1) ^ -(n & 1)
        else:
            open_orders, i = long(d, i - 1)
        orders_made: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                orders_made = (n >> 1) ^ -(n & 1)
            else:
                orders_made, i = long(d, i - 1)
        oldest_page: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                oldest_page = (n >> 1) ^ -(n & 1)
            else:
                oldest_page, i = long(d, i - 1)
        buying: tuple[AssetAmount, ...] | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            buying_: list[AssetAmount] = []
            n, i = long(d, i)
            while n:
                if n < 0:
                    _, i = long(d, i)
                for _ in range(abs(n)):
                    buying_item, i = AssetAmount.read(d, i)
                    buying_.append(buying_item)
                n, i = long(d, i)
            buying = tuple(buying_)
        usage: Usage | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            usage, i = Usage.read(d, i)
        symbols: tuple[str, ...] | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            symbols_: list[str] = []
            n, i = long(d, i)
            while n:
                if n < 0:
                    _, i = long(d, i)
                for _ in range(abs(n)):
                    n = d[i]
                    i += 1
                    if n & 129:
                        n, i = length(d, i)
                    j = i + (n >> 1)
                    symbols_item = d[i:j].decode()
                    i = j
                    symbols_.append(symbols_item)
                n, i = long(d, i)
            symbols = tuple(symbols_)
        return cls(
            balances=balances,
            seq=seq,
            hash=hash,
            open_orders=open_orders,
            orders_made=orders_made,
            oldest_page=oldest_page,
            buying=buying,
            usage=usage,
            symbols=symbols,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> AccountState:
        return cls(
            balances=tuple(Balance.from_wire(x) for x in d["balances"]),
            seq=d["seq"],
            hash=d["hash"],
            open_orders=d["open_orders"],
            orders_made=d["orders_made"],
            oldest_page=d["oldest_page"],
            buying=None if d["buying"] is None else tuple(AssetAmount.from_wire(x) for x in d["buying"]),
            usage=None if d["usage"] is None else Usage.from_wire(d["usage"]),
            symbols=None if d["symbols"] is None else tuple(d["symbols"]),
        )


class BookUpdateKind(StrEnum):
    """SNAPSHOT replaces the book; DIFF changes levels (quantity 0 deletes); STALE says that the book must not be routed on."""

    SNAPSHOT = "SNAPSHOT"
    DIFF = "DIFF"
    STALE = "STALE"


_BOOK_UPDATE_KIND: Final = {
    BookUpdateKind.SNAPSHOT: b"\x00",
    BookUpdateKind.DIFF: b"\x02",
    BookUpdateKind.STALE: b"\x04",
}
_BOOK_UPDATE_KIND_AT: Final = {index[0]: symbol for symbol, index in _BOOK_UPDATE_KIND.items()}


class Level(Record, frozen=True, kw_only=True):
    """One price level."""

    AVRO: ClassVar[str] = "bestex.Level"
    price: int
    quantity: int

    def body(self) -> bytes:
        return b"".join(
            (
                money(self.price),
                money(self.quantity),
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Level, int]:
        n = d[i]
        i += 1
        if n == 2:
            price = d[i]
            if price > 127:
                price -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            price = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        return cls(
            price=price,
            quantity=quantity,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Level:
        return cls(
            price=to_money(d["price"]),
            quantity=to_money(d["quantity"]),
        )


class BookUpdate(Record, frozen=True, kw_only=True):
    """A change of one venue's book, many levels at once. Key: symbol."""

    AVRO: ClassVar[str] = "bestex.BookUpdate"
    venue: str
    symbol: str
    kind: BookUpdateKind
    first_id: int | None = None  # First update id covered, where the venue has ids.
    last_id: int | None = None
    previous_id: int | None = None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    venue_at: int | None = None
    received_at: int  # By the feed's clock.

    def body(self, *, bids: bytes | None = None, asks: bytes | None = None) -> bytes:
        return b"".join(
            (
                TEXTS[self.venue],
                TEXTS[self.symbol],
                _BOOK_UPDATE_KIND[self.kind],
                b"\0" if self.first_id is None else b"\2" + LONGS[self.first_id],
                b"\0" if self.last_id is None else b"\2" + LONGS[self.last_id],
                b"\0" if self.previous_id is None else b"\2" + LONGS[self.previous_id],
                bids
                if bids is not None
                else (
                    b"".join((LENGTHS[len(self.bids)], *[money(x.price) + money(x.quantity) for x in self.bids], b"\0"))
                    if self.bids
                    else b"\0"
                ),
                asks
                if asks is not None
                else (
                    b"".join((LENGTHS[len(self.asks)], *[money(x.price) + money(x.quantity) for x in self.asks], b"\0"))
                    if self.asks
                    else b"\0"
                ),
                b"\0" if self.venue_at is None else b"\2" + TIMES[self.venue_at],
                TIMES[self.received_at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[BookUpdate, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        kind = _BOOK_UPDATE_KIND_AT[d[i]]
        i += 1
        first_id: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                first_id = (n >> 1) ^ -(n & 1)
            else:
                first_id, i = long(d, i - 1)
        last_id: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                last_id = (n >> 1) ^ -(n & 1)
            else:
                last_id, i = long(d, i - 1)
        previous_id: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                previous_id = (n >> 1) ^ -(n & 1)
            else:
                previous_id, i = long(d, i - 1)
        bids_: list[Level] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                n = d[i]
                i += 1
                if n == 2:
                    bids_item_price = d[i]
                    if bids_item_price > 127:
                        bids_item_price -= 256
                    i += 1
                else:
                    if n & 129:
                        n, i = length(d, i)
                    j = i + (n >> 1)
                    bids_item_price = from_bytes(d[i:j], "big", signed=True)
                    if n > 16 and not -MAX_MONEY < bids_item_price < MAX_MONEY:
                        raise ValueError("a decimal that does not fit decimal(20,8)")
                    i = j
                n = d[i]
                i += 1
                if n == 2:
                    bids_item_quantity = d[i]
                    if bids_item_quantity > 127:
                        bids_item_quantity -= 256
                    i += 1
                else:
                    if n & 129:
                        n, i = length(d, i)
                    j = i + (n >> 1)
                    bids_item_quantity = from_bytes(d[i:j], "big", signed=True)
                    if n > 16 and not -MAX_MONEY < bids_item_quantity < MAX_MONEY:
                        raise ValueError("a decimal that does not fit decimal(20,8)")
                    i = j
                bids_item = Level(price=bids_item_price, quantity=bids_item_quantity)
                bids_.append(bids_item)
            n, i = long(d, i)
        bids = tuple(bids_)
        asks_: list[Level] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                n = d[i]
                i += 1
                if n == 2:
                    asks_item_price = d[i]
                    if asks_item_price > 127:
                        asks_item_price -= 256
                    i += 1
                else:
                    if n & 129:
                        n, i = length(d, i)
                    j = i + (n >> 1)
                    asks_item_price = from_bytes(d[i:j], "big", signed=True)
                    if n > 16 and not -MAX_MONEY < asks_item_price < MAX_MONEY:
                        raise ValueError("a decimal that does not fit decimal(20,8)")
                    i = j
                n = d[i]
                i += 1
                if n == 2:
                    asks_item_quantity = d[i]
                    if asks_item_quantity > 127:
                        asks_item_quantity -= 256
                    i += 1
                else:
                    if n & 129:
                        n, i = length(d, i)
                    j = i + (n >> 1)
                    asks_item_quantity = from_bytes(d[i:j], "big", signed=True)
                    if n > 16 and not -MAX_MONEY < asks_item_quantity < MAX_MONEY:
                        raise ValueError("a decimal that does not fit decimal(20,8)")
                    i = j
                asks_item = Level(price=asks_item_price, quantity=asks_item_quantity)
                asks_.append(asks_item)
            n, i = long(d, i)
        asks = tuple(asks_)
        venue_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            venue_at, i = to_time(d, i)
        received_at, i = to_time(d, i)
        return cls(
            venue=venue,
            symbol=symbol,
            kind=kind,
            first_id=first_id,
            last_id=last_id,
            previous_id=previous_id,
            bids=bids,
            asks=asks,
            venue_at=venue_at,
            received_at=received_at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> BookUpdate:
        return cls(
            venue=d["venue"],
            symbol=d["symbol"],
            kind=BookUpdateKind(d["kind"]),
            first_id=d["first_id"],
            last_id=d["last_id"],
            previous_id=d["previous_id"],
            bids=tuple(Level.from_wire(x) for x in d["bids"]),
            asks=tuple(Level.from_wire(x) for x in d["asks"]),
            venue_at=d["venue_at"],
            received_at=d["received_at"],
        )


class CancelAll(Record, frozen=True, kw_only=True):
    """Command: cancel all open orders of an account, or those of one symbol; with account_id * those of a symbol in every account. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.CancelAll"
    account_id: str
    symbol: str | None = None  # Only this symbol's.
    sent_at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.account_id],
                b"\0" if self.symbol is None else b"\2" + TEXTS[self.symbol],
                TIMES[self.sent_at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[CancelAll, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        account_id = d[i:j].decode()
        i = j
        symbol: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            symbol = d[i:j].decode()
            i = j
        sent_at, i = to_time(d, i)
        return cls(
            account_id=account_id,
            symbol=symbol,
            sent_at=sent_at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> CancelAll:
        return cls(
            account_id=d["account_id"],
            symbol=d["symbol"],
            sent_at=d["sent_at"],
        )


class CancelOrder(Record, frozen=True, kw_only=True):
    """Command: cancel an order, named by its client order id. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.CancelOrder"
    account_id: str
    client_order_id: str  # Of the order to cancel.
    sent_at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.account_id],
                TEXTS[self.client_order_id],
                TIMES[self.sent_at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[CancelOrder, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        client_order_id = d[i:j].decode()
        i = j
        sent_at, i = to_time(d, i)
        return cls(
            account_id=account_id,
            client_order_id=client_order_id,
            sent_at=sent_at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> CancelOrder:
        return cls(
            account_id=d["account_id"],
            client_order_id=d["client_order_id"],
            sent_at=d["sent_at"],
        )


class ChildCancel(Record, frozen=True, kw_only=True):
    """Ask a venue to cancel a child order. Key: venue."""

    AVRO: ClassVar[str] = "bestex.ChildCancel"
    child_id: str
    order_id: str
    account_id: str
    venue: str
    symbol: str
    created_at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.child_id],
                TEXTS[self.order_id],
                TEXTS[self.account_id],
                TEXTS[self.venue],
                TEXTS[self.symbol],
                TIMES[self.created_at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[ChildCancel, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        child_id = d[i:j].decode()
        i = j
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
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        created_at, i = to_time(d, i)
        return cls(
            child_id=child_id,
            order_id=order_id,
            account_id=account_id,
            venue=venue,
            symbol=symbol,
            created_at=created_at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ChildCancel:
        return cls(
            child_id=d["child_id"],
            order_id=d["order_id"],
            account_id=d["account_id"],
            venue=d["venue"],
            symbol=d["symbol"],
            created_at=d["created_at"],
        )


class Side(StrEnum):
    """What the account does with the base asset."""

    BUY = "BUY"
    SELL = "SELL"


_SIDE: Final = {
    Side.BUY: b"\x00",
    Side.SELL: b"\x02",
}
_SIDE_AT: Final = {index[0]: symbol for symbol, index in _SIDE.items()}


class OrderType(StrEnum):
    """How the order's price is given."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"


_ORDER_TYPE: Final = {
    OrderType.MARKET: b"\x00",
    OrderType.LIMIT: b"\x02",
    OrderType.STOP: b"\x04",
    OrderType.STOP_LIMIT: b"\x06",
}
_ORDER_TYPE_AT: Final = {index[0]: symbol for symbol, index in _ORDER_TYPE.items()}


class TimeInForce(StrEnum):
    """How long the order lives."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


_TIME_IN_FORCE: Final = {
    TimeInForce.GTC: b"\x00",
    TimeInForce.IOC: b"\x02",
    TimeInForce.FOK: b"\x04",
    TimeInForce.GTD: b"\x06",
}
_TIME_IN_FORCE_AT: Final = {index[0]: symbol for symbol, index in _TIME_IN_FORCE.items()}


class ChildOrder(Record, frozen=True, kw_only=True):
    """What one venue is asked for. Key: venue."""

    AVRO: ClassVar[str] = "bestex.ChildOrder"
    child_id: str  # Deterministic; sent to the venue as its client order id.
    order_id: str
    account_id: str
    venue: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: int
    price: int
    created_at: int
    post_only: bool | None = None  # It may rest, never take.

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.child_id],
                TEXTS[self.order_id],
                TEXTS[self.account_id],
                TEXTS[self.venue],
                TEXTS[self.symbol],
                _SIDE[self.side],
                _ORDER_TYPE[self.order_type],
                _TIME_IN_FORCE[self.time_in_force],
                MONEY[self.quantity],
                MONEY[self.price],
                TIMES[self.created_at],
                b"\0" if self.post_only is None else b"\2" + (b"\1" if self.post_only else b"\0"),
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[ChildOrder, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        child_id = d[i:j].decode()
        i = j
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
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        side = _SIDE_AT[d[i]]
        i += 1
        order_type = _ORDER_TYPE_AT[d[i]]
        i += 1
        time_in_force = _TIME_IN_FORCE_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            price = d[i]
            if price > 127:
                price -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            price = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        created_at, i = to_time(d, i)
        post_only: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            post_only = BOOLEANS[d[i]]
            i += 1
        return cls(
            child_id=child_id,
            order_id=order_id,
            account_id=account_id,
            venue=venue,
            symbol=symbol,
            side=side,
            order_type=order_type,
            time_in_force=time_in_force,
            quantity=quantity,
            price=price,
            created_at=created_at,
            post_only=post_only,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ChildOrder:
        return cls(
            child_id=d["child_id"],
            order_id=d["order_id"],
            account_id=d["account_id"],
            venue=d["venue"],
            symbol=d["symbol"],
            side=Side(d["side"]),
            order_type=OrderType(d["order_type"]),
            time_in_force=TimeInForce(d["time_in_force"]),
            quantity=to_money(d["quantity"]),
            price=to_money(d["price"]),
            created_at=d["created_at"],
            post_only=d["post_only"],
        )


class ClientId(Record, frozen=True, kw_only=True):
    """Table value: an id of an account that is taken, by an order or a transfer. Key: streams.domain.events.transfer_key."""

    AVRO: ClassVar[str] = "bestex.ClientId"
    order_id: str  # The order, or the transfer, that took it.

    def body(self) -> bytes:
        return b"".join((TEXTS[self.order_id],))

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[ClientId, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        order_id = d[i:j].decode()
        i = j
        return cls(
            order_id=order_id,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ClientId:
        return cls(
            order_id=d["order_id"],
        )


class DeadLetter(Record, frozen=True, kw_only=True):
    """A record that could not be processed, whole. Key: the origin's key."""

    AVRO: ClassVar[str] = "bestex.DeadLetter"
    origin_topic: str
    origin_partition: int
    origin_offset: int
    origin_timestamp: int | None = None
    key: bytes | None = None
    value: bytes | None = None
    cause: str  # Stable code.
    detail: str
    app: str
    at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.origin_topic],
                INTS[self.origin_partition],
                LONGS[self.origin_offset],
                b"\0" if self.origin_timestamp is None else b"\2" + TIMES[self.origin_timestamp],
                b"\0" if self.key is None else b"\2" + bytes_(self.key),
                b"\0" if self.value is None else b"\2" + bytes_(self.value),
                TEXTS[self.cause],
                TEXTS[self.detail],
                TEXTS[self.app],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[DeadLetter, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        origin_topic = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n < 128:
            origin_partition = (n >> 1) ^ -(n & 1)
        else:
            origin_partition, i = long(d, i - 1)
        n = d[i]
        i += 1
        if n < 128:
            origin_offset = (n >> 1) ^ -(n & 1)
        else:
            origin_offset, i = long(d, i - 1)
        origin_timestamp: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            origin_timestamp, i = to_time(d, i)
        key: bytes | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            key = d[i:j]
            i = j
        value: bytes | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            value = d[i:j]
            i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        cause = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        detail = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        app = d[i:j].decode()
        i = j
        at, i = to_time(d, i)
        return cls(
            origin_topic=origin_topic,
            origin_partition=origin_partition,
            origin_offset=origin_offset,
            origin_timestamp=origin_timestamp,
            key=key,
            value=value,
            cause=cause,
            detail=detail,
            app=app,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> DeadLetter:
        return cls(
            origin_topic=d["origin_topic"],
            origin_partition=d["origin_partition"],
            origin_offset=d["origin_offset"],
            origin_timestamp=d["origin_timestamp"],
            key=d["key"],
            value=d["value"],
            cause=d["cause"],
            detail=d["detail"],
            app=d["app"],
            at=d["at"],
        )


class ExecutionKind(StrEnum):
    """What the venue said, or that it is not known (UNKNOWN)."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"
    FILL = "FILL"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    UNKNOWN = "UNKNOWN"


_EXECUTION_KIND: Final = {
    ExecutionKind.ACCEPTED: b"\x00",
    ExecutionKind.REJECTED: b"\x02",
    ExecutionKind.NOT_SENT: b"\x04",
    ExecutionKind.FILL: b"\x06",
    ExecutionKind.CANCELLED: b"\x08",
    ExecutionKind.EXPIRED: b"\x0a",
    ExecutionKind.CANCEL_REJECTED: b"\x0c",
    ExecutionKind.UNKNOWN: b"\x0e",
}
_EXECUTION_KIND_AT: Final = {index[0]: symbol for symbol, index in _EXECUTION_KIND.items()}


class Liquidity(StrEnum):
    """Whether the fill added or removed liquidity."""

    MAKER = "MAKER"
    TAKER = "TAKER"
    NOT_KNOWN = "NOT_KNOWN"


_LIQUIDITY: Final = {
    Liquidity.MAKER: b"\x00",
    Liquidity.TAKER: b"\x02",
    Liquidity.NOT_KNOWN: b"\x04",
}
_LIQUIDITY_AT: Final = {index[0]: symbol for symbol, index in _LIQUIDITY.items()}


class ExecutionReport(Record, frozen=True, kw_only=True):
    """What came back about a child order. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.ExecutionReport"
    account_id: str
    order_id: str
    child_id: str
    venue: str
    symbol: str
    kind: ExecutionKind
    venue_order_id: str | None = None
    trade_id: str | None = None  # Of a FILL; a fill is applied once by venue and trade id.
    price: int | None = None  # Of a FILL.
    quantity: int | None = None  # Of a FILL.
    fee: int | None = None
    fee_asset: str | None = None
    liquidity: Liquidity
    cumulative_quantity: int | None = None
    reason_code: str  # Stable code, or empty.
    reason: str  # In words, or empty.
    http_status: int | None = None
    venue_code: str | None = None
    venue_at: int | None = None  # The venue's clock.
    at: int  # When the connector knew.

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.account_id],
                TEXTS[self.order_id],
                TEXTS[self.child_id],
                TEXTS[self.venue],
                TEXTS[self.symbol],
                _EXECUTION_KIND[self.kind],
                b"\0" if self.venue_order_id is None else b"\2" + TEXTS[self.venue_order_id],
                b"\0" if self.trade_id is None else b"\2" + TEXTS[self.trade_id],
                b"\0" if self.price is None else b"\2" + MONEY[self.price],
                b"\0" if self.quantity is None else b"\2" + MONEY[self.quantity],
                b"\0" if self.fee is None else b"\2" + MONEY[self.fee],
                b"\0" if self.fee_asset is None else b"\2" + TEXTS[self.fee_asset],
                _LIQUIDITY[self.liquidity],
                b"\0" if self.cumulative_quantity is None else b"\2" + MONEY[self.cumulative_quantity],
                TEXTS[self.reason_code],
                TEXTS[self.reason],
                b"\0" if self.http_status is None else b"\2" + INTS[self.http_status],
                b"\0" if self.venue_code is None else b"\2" + TEXTS[self.venue_code],
                b"\0" if self.venue_at is None else b"\2" + TIMES[self.venue_at],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[ExecutionReport, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        account_id = d[i:j].decode()
        i = j
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
        child_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        kind = _EXECUTION_KIND_AT[d[i]]
        i += 1
        venue_order_id: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            venue_order_id = d[i:j].decode()
            i = j
        trade_id: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            trade_id = d[i:j].decode()
            i = j
        price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                price = d[i]
                if price > 127:
                    price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        quantity: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                quantity = d[i]
                if quantity > 127:
                    quantity -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                quantity = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        fee: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                fee = d[i]
                if fee > 127:
                    fee -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                fee = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < fee < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        fee_asset: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            fee_asset = d[i:j].decode()
            i = j
        liquidity = _LIQUIDITY_AT[d[i]]
        i += 1
        cumulative_quantity: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                cumulative_quantity = d[i]
                if cumulative_quantity > 127:
                    cumulative_quantity -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                cumulative_quantity = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < cumulative_quantity < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        reason_code = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        reason = d[i:j].decode()
        i = j
        http_status: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                http_status = (n >> 1) ^ -(n & 1)
            else:
                http_status, i = long(d, i - 1)
        venue_code: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            venue_code = d[i:j].decode()
            i = j
        venue_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            venue_at, i = to_time(d, i)
        at, i = to_time(d, i)
        return cls(
            account_id=account_id,
            order_id=order_id,
            child_id=child_id,
            venue=venue,
            symbol=symbol,
            kind=kind,
            venue_order_id=venue_order_id,
            trade_id=trade_id,
            price=price,
            quantity=quantity,
            fee=fee,
            fee_asset=fee_asset,
            liquidity=liquidity,
            cumulative_quantity=cumulative_quantity,
            reason_code=reason_code,
            reason=reason,
            http_status=http_status,
            venue_code=venue_code,
            venue_at=venue_at,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ExecutionReport:
        return cls(
            account_id=d["account_id"],
            order_id=d["order_id"],
            child_id=d["child_id"],
            venue=d["venue"],
            symbol=d["symbol"],
            kind=ExecutionKind(d["kind"]),
            venue_order_id=d["venue_order_id"],
            trade_id=d["trade_id"],
            price=None if d["price"] is None else to_money(d["price"]),
            quantity=None if d["quantity"] is None else to_money(d["quantity"]),
            fee=None if d["fee"] is None else to_money(d["fee"]),
            fee_asset=d["fee_asset"],
            liquidity=Liquidity(d["liquidity"]),
            cumulative_quantity=None if d["cumulative_quantity"] is None else to_money(d["cumulative_quantity"]),
            reason_code=d["reason_code"],
            reason=d["reason"],
            http_status=d["http_status"],
            venue_code=d["venue_code"],
            venue_at=d["venue_at"],
            at=d["at"],
        )


class ClaimedChild(Record, frozen=True, kw_only=True):
    """The child order as it was claimed."""

    AVRO: ClassVar[str] = "bestex.ClaimedChild"
    order_id: str
    account_id: str
    venue: str
    symbol: str
    quantity: int
    side: Side | None = None  # Null in journals of old versions.
    time_in_force: TimeInForce | None = None  # Null in journals of old versions.

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.order_id],
                TEXTS[self.account_id],
                TEXTS[self.venue],
                TEXTS[self.symbol],
                MONEY[self.quantity],
                b"\0" if self.side is None else b"\2" + _SIDE[self.side],
                b"\0" if self.time_in_force is None else b"\2" + _TIME_IN_FORCE[self.time_in_force],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[ClaimedChild, int]:
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
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        side: Side | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            side = _SIDE_AT[d[i]]
            i += 1
        time_in_force: TimeInForce | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            time_in_force = _TIME_IN_FORCE_AT[d[i]]
            i += 1
        return cls(
            order_id=order_id,
            account_id=account_id,
            venue=venue,
            symbol=symbol,
            quantity=quantity,
            side=side,
            time_in_force=time_in_force,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ClaimedChild:
        return cls(
            order_id=d["order_id"],
            account_id=d["account_id"],
            venue=d["venue"],
            symbol=d["symbol"],
            quantity=to_money(d["quantity"]),
            side=None if d["side"] is None else Side(d["side"]),
            time_in_force=None if d["time_in_force"] is None else TimeInForce(d["time_in_force"]),
        )


class ExecutionPhase(StrEnum):
    """CLAIMED may have been sent; UNKNOWN was sent and the outcome is not known; OPEN was accepted; DONE needs nothing more."""

    CLAIMED = "CLAIMED"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    DONE = "DONE"


_EXECUTION_PHASE: Final = {
    ExecutionPhase.CLAIMED: b"\x00",
    ExecutionPhase.UNKNOWN: b"\x02",
    ExecutionPhase.OPEN: b"\x04",
    ExecutionPhase.DONE: b"\x06",
}
_EXECUTION_PHASE_AT: Final = {index[0]: symbol for symbol, index in _EXECUTION_PHASE.items()}


class ExecutionState(Record, frozen=True, kw_only=True):
    """Journal value: what the execution connector did about a child. Key: child_id."""

    AVRO: ClassVar[str] = "bestex.ExecutionState"
    child: ClaimedChild
    claimed_at: int
    phase: ExecutionPhase
    cancel_at: int | None = None  # When a cancel was claimed; null when none is pending.
    closed_at: int | None = None  # When the child became DONE.
    venue_order_id: str | None = None
    reported: int  # Fills reported so far.
    trades: tuple[str, ...]  # Ids of the trades reported.

    def body(self) -> bytes:
        return b"".join(
            (
                self.child.body(),
                TIMES[self.claimed_at],
                _EXECUTION_PHASE[self.phase],
                b"\0" if self.cancel_at is None else b"\2" + TIMES[self.cancel_at],
                b"\0" if self.closed_at is None else b"\2" + TIMES[self.closed_at],
                b"\0" if self.venue_order_id is None else b"\2" + TEXTS[self.venue_order_id],
                MONEY[self.reported],
                (
                    b"".join((LENGTHS[len(self.trades)], *[TEXTS[x] for x in self.trades], b"\0"))
                    if self.trades
                    else b"\0"
                ),
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[ExecutionState, int]:
        child, i = ClaimedChild.read(d, i)
        claimed_at, i = to_time(d, i)
        phase = _EXECUTION_PHASE_AT[d[i]]
        i += 1
        cancel_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            cancel_at, i = to_time(d, i)
        closed_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            closed_at, i = to_time(d, i)
        venue_order_id: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            venue_order_id = d[i:j].decode()
            i = j
        n = d[i]
        i += 1
        if n == 2:
            reported = d[i]
            if reported > 127:
                reported -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            reported = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < reported < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        trades_: list[str] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                n = d[i]
                i += 1
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                trades_item = d[i:j].decode()
                i = j
                trades_.append(trades_item)
            n, i = long(d, i)
        trades = tuple(trades_)
        return cls(
            child=child,
            claimed_at=claimed_at,
            phase=phase,
            cancel_at=cancel_at,
            closed_at=closed_at,
            venue_order_id=venue_order_id,
            reported=reported,
            trades=trades,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ExecutionState:
        return cls(
            child=ClaimedChild.from_wire(d["child"]),
            claimed_at=d["claimed_at"],
            phase=ExecutionPhase(d["phase"]),
            cancel_at=d["cancel_at"],
            closed_at=d["closed_at"],
            venue_order_id=d["venue_order_id"],
            reported=to_money(d["reported"]),
            trades=tuple(d["trades"]),
        )


class Fill(Record, frozen=True, kw_only=True):
    """A fill of an account's order, once for each (fill_id, child_id). Key: account_id."""

    AVRO: ClassVar[str] = "bestex.Fill"
    fill_id: str
    account_id: str
    order_id: str
    client_order_id: str
    child_id: str
    venue: str
    symbol: str
    side: Side
    price: int
    quantity: int
    fee: int
    fee_asset: str
    liquidity: Liquidity
    arrival_mid: int | None = None
    best_single_price: int | None = None
    venue_at: int
    at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.fill_id],
                TEXTS[self.account_id],
                TEXTS[self.order_id],
                TEXTS[self.client_order_id],
                TEXTS[self.child_id],
                TEXTS[self.venue],
                TEXTS[self.symbol],
                _SIDE[self.side],
                MONEY[self.price],
                MONEY[self.quantity],
                MONEY[self.fee],
                TEXTS[self.fee_asset],
                _LIQUIDITY[self.liquidity],
                b"\0" if self.arrival_mid is None else b"\2" + MONEY[self.arrival_mid],
                b"\0" if self.best_single_price is None else b"\2" + MONEY[self.best_single_price],
                TIMES[self.venue_at],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Fill, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        fill_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        account_id = d[i:j].decode()
        i = j
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
        client_order_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        child_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        side = _SIDE_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n == 2:
            price = d[i]
            if price > 127:
                price -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            price = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            fee = d[i]
            if fee > 127:
                fee -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            fee = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < fee < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        fee_asset = d[i:j].decode()
        i = j
        liquidity = _LIQUIDITY_AT[d[i]]
        i += 1
        arrival_mid: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                arrival_mid = d[i]
                if arrival_mid > 127:
                    arrival_mid -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                arrival_mid = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < arrival_mid < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        best_single_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                best_single_price = d[i]
                if best_single_price > 127:
                    best_single_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                best_single_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < best_single_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        venue_at, i = to_time(d, i)
        at, i = to_time(d, i)
        return cls(
            fill_id=fill_id,
            account_id=account_id,
            order_id=order_id,
            client_order_id=client_order_id,
            child_id=child_id,
            venue=venue,
            symbol=symbol,
            side=side,
            price=price,
            quantity=quantity,
            fee=fee,
            fee_asset=fee_asset,
            liquidity=liquidity,
            arrival_mid=arrival_mid,
            best_single_price=best_single_price,
            venue_at=venue_at,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Fill:
        return cls(
            fill_id=d["fill_id"],
            account_id=d["account_id"],
            order_id=d["order_id"],
            client_order_id=d["client_order_id"],
            child_id=d["child_id"],
            venue=d["venue"],
            symbol=d["symbol"],
            side=Side(d["side"]),
            price=to_money(d["price"]),
            quantity=to_money(d["quantity"]),
            fee=to_money(d["fee"]),
            fee_asset=d["fee_asset"],
            liquidity=Liquidity(d["liquidity"]),
            arrival_mid=None if d["arrival_mid"] is None else to_money(d["arrival_mid"]),
            best_single_price=None if d["best_single_price"] is None else to_money(d["best_single_price"]),
            venue_at=d["venue_at"],
            at=d["at"],
        )


class InstrumentStatus(StrEnum):
    """Whether the instrument trades."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


_INSTRUMENT_STATUS: Final = {
    InstrumentStatus.OPEN: b"\x00",
    InstrumentStatus.CLOSED: b"\x02",
}
_INSTRUMENT_STATUS_AT: Final = {index[0]: symbol for symbol, index in _INSTRUMENT_STATUS.items()}


class Instrument(Record, frozen=True, kw_only=True):
    """A symbol at a venue. Key: venue and symbol, joined by a bar."""

    AVRO: ClassVar[str] = "bestex.Instrument"
    venue: str
    symbol: str
    base: str
    quote: str
    tick: int
    lot: int
    min_quantity: int
    max_quantity: int
    min_notional: int
    maker_fee: int  # Rate: 0.001 is ten basis points.
    taker_fee: int
    status: InstrumentStatus
    at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.venue],
                TEXTS[self.symbol],
                TEXTS[self.base],
                TEXTS[self.quote],
                MONEY[self.tick],
                MONEY[self.lot],
                MONEY[self.min_quantity],
                MONEY[self.max_quantity],
                MONEY[self.min_notional],
                MONEY[self.maker_fee],
                MONEY[self.taker_fee],
                _INSTRUMENT_STATUS[self.status],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Instrument, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        base = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        quote = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            tick = d[i]
            if tick > 127:
                tick -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            tick = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < tick < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            lot = d[i]
            if lot > 127:
                lot -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            lot = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < lot < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            min_quantity = d[i]
            if min_quantity > 127:
                min_quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            min_quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < min_quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            max_quantity = d[i]
            if max_quantity > 127:
                max_quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            max_quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < max_quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            min_notional = d[i]
            if min_notional > 127:
                min_notional -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            min_notional = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < min_notional < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            maker_fee = d[i]
            if maker_fee > 127:
                maker_fee -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            maker_fee = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < maker_fee < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            taker_fee = d[i]
            if taker_fee > 127:
                taker_fee -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            taker_fee = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < taker_fee < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        status = _INSTRUMENT_STATUS_AT[d[i]]
        i += 1
        at, i = to_time(d, i)
        return cls(
            venue=venue,
            symbol=symbol,
            base=base,
            quote=quote,
            tick=tick,
            lot=lot,
            min_quantity=min_quantity,
            max_quantity=max_quantity,
            min_notional=min_notional,
            maker_fee=maker_fee,
            taker_fee=taker_fee,
            status=status,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Instrument:
        return cls(
            venue=d["venue"],
            symbol=d["symbol"],
            base=d["base"],
            quote=d["quote"],
            tick=to_money(d["tick"]),
            lot=to_money(d["lot"]),
            min_quantity=to_money(d["min_quantity"]),
            max_quantity=to_money(d["max_quantity"]),
            min_notional=to_money(d["min_notional"]),
            maker_fee=to_money(d["maker_fee"]),
            taker_fee=to_money(d["taker_fee"]),
            status=InstrumentStatus(d["status"]),
            at=d["at"],
        )


class ModifyOrder(Record, frozen=True, kw_only=True):
    """Command: change a live order. Key: account_id. Absent fields stay as they are."""

    AVRO: ClassVar[str] = "bestex.ModifyOrder"
    account_id: str
    client_order_id: str
    quantity: int | None = None  # The new total.
    price: int | None = None
    stop_price: int | None = None
    scheduled_at: int | None = None
    sent_at: int
    expires_at: int | None = None

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.account_id],
                TEXTS[self.client_order_id],
                b"\0" if self.quantity is None else b"\2" + MONEY[self.quantity],
                b"\0" if self.price is None else b"\2" + MONEY[self.price],
                b"\0" if self.stop_price is None else b"\2" + MONEY[self.stop_price],
                b"\0" if self.scheduled_at is None else b"\2" + TIMES[self.scheduled_at],
                TIMES[self.sent_at],
                b"\0" if self.expires_at is None else b"\2" + TIMES[self.expires_at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[ModifyOrder, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        client_order_id = d[i:j].decode()
        i = j
        quantity: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                quantity = d[i]
                if quantity > 127:
                    quantity -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                quantity = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                price = d[i]
                if price > 127:
                    price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        stop_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                stop_price = d[i]
                if stop_price > 127:
                    stop_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                stop_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < stop_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        scheduled_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            scheduled_at, i = to_time(d, i)
        sent_at, i = to_time(d, i)
        expires_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            expires_at, i = to_time(d, i)
        return cls(
            account_id=account_id,
            client_order_id=client_order_id,
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            scheduled_at=scheduled_at,
            sent_at=sent_at,
            expires_at=expires_at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ModifyOrder:
        return cls(
            account_id=d["account_id"],
            client_order_id=d["client_order_id"],
            quantity=None if d["quantity"] is None else to_money(d["quantity"]),
            price=None if d["price"] is None else to_money(d["price"]),
            stop_price=None if d["stop_price"] is None else to_money(d["stop_price"]),
            scheduled_at=d["scheduled_at"],
            sent_at=d["sent_at"],
            expires_at=d["expires_at"],
        )


class OpenOrders(Record, frozen=True, kw_only=True):
    """Table value: a page of an account's open orders. Key: account_id and page, joined by a bar."""

    AVRO: ClassVar[str] = "bestex.OpenOrders"
    order_ids: tuple[str, ...]

    def body(self) -> bytes:
        return b"".join(
            (
                (
                    b"".join((LENGTHS[len(self.order_ids)], *[TEXTS[x] for x in self.order_ids], b"\0"))
                    if self.order_ids
                    else b"\0"
                ),
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[OpenOrders, int]:
        order_ids_: list[str] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                n = d[i]
                i += 1
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                order_ids_item = d[i:j].decode()
                i = j
                order_ids_.append(order_ids_item)
            n, i = long(d, i)
        order_ids = tuple(order_ids_)
        return cls(
            order_ids=order_ids,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> OpenOrders:
        return cls(
            order_ids=tuple(d["order_ids"]),
        )


class EventKind(StrEnum):
    """What happened. CANCEL_REJECTED is a venue's, CANCEL_DENIED ours."""

    ACCEPTED = "ACCEPTED"
    DENIED = "DENIED"
    DUPLICATE = "DUPLICATE"
    ROUTED = "ROUTED"
    WORKING = "WORKING"
    FILL = "FILL"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    CANCEL_DENIED = "CANCEL_DENIED"
    MODIFY_DENIED = "MODIFY_DENIED"
    CHILD_CLOSED = "CHILD_CLOSED"
    CHILD_UNKNOWN = "CHILD_UNKNOWN"
    CLOSED = "CLOSED"
    TRANSFERRED = "TRANSFERRED"
    TRANSFER_DENIED = "TRANSFER_DENIED"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    STARTED = "STARTED"
    TRIGGERED = "TRIGGERED"
    RELEASED = "RELEASED"
    EXPIRING = "EXPIRING"
    MODIFY_REQUESTED = "MODIFY_REQUESTED"
    MODIFIED = "MODIFIED"
    MODIFY_REJECTED = "MODIFY_REJECTED"
    ALL_CANCELLED = "ALL_CANCELLED"
    LIMITS_SET = "LIMITS_SET"
    LIMITS_DENIED = "LIMITS_DENIED"
    WAITING = "WAITING"
    REROUTED = "REROUTED"


_EVENT_KIND: Final = {
    EventKind.ACCEPTED: b"\x00",
    EventKind.DENIED: b"\x02",
    EventKind.DUPLICATE: b"\x04",
    EventKind.ROUTED: b"\x06",
    EventKind.WORKING: b"\x08",
    EventKind.FILL: b"\x0a",
    EventKind.CANCEL_REQUESTED: b"\x0c",
    EventKind.CANCEL_DENIED: b"\x0e",
    EventKind.MODIFY_DENIED: b"\x10",
    EventKind.CHILD_CLOSED: b"\x12",
    EventKind.CHILD_UNKNOWN: b"\x14",
    EventKind.CLOSED: b"\x16",
    EventKind.TRANSFERRED: b"\x18",
    EventKind.TRANSFER_DENIED: b"\x1a",
    EventKind.CANCEL_REJECTED: b"\x1c",
    EventKind.STARTED: b"\x1e",
    EventKind.TRIGGERED: b"\x20",
    EventKind.RELEASED: b"\x22",
    EventKind.EXPIRING: b"\x24",
    EventKind.MODIFY_REQUESTED: b"\x26",
    EventKind.MODIFIED: b"\x28",
    EventKind.MODIFY_REJECTED: b"\x2a",
    EventKind.ALL_CANCELLED: b"\x2c",
    EventKind.LIMITS_SET: b"\x2e",
    EventKind.LIMITS_DENIED: b"\x30",
    EventKind.WAITING: b"\x32",
    EventKind.REROUTED: b"\x34",
}
_EVENT_KIND_AT: Final = {index[0]: symbol for symbol, index in _EVENT_KIND.items()}


class OrderState(StrEnum):
    """State of a parent or child order."""

    INITIALIZED = "INITIALIZED"
    DENIED = "DENIED"
    SCHEDULED = "SCHEDULED"
    ARMED = "ARMED"
    TRIGGERED = "TRIGGERED"
    ROUTING = "ROUTING"
    WORKING = "WORKING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_MODIFY = "PENDING_MODIFY"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"


_ORDER_STATE: Final = {
    OrderState.INITIALIZED: b"\x00",
    OrderState.DENIED: b"\x02",
    OrderState.SCHEDULED: b"\x04",
    OrderState.ARMED: b"\x06",
    OrderState.TRIGGERED: b"\x08",
    OrderState.ROUTING: b"\x0a",
    OrderState.WORKING: b"\x0c",
    OrderState.PARTIALLY_FILLED: b"\x0e",
    OrderState.PENDING_CANCEL: b"\x10",
    OrderState.PENDING_MODIFY: b"\x12",
    OrderState.FILLED: b"\x14",
    OrderState.CANCELLED: b"\x16",
    OrderState.EXPIRED: b"\x18",
    OrderState.REJECTED: b"\x1a",
    OrderState.UNKNOWN: b"\x1c",
}
_ORDER_STATE_AT: Final = {index[0]: symbol for symbol, index in _ORDER_STATE.items()}


class BalanceChange(Record, frozen=True, kw_only=True):
    """How an event moved one asset of an account, and where it left it."""

    AVRO: ClassVar[str] = "bestex.BalanceChange"
    asset: str
    available_delta: int
    locked_delta: int
    available: int
    locked: int
    owed_delta: int | None = None  # Null: nothing moved.
    owed: int | None = None  # What the account owes after the event; null: nothing.
    held_delta: int | None = None
    held: int | None = None  # Set aside by command, after the event.

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.asset],
                MONEY[self.available_delta],
                MONEY[self.locked_delta],
                MONEY[self.available],
                MONEY[self.locked],
                b"\0" if self.owed_delta is None else b"\2" + MONEY[self.owed_delta],
                b"\0" if self.owed is None else b"\2" + MONEY[self.owed],
                b"\0" if self.held_delta is None else b"\2" + MONEY[self.held_delta],
                b"\0" if self.held is None else b"\2" + MONEY[self.held],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[BalanceChange, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        asset = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            available_delta = d[i]
            if available_delta > 127:
                available_delta -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            available_delta = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < available_delta < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            locked_delta = d[i]
            if locked_delta > 127:
                locked_delta -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            locked_delta = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < locked_delta < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            available = d[i]
            if available > 127:
                available -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            available = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < available < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            locked = d[i]
            if locked > 127:
                locked -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            locked = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < locked < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        owed_delta: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                owed_delta = d[i]
                if owed_delta > 127:
                    owed_delta -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                owed_delta = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < owed_delta < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        owed: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                owed = d[i]
                if owed > 127:
                    owed -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                owed = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < owed < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        held_delta: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                held_delta = d[i]
                if held_delta > 127:
                    held_delta -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                held_delta = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < held_delta < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        held: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                held = d[i]
                if held > 127:
                    held -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                held = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < held < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        return cls(
            asset=asset,
            available_delta=available_delta,
            locked_delta=locked_delta,
            available=available,
            locked=locked,
            owed_delta=owed_delta,
            owed=owed,
            held_delta=held_delta,
            held=held,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> BalanceChange:
        return cls(
            asset=d["asset"],
            available_delta=to_money(d["available_delta"]),
            locked_delta=to_money(d["locked_delta"]),
            available=to_money(d["available"]),
            locked=to_money(d["locked"]),
            owed_delta=None if d["owed_delta"] is None else to_money(d["owed_delta"]),
            owed=None if d["owed"] is None else to_money(d["owed"]),
            held_delta=None if d["held_delta"] is None else to_money(d["held_delta"]),
            held=None if d["held"] is None else to_money(d["held"]),
        )


class OrderEvent(Record, frozen=True, kw_only=True):
    """One transition of one order, or of an account's funds: the truth. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.OrderEvent"
    account_id: str
    account_seq: int  # 1, 2, 3 … over the account, without gap.
    order_id: str  # Empty for a transfer, and where no such order exists.
    order_seq: int  # 1, 2, 3 … over the order, without gap; 0 where order_id is empty.
    client_order_id: str
    kind: EventKind
    state: OrderState  # The order's state after the event; INITIALIZED where there is no order.
    symbol: str
    side: Side | None = None
    order_type: OrderType | None = None
    time_in_force: TimeInForce | None = None
    quantity: int | None = None  # The order's; a transfer's amount.
    price: int | None = None  # The order's limit price.
    filled: int  # In all, after the event.
    filled_quote: int  # Sum of price times quantity over the fills, after the event.
    reason_code: str
    reason: str
    venue: str | None = None
    child_id: str | None = None
    trade_id: str | None = None
    balances: tuple[BalanceChange, ...]
    cause_topic: str  # The record that caused the event.
    cause_partition: int
    cause_offset: int
    is_outcome: bool  # True on the one event that answers a command.
    actor: str  # Who caused it: client, router or the venue's name.
    sent_at: int | None = None  # When the command was sent, by its sender's clock.
    at: int
    previous_hash: bytes  # Of the account's previous event; empty for the first.
    hash: bytes  # SHA-256 over previous_hash and this record with hash empty.
    stop_price: int | None = None
    scheduled_at: int | None = None
    expires_at: int | None = None

    def body(self, *, balances: bytes | None = None) -> bytes:
        return b"".join(
            (
                TEXTS[self.account_id],
                LONGS[self.account_seq],
                TEXTS[self.order_id],
                INTS[self.order_seq],
                TEXTS[self.client_order_id],
                _EVENT_KIND[self.kind],
                _ORDER_STATE[self.state],
                TEXTS[self.symbol],
                b"\0" if self.side is None else b"\2" + _SIDE[self.side],
                b"\0" if self.order_type is None else b"\2" + _ORDER_TYPE[self.order_type],
                b"\0" if self.time_in_force is None else b"\2" + _TIME_IN_FORCE[self.time_in_force],
                b"\0" if self.quantity is None else b"\2" + MONEY[self.quantity],
                b"\0" if self.price is None else b"\2" + MONEY[self.price],
                MONEY[self.filled],
                MONEY[self.filled_quote],
                TEXTS[self.reason_code],
                TEXTS[self.reason],
                b"\0" if self.venue is None else b"\2" + TEXTS[self.venue],
                b"\0" if self.child_id is None else b"\2" + TEXTS[self.child_id],
                b"\0" if self.trade_id is None else b"\2" + TEXTS[self.trade_id],
                balances
                if balances is not None
                else (
                    b"".join((LENGTHS[len(self.balances)], *[x.body() for x in self.balances], b"\0"))
                    if self.balances
                    else b"\0"
                ),
                TEXTS[self.cause_topic],
                INTS[self.cause_partition],
                LONGS[self.cause_offset],
                (b"\1" if self.is_outcome else b"\0"),
                TEXTS[self.actor],
                b"\0" if self.sent_at is None else b"\2" + TIMES[self.sent_at],
                TIMES[self.at],
                LENGTHS[len(self.previous_hash)],
                self.previous_hash,
                LENGTHS[len(self.hash)],
                self.hash,
                b"\0" if self.stop_price is None else b"\2" + MONEY[self.stop_price],
                b"\0" if self.scheduled_at is None else b"\2" + TIMES[self.scheduled_at],
                b"\0" if self.expires_at is None else b"\2" + TIMES[self.expires_at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[OrderEvent, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n < 128:
            account_seq = (n >> 1) ^ -(n & 1)
        else:
            account_seq, i = long(d, i - 1)
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        order_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n < 128:
            order_seq = (n >> 1) ^ -(n & 1)
        else:
            order_seq, i = long(d, i - 1)
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        client_order_id = d[i:j].decode()
        i = j
        kind = _EVENT_KIND_AT[d[i]]
        i += 1
        state = _ORDER_STATE_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        side: Side | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            side = _SIDE_AT[d[i]]
            i += 1
        order_type: OrderType | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            order_type = _ORDER_TYPE_AT[d[i]]
            i += 1
        time_in_force: TimeInForce | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            time_in_force = _TIME_IN_FORCE_AT[d[i]]
            i += 1
        quantity: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                quantity = d[i]
                if quantity > 127:
                    quantity -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                quantity = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                price = d[i]
                if price > 127:
                    price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        n = d[i]
        i += 1
        if n == 2:
            filled = d[i]
            if filled > 127:
                filled -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            filled = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < filled < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            filled_quote = d[i]
            if filled_quote > 127:
                filled_quote -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            filled_quote = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < filled_quote < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        reason_code = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        reason = d[i:j].decode()
        i = j
        venue: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            venue = d[i:j].decode()
            i = j
        child_id: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            child_id = d[i:j].decode()
            i = j
        trade_id: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            trade_id = d[i:j].decode()
            i = j
        balances_: list[BalanceChange] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                balances_item, i = BalanceChange.read(d, i)
                balances_.append(balances_item)
            n, i = long(d, i)
        balances = tuple(balances_)
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        cause_topic = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n < 128:
            cause_partition = (n >> 1) ^ -(n & 1)
        else:
            cause_partition, i = long(d, i - 1)
        n = d[i]
        i += 1
        if n < 128:
            cause_offset = (n >> 1) ^ -(n & 1)
        else:
            cause_offset, i = long(d, i - 1)
        is_outcome = BOOLEANS[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        actor = d[i:j].decode()
        i = j
        sent_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            sent_at, i = to_time(d, i)
        at, i = to_time(d, i)
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        previous_hash = d[i:j]
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        hash = d[i:j]
        i = j
        stop_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                stop_price = d[i]
                if stop_price > 127:
                    stop_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                stop_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < stop_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        scheduled_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            scheduled_at, i = to_time(d, i)
        expires_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            expires_at, i = to_time(d, i)
        return cls(
            account_id=account_id,
            account_seq=account_seq,
            order_id=order_id,
            order_seq=order_seq,
            client_order_id=client_order_id,
            kind=kind,
            state=state,
            symbol=symbol,
            side=side,
            order_type=order_type,
            time_in_force=time_in_force,
            quantity=quantity,
            price=price,
            filled=filled,
            filled_quote=filled_quote,
            reason_code=reason_code,
            reason=reason,
            venue=venue,
            child_id=child_id,
            trade_id=trade_id,
            balances=balances,
            cause_topic=cause_topic,
            cause_partition=cause_partition,
            cause_offset=cause_offset,
            is_outcome=is_outcome,
            actor=actor,
            sent_at=sent_at,
            at=at,
            previous_hash=previous_hash,
            hash=hash,
            stop_price=stop_price,
            scheduled_at=scheduled_at,
            expires_at=expires_at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> OrderEvent:
        return cls(
            account_id=d["account_id"],
            account_seq=d["account_seq"],
            order_id=d["order_id"],
            order_seq=d["order_seq"],
            client_order_id=d["client_order_id"],
            kind=EventKind(d["kind"]),
            state=OrderState(d["state"]),
            symbol=d["symbol"],
            side=None if d["side"] is None else Side(d["side"]),
            order_type=None if d["order_type"] is None else OrderType(d["order_type"]),
            time_in_force=None if d["time_in_force"] is None else TimeInForce(d["time_in_force"]),
            quantity=None if d["quantity"] is None else to_money(d["quantity"]),
            price=None if d["price"] is None else to_money(d["price"]),
            filled=to_money(d["filled"]),
            filled_quote=to_money(d["filled_quote"]),
            reason_code=d["reason_code"],
            reason=d["reason"],
            venue=d["venue"],
            child_id=d["child_id"],
            trade_id=d["trade_id"],
            balances=tuple(BalanceChange.from_wire(x) for x in d["balances"]),
            cause_topic=d["cause_topic"],
            cause_partition=d["cause_partition"],
            cause_offset=d["cause_offset"],
            is_outcome=d["is_outcome"],
            actor=d["actor"],
            sent_at=d["sent_at"],
            at=d["at"],
            previous_hash=d["previous_hash"],
            hash=d["hash"],
            stop_price=None if d["stop_price"] is None else to_money(d["stop_price"]),
            scheduled_at=d["scheduled_at"],
            expires_at=d["expires_at"],
        )


class ChildState(Record, frozen=True, kw_only=True):
    """A child order as the account knows it."""

    AVRO: ClassVar[str] = "bestex.ChildState"
    child_id: str
    venue: str
    state: OrderState
    quantity: int
    price: int
    filled: int
    expected: int | None = None  # Fills that the venue says there are, once it has closed the child.
    trades: tuple[str, ...]  # Trade ids applied.
    cancel_sent: bool

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.child_id],
                TEXTS[self.venue],
                _ORDER_STATE[self.state],
                MONEY[self.quantity],
                MONEY[self.price],
                MONEY[self.filled],
                b"\0" if self.expected is None else b"\2" + MONEY[self.expected],
                (
                    b"".join((LENGTHS[len(self.trades)], *[TEXTS[x] for x in self.trades], b"\0"))
                    if self.trades
                    else b"\0"
                ),
                (b"\1" if self.cancel_sent else b"\0"),
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[ChildState, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        child_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        state = _ORDER_STATE_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            price = d[i]
            if price > 127:
                price -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            price = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            filled = d[i]
            if filled > 127:
                filled -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            filled = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < filled < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        expected: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                expected = d[i]
                if expected > 127:
                    expected -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                expected = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < expected < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        trades_: list[str] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                n = d[i]
                i += 1
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                trades_item = d[i:j].decode()
                i = j
                trades_.append(trades_item)
            n, i = long(d, i)
        trades = tuple(trades_)
        cancel_sent = BOOLEANS[d[i]]
        i += 1
        return cls(
            child_id=child_id,
            venue=venue,
            state=state,
            quantity=quantity,
            price=price,
            filled=filled,
            expected=expected,
            trades=trades,
            cancel_sent=cancel_sent,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ChildState:
        return cls(
            child_id=d["child_id"],
            venue=d["venue"],
            state=OrderState(d["state"]),
            quantity=to_money(d["quantity"]),
            price=to_money(d["price"]),
            filled=to_money(d["filled"]),
            expected=None if d["expected"] is None else to_money(d["expected"]),
            trades=tuple(d["trades"]),
            cancel_sent=d["cancel_sent"],
        )


class Algo(StrEnum):
    """How a bulk order is cut: by time, or by what shows."""

    TWAP = "TWAP"
    ICEBERG = "ICEBERG"


_ALGO: Final = {
    Algo.TWAP: b"\x00",
    Algo.ICEBERG: b"\x02",
}
_ALGO_AT: Final = {index[0]: symbol for symbol, index in _ALGO.items()}


class Change(Record, frozen=True, kw_only=True):
    """What an order is to become once its children are out of the way."""

    AVRO: ClassVar[str] = "bestex.Change"
    quantity: int
    price: int | None = None
    protection: int
    fee_rate: int
    expires_at: int | None = None
    less: bool | None = None  # It asks for less than there was, and is made also while only sales are taken.

    def body(self) -> bytes:
        return b"".join(
            (
                MONEY[self.quantity],
                b"\0" if self.price is None else b"\2" + MONEY[self.price],
                MONEY[self.protection],
                MONEY[self.fee_rate],
                b"\0" if self.expires_at is None else b"\2" + TIMES[self.expires_at],
                b"\0" if self.less is None else b"\2" + (b"\1" if self.less else b"\0"),
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Change, int]:
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                price = d[i]
                if price > 127:
                    price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        n = d[i]
        i += 1
        if n == 2:
            protection = d[i]
            if protection > 127:
                protection -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            protection = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < protection < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            fee_rate = d[i]
            if fee_rate > 127:
                fee_rate -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            fee_rate = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < fee_rate < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        expires_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            expires_at, i = to_time(d, i)
        less: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            less = BOOLEANS[d[i]]
            i += 1
        return cls(
            quantity=quantity,
            price=price,
            protection=protection,
            fee_rate=fee_rate,
            expires_at=expires_at,
            less=less,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Change:
        return cls(
            quantity=to_money(d["quantity"]),
            price=None if d["price"] is None else to_money(d["price"]),
            protection=to_money(d["protection"]),
            fee_rate=to_money(d["fee_rate"]),
            expires_at=d["expires_at"],
            less=d["less"],
        )


class OrderRecord(Record, frozen=True, kw_only=True):
    """Table value: an order. Key: order_id."""

    AVRO: ClassVar[str] = "bestex.OrderRecord"
    order_id: str
    account_id: str
    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    state: OrderState
    quantity: int
    price: int | None = None
    protection: int  # No fill is worse than this price.
    filled: int
    filled_quote: int
    locked_asset: str
    locked: int  # Still reserved.
    fee_rate: int  # Worst-case rate that the reservation covers.
    children: tuple[ChildState, ...]
    planned: bool  # The plan of the last route request has come.
    unrouted: int
    close_reason: str  # Stable code of the latest reason why quantity stayed unfilled, or empty.
    seq: int
    arrival_mid: int | None = None
    best_single_price: int | None = None
    sent_at: int
    accepted_at: int
    attempt: int  # Of the last route request.
    stop_price: int | None = None
    scheduled_at: int | None = None
    expires_at: int | None = None
    post_only: bool | None = None
    reduce_only: bool | None = None
    quote_amount: int | None = None
    algo: Algo | None = None
    slices: int | None = None
    window_us: int | None = None
    visible: int | None = None
    asked: int | None = None  # Quantity of the last route request.
    released: int | None = None  # Of a bulk order: what may be routed by now.
    started_at: int | None = None  # Of a bulk order: its first slice.
    retries: int | None = None  # Route requests for what venues left.
    expiring: bool | None = None  # It is being cancelled because its time is over.
    slot: int | None = None  # Its number among the account's orders.
    settled: int | None = None  # How many children are of before the last change.
    change: Change | None = None
    halted: bool | None = None  # It waits for the end of a halt: nothing of it is out.
    wide: bool | None = None
    swept: bool | None = None  # An operator cancelled it, with all of its symbol.
    looking_since: int | None = None  # Since when a venue is looked for that takes what is left.
    latest: int | None = None  # How many children are of before the last plan.

    def body(self, *, children: bytes | None = None) -> bytes:
        return b"".join(
            (
                TEXTS[self.order_id],
                TEXTS[self.account_id],
                TEXTS[self.client_order_id],
                TEXTS[self.symbol],
                _SIDE[self.side],
                _ORDER_TYPE[self.order_type],
                _TIME_IN_FORCE[self.time_in_force],
                _ORDER_STATE[self.state],
                MONEY[self.quantity],
                b"\0" if self.price is None else b"\2" + MONEY[self.price],
                MONEY[self.protection],
                MONEY[self.filled],
                MONEY[self.filled_quote],
                TEXTS[self.locked_asset],
                MONEY[self.locked],
                MONEY[self.fee_rate],
                children
                if children is not None
                else (
                    b"".join((LENGTHS[len(self.children)], *[x.body() for x in self.children], b"\0"))
                    if self.children
                    else b"\0"
                ),
                (b"\1" if self.planned else b"\0"),
                MONEY[self.unrouted],
                TEXTS[self.close_reason],
                INTS[self.seq],
                b"\0" if self.arrival_mid is None else b"\2" + MONEY[self.arrival_mid],
                b"\0" if self.best_single_price is None else b"\2" + MONEY[self.best_single_price],
                TIMES[self.sent_at],
                TIMES[self.accepted_at],
                INTS[self.attempt],
                b"\0" if self.stop_price is None else b"\2" + MONEY[self.stop_price],
                b"\0" if self.scheduled_at is None else b"\2" + TIMES[self.scheduled_at],
                b"\0" if self.expires_at is None else b"\2" + TIMES[self.expires_at],
                b"\0" if self.post_only is None else b"\2" + (b"\1" if self.post_only else b"\0"),
                b"\0" if self.reduce_only is None else b"\2" + (b"\1" if self.reduce_only else b"\0"),
                b"\0" if self.quote_amount is None else b"\2" + MONEY[self.quote_amount],
                b"\0" if self.algo is None else b"\2" + _ALGO[self.algo],
                b"\0" if self.slices is None else b"\2" + INTS[self.slices],
                b"\0" if self.window_us is None else b"\2" + LONGS[self.window_us],
                b"\0" if self.visible is None else b"\2" + MONEY[self.visible],
                b"\0" if self.asked is None else b"\2" + MONEY[self.asked],
                b"\0" if self.released is None else b"\2" + MONEY[self.released],
                b"\0" if self.started_at is None else b"\2" + TIMES[self.started_at],
                b"\0" if self.retries is None else b"\2" + INTS[self.retries],
                b"\0" if self.expiring is None else b"\2" + (b"\1" if self.expiring else b"\0"),
                b"\0" if self.slot is None else b"\2" + LONGS[self.slot],
                b"\0" if self.settled is None else b"\2" + INTS[self.settled],
                b"\0" if self.change is None else b"\2" + self.change.body(),
                b"\0" if self.halted is None else b"\2" + (b"\1" if self.halted else b"\0"),
                b"\0" if self.wide is None else b"\2" + (b"\1" if self.wide else b"\0"),
                b"\0" if self.swept is None else b"\2" + (b"\1" if self.swept else b"\0"),
                b"\0" if self.looking_since is None else b"\2" + TIMES[self.looking_since],
                b"\0" if self.latest is None else b"\2" + INTS[self.latest],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[OrderRecord, int]:
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
        account_id = d[i:j].decode()
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
        side = _SIDE_AT[d[i]]
        i += 1
        order_type = _ORDER_TYPE_AT[d[i]]
        i += 1
        time_in_force = _TIME_IN_FORCE_AT[d[i]]
        i += 1
        state = _ORDER_STATE_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                price = d[i]
                if price > 127:
                    price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        n = d[i]
        i += 1
        if n == 2:
            protection = d[i]
            if protection > 127:
                protection -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            protection = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < protection < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            filled = d[i]
            if filled > 127:
                filled -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            filled = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < filled < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            filled_quote = d[i]
            if filled_quote > 127:
                filled_quote -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            filled_quote = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < filled_quote < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        locked_asset = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            locked = d[i]
            if locked > 127:
                locked -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            locked = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < locked < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            fee_rate = d[i]
            if fee_rate > 127:
                fee_rate -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            fee_rate = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < fee_rate < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        children_: list[ChildState] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                children_item, i = ChildState.read(d, i)
                children_.append(children_item)
            n, i = long(d, i)
        children = tuple(children_)
        planned = BOOLEANS[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n == 2:
            unrouted = d[i]
            if unrouted > 127:
                unrouted -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            unrouted = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < unrouted < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        close_reason = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n < 128:
            seq = (n >> 1) ^ -(n & 1)
        else:
            seq, i = long(d, i - 1)
        arrival_mid: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                arrival_mid = d[i]
                if arrival_mid > 127:
                    arrival_mid -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                arrival_mid = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < arrival_mid < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        best_single_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                best_single_price = d[i]
                if best_single_price > 127:
                    best_single_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                best_single_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < best_single_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        sent_at, i = to_time(d, i)
        accepted_at, i = to_time(d, i)
        n = d[i]
        i += 1
        if n < 128:
            attempt = (n >> 1) ^ -(n & 1)
        else:
            attempt, i = long(d, i - 1)
        stop_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                stop_price = d[i]
                if stop_price > 127:
                    stop_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                stop_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < stop_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        scheduled_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            scheduled_at, i = to_time(d, i)
        expires_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            expires_at, i = to_time(d, i)
        post_only: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            post_only = BOOLEANS[d[i]]
            i += 1
        reduce_only: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            reduce_only = BOOLEANS[d[i]]
            i += 1
        quote_amount: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                quote_amount = d[i]
                if quote_amount > 127:
                    quote_amount -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                quote_amount = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < quote_amount < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        algo: Algo | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            algo = _ALGO_AT[d[i]]
            i += 1
        slices: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                slices = (n >> 1) ^ -(n & 1)
            else:
                slices, i = long(d, i - 1)
        window_us: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                window_us = (n >> 1) ^ -(n & 1)
            else:
                window_us, i = long(d, i - 1)
        visible: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                visible = d[i]
                if visible > 127:
                    visible -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                visible = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < visible < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        asked: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                asked = d[i]
                if asked > 127:
                    asked -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                asked = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < asked < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        released: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                released = d[i]
                if released > 127:
                    released -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                released = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < released < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        started_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            started_at, i = to_time(d, i)
        retries: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                retries = (n >> 1) ^ -(n & 1)
            else:
                retries, i = long(d, i - 1)
        expiring: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            expiring = BOOLEANS[d[i]]
            i += 1
        slot: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                slot = (n >> 1) ^ -(n & 1)
            else:
                slot, i = long(d, i - 1)
        settled: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                settled = (n >> 1) ^ -(n & 1)
            else:
                settled, i = long(d, i - 1)
        change: Change | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            change, i = Change.read(d, i)
        halted: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            halted = BOOLEANS[d[i]]
            i += 1
        wide: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            wide = BOOLEANS[d[i]]
            i += 1
        swept: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            swept = BOOLEANS[d[i]]
            i += 1
        looking_since: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            looking_since, i = to_time(d, i)
        latest: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                latest = (n >> 1) ^ -(n & 1)
            else:
                latest, i = long(d, i - 1)
        return cls(
            order_id=order_id,
            account_id=account_id,
            client_order_id=client_order_id,
            symbol=symbol,
            side=side,
            order_type=order_type,
            time_in_force=time_in_force,
            state=state,
            quantity=quantity,
            price=price,
            protection=protection,
            filled=filled,
            filled_quote=filled_quote,
            locked_asset=locked_asset,
            locked=locked,
            fee_rate=fee_rate,
            children=children,
            planned=planned,
            unrouted=unrouted,
            close_reason=close_reason,
            seq=seq,
            arrival_mid=arrival_mid,
            best_single_price=best_single_price,
            sent_at=sent_at,
            accepted_at=accepted_at,
            attempt=attempt,
            stop_price=stop_price,
            scheduled_at=scheduled_at,
            expires_at=expires_at,
            post_only=post_only,
            reduce_only=reduce_only,
            quote_amount=quote_amount,
            algo=algo,
            slices=slices,
            window_us=window_us,
            visible=visible,
            asked=asked,
            released=released,
            started_at=started_at,
            retries=retries,
            expiring=expiring,
            slot=slot,
            settled=settled,
            change=change,
            halted=halted,
            wide=wide,
            swept=swept,
            looking_since=looking_since,
            latest=latest,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> OrderRecord:
        return cls(
            order_id=d["order_id"],
            account_id=d["account_id"],
            client_order_id=d["client_order_id"],
            symbol=d["symbol"],
            side=Side(d["side"]),
            order_type=OrderType(d["order_type"]),
            time_in_force=TimeInForce(d["time_in_force"]),
            state=OrderState(d["state"]),
            quantity=to_money(d["quantity"]),
            price=None if d["price"] is None else to_money(d["price"]),
            protection=to_money(d["protection"]),
            filled=to_money(d["filled"]),
            filled_quote=to_money(d["filled_quote"]),
            locked_asset=d["locked_asset"],
            locked=to_money(d["locked"]),
            fee_rate=to_money(d["fee_rate"]),
            children=tuple(ChildState.from_wire(x) for x in d["children"]),
            planned=d["planned"],
            unrouted=to_money(d["unrouted"]),
            close_reason=d["close_reason"],
            seq=d["seq"],
            arrival_mid=None if d["arrival_mid"] is None else to_money(d["arrival_mid"]),
            best_single_price=None if d["best_single_price"] is None else to_money(d["best_single_price"]),
            sent_at=d["sent_at"],
            accepted_at=d["accepted_at"],
            attempt=d["attempt"],
            stop_price=None if d["stop_price"] is None else to_money(d["stop_price"]),
            scheduled_at=d["scheduled_at"],
            expires_at=d["expires_at"],
            post_only=d["post_only"],
            reduce_only=d["reduce_only"],
            quote_amount=None if d["quote_amount"] is None else to_money(d["quote_amount"]),
            algo=None if d["algo"] is None else Algo(d["algo"]),
            slices=d["slices"],
            window_us=d["window_us"],
            visible=None if d["visible"] is None else to_money(d["visible"]),
            asked=None if d["asked"] is None else to_money(d["asked"]),
            released=None if d["released"] is None else to_money(d["released"]),
            started_at=d["started_at"],
            retries=d["retries"],
            expiring=d["expiring"],
            slot=d["slot"],
            settled=d["settled"],
            change=None if d["change"] is None else Change.from_wire(d["change"]),
            halted=d["halted"],
            wide=d["wide"],
            swept=d["swept"],
            looking_since=d["looking_since"],
            latest=d["latest"],
        )


class PlaceOrder(Record, frozen=True, kw_only=True):
    """Command: place an order. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.PlaceOrder"
    account_id: str
    client_order_id: str  # Chosen by the client; unique per account.
    symbol: str  # Unified, as BTC/USDT.
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: int  # In the base asset.
    price: int | None = None  # Limit price, in quote per base.
    stop_price: int | None = None
    scheduled_at: int | None = None
    expires_at: int | None = None
    sent_at: int  # The client's clock.
    post_only: bool | None = None  # It may rest, never take.
    reduce_only: bool | None = None  # It may only reduce what is held: a sale.
    quote_amount: int | None = None
    algo: Algo | None = None  # A bulk order, released in slices.
    slices: int | None = None  # Of a TWAP: how many, evenly over the window.
    window_us: int | None = None  # Of a TWAP: from its first slice to the end, in microseconds.
    visible: int | None = None  # Of an iceberg: the quantity of a slice.

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.account_id],
                TEXTS[self.client_order_id],
                TEXTS[self.symbol],
                _SIDE[self.side],
                _ORDER_TYPE[self.order_type],
                _TIME_IN_FORCE[self.time_in_force],
                MONEY[self.quantity],
                b"\0" if self.price is None else b"\2" + MONEY[self.price],
                b"\0" if self.stop_price is None else b"\2" + MONEY[self.stop_price],
                b"\0" if self.scheduled_at is None else b"\2" + TIMES[self.scheduled_at],
                b"\0" if self.expires_at is None else b"\2" + TIMES[self.expires_at],
                TIMES[self.sent_at],
                b"\0" if self.post_only is None else b"\2" + (b"\1" if self.post_only else b"\0"),
                b"\0" if self.reduce_only is None else b"\2" + (b"\1" if self.reduce_only else b"\0"),
                b"\0" if self.quote_amount is None else b"\2" + MONEY[self.quote_amount],
                b"\0" if self.algo is None else b"\2" + _ALGO[self.algo],
                b"\0" if self.slices is None else b"\2" + INTS[self.slices],
                b"\0" if self.window_us is None else b"\2" + LONGS[self.window_us],
                b"\0" if self.visible is None else b"\2" + MONEY[self.visible],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[PlaceOrder, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        account_id = d[i:j].decode()
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
        side = _SIDE_AT[d[i]]
        i += 1
        order_type = _ORDER_TYPE_AT[d[i]]
        i += 1
        time_in_force = _TIME_IN_FORCE_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                price = d[i]
                if price > 127:
                    price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        stop_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                stop_price = d[i]
                if stop_price > 127:
                    stop_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                stop_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < stop_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        scheduled_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            scheduled_at, i = to_time(d, i)
        expires_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            expires_at, i = to_time(d, i)
        sent_at, i = to_time(d, i)
        post_only: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            post_only = BOOLEANS[d[i]]
            i += 1
        reduce_only: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            reduce_only = BOOLEANS[d[i]]
            i += 1
        quote_amount: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                quote_amount = d[i]
                if quote_amount > 127:
                    quote_amount -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                quote_amount = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < quote_amount < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        algo: Algo | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            algo = _ALGO_AT[d[i]]
            i += 1
        slices: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                slices = (n >> 1) ^ -(n & 1)
            else:
                slices, i = long(d, i - 1)
        window_us: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                window_us = (n >> 1) ^ -(n & 1)
            else:
                window_us, i = long(d, i - 1)
        visible: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                visible = d[i]
                if visible > 127:
                    visible -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                visible = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < visible < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        return cls(
            account_id=account_id,
            client_order_id=client_order_id,
            symbol=symbol,
            side=side,
            order_type=order_type,
            time_in_force=time_in_force,
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            scheduled_at=scheduled_at,
            expires_at=expires_at,
            sent_at=sent_at,
            post_only=post_only,
            reduce_only=reduce_only,
            quote_amount=quote_amount,
            algo=algo,
            slices=slices,
            window_us=window_us,
            visible=visible,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> PlaceOrder:
        return cls(
            account_id=d["account_id"],
            client_order_id=d["client_order_id"],
            symbol=d["symbol"],
            side=Side(d["side"]),
            order_type=OrderType(d["order_type"]),
            time_in_force=TimeInForce(d["time_in_force"]),
            quantity=to_money(d["quantity"]),
            price=None if d["price"] is None else to_money(d["price"]),
            stop_price=None if d["stop_price"] is None else to_money(d["stop_price"]),
            scheduled_at=d["scheduled_at"],
            expires_at=d["expires_at"],
            sent_at=d["sent_at"],
            post_only=d["post_only"],
            reduce_only=d["reduce_only"],
            quote_amount=None if d["quote_amount"] is None else to_money(d["quote_amount"]),
            algo=None if d["algo"] is None else Algo(d["algo"]),
            slices=d["slices"],
            window_us=d["window_us"],
            visible=None if d["visible"] is None else to_money(d["visible"]),
        )


class VenuePosition(Record, frozen=True, kw_only=True):
    """The part of a position that one venue made."""

    AVRO: ClassVar[str] = "bestex.VenuePosition"
    venue: str
    quantity: int
    cost: int
    realised: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.venue],
                MONEY[self.quantity],
                MONEY[self.cost],
                MONEY[self.realised],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[VenuePosition, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            cost = d[i]
            if cost > 127:
                cost -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            cost = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < cost < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            realised = d[i]
            if realised > 127:
                realised -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            realised = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < realised < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        return cls(
            venue=venue,
            quantity=quantity,
            cost=cost,
            realised=realised,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> VenuePosition:
        return cls(
            venue=d["venue"],
            quantity=to_money(d["quantity"]),
            cost=to_money(d["cost"]),
            realised=to_money(d["realised"]),
        )


class Position(Record, frozen=True, kw_only=True):
    """Table value: what an account's fills of a symbol add up to. Key: account_id and symbol, joined by a bar."""

    AVRO: ClassVar[str] = "bestex.Position"
    quantity: int  # Bought less sold.
    cost: int  # What the open quantity cost, in quote; negative for what was sold.
    realised: int  # Profit of what was closed, before fees, in quote.
    venues: tuple[VenuePosition, ...]
    fees: tuple[AssetAmount, ...]  # Paid so far, by asset; negative for rebates.

    def body(self, *, venues: bytes | None = None, fees: bytes | None = None) -> bytes:
        return b"".join(
            (
                MONEY[self.quantity],
                MONEY[self.cost],
                MONEY[self.realised],
                venues
                if venues is not None
                else (
                    b"".join((LENGTHS[len(self.venues)], *[x.body() for x in self.venues], b"\0"))
                    if self.venues
                    else b"\0"
                ),
                fees
                if fees is not None
                else (
                    b"".join((LENGTHS[len(self.fees)], *[x.body() for x in self.fees], b"\0")) if self.fees else b"\0"
                ),
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Position, int]:
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            cost = d[i]
            if cost > 127:
                cost -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            cost = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < cost < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            realised = d[i]
            if realised > 127:
                realised -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            realised = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < realised < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        venues_: list[VenuePosition] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                venues_item, i = VenuePosition.read(d, i)
                venues_.append(venues_item)
            n, i = long(d, i)
        venues = tuple(venues_)
        fees_: list[AssetAmount] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                fees_item, i = AssetAmount.read(d, i)
                fees_.append(fees_item)
            n, i = long(d, i)
        fees = tuple(fees_)
        return cls(
            quantity=quantity,
            cost=cost,
            realised=realised,
            venues=venues,
            fees=fees,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Position:
        return cls(
            quantity=to_money(d["quantity"]),
            cost=to_money(d["cost"]),
            realised=to_money(d["realised"]),
            venues=tuple(VenuePosition.from_wire(x) for x in d["venues"]),
            fees=tuple(AssetAmount.from_wire(x) for x in d["fees"]),
        )


class Quote(Record, frozen=True, kw_only=True):
    """Consolidated best bid and offer of a symbol. Key: symbol."""

    AVRO: ClassVar[str] = "bestex.Quote"
    symbol: str
    bid: int | None = None
    bid_quantity: int | None = None
    bid_venue: str | None = None
    ask: int | None = None
    ask_quantity: int | None = None
    ask_venue: str | None = None
    venues: int  # Venues with a live book.
    at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.symbol],
                b"\0" if self.bid is None else b"\2" + MONEY[self.bid],
                b"\0" if self.bid_quantity is None else b"\2" + MONEY[self.bid_quantity],
                b"\0" if self.bid_venue is None else b"\2" + TEXTS[self.bid_venue],
                b"\0" if self.ask is None else b"\2" + MONEY[self.ask],
                b"\0" if self.ask_quantity is None else b"\2" + MONEY[self.ask_quantity],
                b"\0" if self.ask_venue is None else b"\2" + TEXTS[self.ask_venue],
                INTS[self.venues],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Quote, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        bid: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                bid = d[i]
                if bid > 127:
                    bid -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                bid = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < bid < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        bid_quantity: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                bid_quantity = d[i]
                if bid_quantity > 127:
                    bid_quantity -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                bid_quantity = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < bid_quantity < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        bid_venue: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            bid_venue = d[i:j].decode()
            i = j
        ask: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                ask = d[i]
                if ask > 127:
                    ask -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                ask = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < ask < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        ask_quantity: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                ask_quantity = d[i]
                if ask_quantity > 127:
                    ask_quantity -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                ask_quantity = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < ask_quantity < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        ask_venue: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            ask_venue = d[i:j].decode()
            i = j
        n = d[i]
        i += 1
        if n < 128:
            venues = (n >> 1) ^ -(n & 1)
        else:
            venues, i = long(d, i - 1)
        at, i = to_time(d, i)
        return cls(
            symbol=symbol,
            bid=bid,
            bid_quantity=bid_quantity,
            bid_venue=bid_venue,
            ask=ask,
            ask_quantity=ask_quantity,
            ask_venue=ask_venue,
            venues=venues,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Quote:
        return cls(
            symbol=d["symbol"],
            bid=None if d["bid"] is None else to_money(d["bid"]),
            bid_quantity=None if d["bid_quantity"] is None else to_money(d["bid_quantity"]),
            bid_venue=d["bid_venue"],
            ask=None if d["ask"] is None else to_money(d["ask"]),
            ask_quantity=None if d["ask_quantity"] is None else to_money(d["ask_quantity"]),
            ask_venue=d["ask_venue"],
            venues=d["venues"],
            at=d["at"],
        )


class RouteCancel(Record, frozen=True, kw_only=True):
    """The router is to forget what it still holds of an order (an armed stop). Key: symbol."""

    AVRO: ClassVar[str] = "bestex.RouteCancel"
    order_id: str
    account_id: str
    symbol: str
    at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.order_id],
                TEXTS[self.account_id],
                TEXTS[self.symbol],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[RouteCancel, int]:
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
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        at, i = to_time(d, i)
        return cls(
            order_id=order_id,
            account_id=account_id,
            symbol=symbol,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> RouteCancel:
        return cls(
            order_id=d["order_id"],
            account_id=d["account_id"],
            symbol=d["symbol"],
            at=d["at"],
        )


class PlannedChild(Record, frozen=True, kw_only=True):
    """One child order of a plan."""

    AVRO: ClassVar[str] = "bestex.PlannedChild"
    child_id: str
    venue: str
    price: int
    quantity: int
    time_in_force: TimeInForce
    expected_fee: int  # In the quote asset.
    expected_price: int | None = None

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.child_id],
                TEXTS[self.venue],
                MONEY[self.price],
                MONEY[self.quantity],
                _TIME_IN_FORCE[self.time_in_force],
                MONEY[self.expected_fee],
                b"\0" if self.expected_price is None else b"\2" + MONEY[self.expected_price],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[PlannedChild, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        child_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            price = d[i]
            if price > 127:
                price -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            price = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        time_in_force = _TIME_IN_FORCE_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n == 2:
            expected_fee = d[i]
            if expected_fee > 127:
                expected_fee -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            expected_fee = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < expected_fee < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        expected_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                expected_price = d[i]
                if expected_price > 127:
                    expected_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                expected_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < expected_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        return cls(
            child_id=child_id,
            venue=venue,
            price=price,
            quantity=quantity,
            time_in_force=time_in_force,
            expected_fee=expected_fee,
            expected_price=expected_price,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> PlannedChild:
        return cls(
            child_id=d["child_id"],
            venue=d["venue"],
            price=to_money(d["price"]),
            quantity=to_money(d["quantity"]),
            time_in_force=TimeInForce(d["time_in_force"]),
            expected_fee=to_money(d["expected_fee"]),
            expected_price=None if d["expected_price"] is None else to_money(d["expected_price"]),
        )


class Candidate(Record, frozen=True, kw_only=True):
    """One venue as the router saw it."""

    AVRO: ClassVar[str] = "bestex.Candidate"
    venue: str
    eligible: bool
    reason: str  # Why not eligible, or empty.
    score: int  # 0 to 1.
    price_score: int
    latency_score: int
    reliability_score: int
    liquidity_score: int
    average_price: int | None = None  # All-in price if this venue took the order alone.
    filled: int  # Quantity that this venue could take alone.

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.venue],
                (b"\1" if self.eligible else b"\0"),
                TEXTS[self.reason],
                MONEY[self.score],
                MONEY[self.price_score],
                MONEY[self.latency_score],
                MONEY[self.reliability_score],
                MONEY[self.liquidity_score],
                b"\0" if self.average_price is None else b"\2" + MONEY[self.average_price],
                MONEY[self.filled],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Candidate, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        eligible = BOOLEANS[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        reason = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            score = d[i]
            if score > 127:
                score -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            score = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < score < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            price_score = d[i]
            if price_score > 127:
                price_score -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            price_score = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < price_score < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            latency_score = d[i]
            if latency_score > 127:
                latency_score -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            latency_score = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < latency_score < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            reliability_score = d[i]
            if reliability_score > 127:
                reliability_score -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            reliability_score = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < reliability_score < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            liquidity_score = d[i]
            if liquidity_score > 127:
                liquidity_score -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            liquidity_score = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < liquidity_score < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        average_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                average_price = d[i]
                if average_price > 127:
                    average_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                average_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < average_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        n = d[i]
        i += 1
        if n == 2:
            filled = d[i]
            if filled > 127:
                filled -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            filled = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < filled < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        return cls(
            venue=venue,
            eligible=eligible,
            reason=reason,
            score=score,
            price_score=price_score,
            latency_score=latency_score,
            reliability_score=reliability_score,
            liquidity_score=liquidity_score,
            average_price=average_price,
            filled=filled,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Candidate:
        return cls(
            venue=d["venue"],
            eligible=d["eligible"],
            reason=d["reason"],
            score=to_money(d["score"]),
            price_score=to_money(d["price_score"]),
            latency_score=to_money(d["latency_score"]),
            reliability_score=to_money(d["reliability_score"]),
            liquidity_score=to_money(d["liquidity_score"]),
            average_price=None if d["average_price"] is None else to_money(d["average_price"]),
            filled=to_money(d["filled"]),
        )


class RoutePlan(Record, frozen=True, kw_only=True):
    """The router's decision on one request, with its reasons. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.RoutePlan"
    order_id: str
    account_id: str
    symbol: str
    attempt: int
    children: tuple[PlannedChild, ...]
    unrouted: int  # Quantity that no venue could take.
    reason: str  # Why there is an unrouted quantity, or empty.
    candidates: tuple[Candidate, ...]
    arrival_mid: int | None = None  # Consolidated mid when the plan was made.
    average_price: int | None = None  # Planned all-in price.
    best_single_venue: str | None = None
    best_single_price: int | None = None  # All-in price of the same quantity at the best single venue.
    planned_at: int
    side: Side | None = None
    quantity: int | None = None  # Asked for.

    def body(self, *, children: bytes | None = None, candidates: bytes | None = None) -> bytes:
        return b"".join(
            (
                TEXTS[self.order_id],
                TEXTS[self.account_id],
                TEXTS[self.symbol],
                INTS[self.attempt],
                children
                if children is not None
                else (
                    b"".join((LENGTHS[len(self.children)], *[x.body() for x in self.children], b"\0"))
                    if self.children
                    else b"\0"
                ),
                MONEY[self.unrouted],
                TEXTS[self.reason],
                candidates
                if candidates is not None
                else (
                    b"".join((LENGTHS[len(self.candidates)], *[x.body() for x in self.candidates], b"\0"))
                    if self.candidates
                    else b"\0"
                ),
                b"\0" if self.arrival_mid is None else b"\2" + MONEY[self.arrival_mid],
                b"\0" if self.average_price is None else b"\2" + MONEY[self.average_price],
                b"\0" if self.best_single_venue is None else b"\2" + TEXTS[self.best_single_venue],
                b"\0" if self.best_single_price is None else b"\2" + MONEY[self.best_single_price],
                TIMES[self.planned_at],
                b"\0" if self.side is None else b"\2" + _SIDE[self.side],
                b"\0" if self.quantity is None else b"\2" + MONEY[self.quantity],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[RoutePlan, int]:
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
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n < 128:
            attempt = (n >> 1) ^ -(n & 1)
        else:
            attempt, i = long(d, i - 1)
        children_: list[PlannedChild] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                children_item, i = PlannedChild.read(d, i)
                children_.append(children_item)
            n, i = long(d, i)
        children = tuple(children_)
        n = d[i]
        i += 1
        if n == 2:
            unrouted = d[i]
            if unrouted > 127:
                unrouted -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            unrouted = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < unrouted < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        reason = d[i:j].decode()
        i = j
        candidates_: list[Candidate] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                candidates_item, i = Candidate.read(d, i)
                candidates_.append(candidates_item)
            n, i = long(d, i)
        candidates = tuple(candidates_)
        arrival_mid: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                arrival_mid = d[i]
                if arrival_mid > 127:
                    arrival_mid -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                arrival_mid = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < arrival_mid < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        average_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                average_price = d[i]
                if average_price > 127:
                    average_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                average_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < average_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        best_single_venue: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            best_single_venue = d[i:j].decode()
            i = j
        best_single_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                best_single_price = d[i]
                if best_single_price > 127:
                    best_single_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                best_single_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < best_single_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        planned_at, i = to_time(d, i)
        side: Side | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            side = _SIDE_AT[d[i]]
            i += 1
        quantity: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                quantity = d[i]
                if quantity > 127:
                    quantity -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                quantity = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        return cls(
            order_id=order_id,
            account_id=account_id,
            symbol=symbol,
            attempt=attempt,
            children=children,
            unrouted=unrouted,
            reason=reason,
            candidates=candidates,
            arrival_mid=arrival_mid,
            average_price=average_price,
            best_single_venue=best_single_venue,
            best_single_price=best_single_price,
            planned_at=planned_at,
            side=side,
            quantity=quantity,
        ), i

    @classmethod
    def read_brief(cls, d: bytes, i: int) -> tuple[RoutePlan, int]:
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
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n < 128:
            attempt = (n >> 1) ^ -(n & 1)
        else:
            attempt, i = long(d, i - 1)
        children_: list[PlannedChild] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                children_item, i = PlannedChild.read(d, i)
                children_.append(children_item)
            n, i = long(d, i)
        children = tuple(children_)
        n = d[i]
        i += 1
        if n == 2:
            unrouted = d[i]
            if unrouted > 127:
                unrouted -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            unrouted = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < unrouted < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        reason = d[i:j].decode()
        i = j
        n, i = long(d, i)
        while n:
            if n < 0:
                n, i = long(d, i)
                if n < 0:
                    raise ValueError("a negative size")
                i += n
            else:
                for _ in range(n):
                    n = d[i]
                    if n & 129:
                        n, i = length(d, i + 1)
                        i += n >> 1
                    else:
                        i += 1 + (n >> 1)
                    i += 1
                    n = d[i]
                    if n & 129:
                        n, i = length(d, i + 1)
                        i += n >> 1
                    else:
                        i += 1 + (n >> 1)
                    n = d[i]
                    if n & 129:
                        n, i = length(d, i + 1)
                        i += n >> 1
                    else:
                        i += 1 + (n >> 1)
                    n = d[i]
                    if n & 129:
                        n, i = length(d, i + 1)
                        i += n >> 1
                    else:
                        i += 1 + (n >> 1)
                    n = d[i]
                    if n & 129:
                        n, i = length(d, i + 1)
                        i += n >> 1
                    else:
                        i += 1 + (n >> 1)
                    n = d[i]
                    if n & 129:
                        n, i = length(d, i + 1)
                        i += n >> 1
                    else:
                        i += 1 + (n >> 1)
                    n = d[i]
                    if n & 129:
                        n, i = length(d, i + 1)
                        i += n >> 1
                    else:
                        i += 1 + (n >> 1)
                    i += 1
                    if d[i - 1]:
                        if d[i - 1] != 2:
                            raise ValueError("no such branch")
                        n = d[i]
                        if n & 129:
                            n, i = length(d, i + 1)
                            i += n >> 1
                        else:
                            i += 1 + (n >> 1)
                    n = d[i]
                    if n & 129:
                        n, i = length(d, i + 1)
                        i += n >> 1
                    else:
                        i += 1 + (n >> 1)
            n, i = long(d, i)
        arrival_mid: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                arrival_mid = d[i]
                if arrival_mid > 127:
                    arrival_mid -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                arrival_mid = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < arrival_mid < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            if n & 129:
                n, i = length(d, i + 1)
                i += n >> 1
            else:
                i += 1 + (n >> 1)
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            if n & 129:
                n, i = length(d, i + 1)
                i += n >> 1
            else:
                i += 1 + (n >> 1)
        best_single_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                best_single_price = d[i]
                if best_single_price > 127:
                    best_single_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                best_single_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < best_single_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        planned_at, i = to_time(d, i)
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            i += 1
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            if n & 129:
                n, i = length(d, i + 1)
                i += n >> 1
            else:
                i += 1 + (n >> 1)
        return cls(
            order_id=order_id,
            account_id=account_id,
            symbol=symbol,
            attempt=attempt,
            children=children,
            unrouted=unrouted,
            reason=reason,
            candidates=(),
            arrival_mid=arrival_mid,
            average_price=None,
            best_single_venue=None,
            best_single_price=best_single_price,
            planned_at=planned_at,
            side=None,
            quantity=None,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> RoutePlan:
        return cls(
            order_id=d["order_id"],
            account_id=d["account_id"],
            symbol=d["symbol"],
            attempt=d["attempt"],
            children=tuple(PlannedChild.from_wire(x) for x in d["children"]),
            unrouted=to_money(d["unrouted"]),
            reason=d["reason"],
            candidates=tuple(Candidate.from_wire(x) for x in d["candidates"]),
            arrival_mid=None if d["arrival_mid"] is None else to_money(d["arrival_mid"]),
            average_price=None if d["average_price"] is None else to_money(d["average_price"]),
            best_single_venue=d["best_single_venue"],
            best_single_price=None if d["best_single_price"] is None else to_money(d["best_single_price"]),
            planned_at=d["planned_at"],
            side=None if d["side"] is None else Side(d["side"]),
            quantity=None if d["quantity"] is None else to_money(d["quantity"]),
        )


class RouteRequest(Record, frozen=True, kw_only=True):
    """An accepted order on its way to the router. Key: symbol."""

    AVRO: ClassVar[str] = "bestex.RouteRequest"
    order_id: str
    account_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: int
    price: int  # Limit, or a market order's protection price: no child goes beyond it.
    attempt: int
    accepted_at: int
    stop_price: int | None = None
    expires_at: int | None = None
    post_only: bool | None = None  # No child of it may take.
    avoid: tuple[str, ...] | None = None  # Venues that refused it: not to be asked again.
    asked_at: int | None = None

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.order_id],
                TEXTS[self.account_id],
                TEXTS[self.symbol],
                _SIDE[self.side],
                _ORDER_TYPE[self.order_type],
                _TIME_IN_FORCE[self.time_in_force],
                MONEY[self.quantity],
                MONEY[self.price],
                INTS[self.attempt],
                TIMES[self.accepted_at],
                b"\0" if self.stop_price is None else b"\2" + MONEY[self.stop_price],
                b"\0" if self.expires_at is None else b"\2" + TIMES[self.expires_at],
                b"\0" if self.post_only is None else b"\2" + (b"\1" if self.post_only else b"\0"),
                b"\0"
                if self.avoid is None
                else b"\2"
                + (
                    b"".join((LENGTHS[len(self.avoid)], *[TEXTS[x] for x in self.avoid], b"\0"))
                    if self.avoid
                    else b"\0"
                ),
                b"\0" if self.asked_at is None else b"\2" + TIMES[self.asked_at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[RouteRequest, int]:
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
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        side = _SIDE_AT[d[i]]
        i += 1
        order_type = _ORDER_TYPE_AT[d[i]]
        i += 1
        time_in_force = _TIME_IN_FORCE_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            price = d[i]
            if price > 127:
                price -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            price = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n < 128:
            attempt = (n >> 1) ^ -(n & 1)
        else:
            attempt, i = long(d, i - 1)
        accepted_at, i = to_time(d, i)
        stop_price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                stop_price = d[i]
                if stop_price > 127:
                    stop_price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                stop_price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < stop_price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        expires_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            expires_at, i = to_time(d, i)
        post_only: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            post_only = BOOLEANS[d[i]]
            i += 1
        avoid: tuple[str, ...] | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            avoid_: list[str] = []
            n, i = long(d, i)
            while n:
                if n < 0:
                    _, i = long(d, i)
                for _ in range(abs(n)):
                    n = d[i]
                    i += 1
                    if n & 129:
                        n, i = length(d, i)
                    j = i + (n >> 1)
                    avoid_item = d[i:j].decode()
                    i = j
                    avoid_.append(avoid_item)
                n, i = long(d, i)
            avoid = tuple(avoid_)
        asked_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            asked_at, i = to_time(d, i)
        return cls(
            order_id=order_id,
            account_id=account_id,
            symbol=symbol,
            side=side,
            order_type=order_type,
            time_in_force=time_in_force,
            quantity=quantity,
            price=price,
            attempt=attempt,
            accepted_at=accepted_at,
            stop_price=stop_price,
            expires_at=expires_at,
            post_only=post_only,
            avoid=avoid,
            asked_at=asked_at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> RouteRequest:
        return cls(
            order_id=d["order_id"],
            account_id=d["account_id"],
            symbol=d["symbol"],
            side=Side(d["side"]),
            order_type=OrderType(d["order_type"]),
            time_in_force=TimeInForce(d["time_in_force"]),
            quantity=to_money(d["quantity"]),
            price=to_money(d["price"]),
            attempt=d["attempt"],
            accepted_at=d["accepted_at"],
            stop_price=None if d["stop_price"] is None else to_money(d["stop_price"]),
            expires_at=d["expires_at"],
            post_only=d["post_only"],
            avoid=None if d["avoid"] is None else tuple(d["avoid"]),
            asked_at=d["asked_at"],
        )


class RouteStatusKind(StrEnum):
    """What happened to a held order."""

    TRIGGERED = "TRIGGERED"
    DISARMED = "DISARMED"
    HALTED = "HALTED"
    RESUMED = "RESUMED"


_ROUTE_STATUS_KIND: Final = {
    RouteStatusKind.TRIGGERED: b"\x00",
    RouteStatusKind.DISARMED: b"\x02",
    RouteStatusKind.HALTED: b"\x04",
    RouteStatusKind.RESUMED: b"\x06",
}
_ROUTE_STATUS_KIND_AT: Final = {index[0]: symbol for symbol, index in _ROUTE_STATUS_KIND.items()}


class RouteStatus(Record, frozen=True, kw_only=True):
    """What became of an order that the router holds. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.RouteStatus"
    order_id: str
    account_id: str
    symbol: str
    attempt: int  # Of the route request that it is about.
    kind: RouteStatusKind
    price: int | None = None  # Of the trade that triggered it.
    reason: str  # Stable code, or empty.
    at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.order_id],
                TEXTS[self.account_id],
                TEXTS[self.symbol],
                INTS[self.attempt],
                _ROUTE_STATUS_KIND[self.kind],
                b"\0" if self.price is None else b"\2" + MONEY[self.price],
                TEXTS[self.reason],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[RouteStatus, int]:
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
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n < 128:
            attempt = (n >> 1) ^ -(n & 1)
        else:
            attempt, i = long(d, i - 1)
        kind = _ROUTE_STATUS_KIND_AT[d[i]]
        i += 1
        price: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                price = d[i]
                if price > 127:
                    price -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                price = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        reason = d[i:j].decode()
        i = j
        at, i = to_time(d, i)
        return cls(
            order_id=order_id,
            account_id=account_id,
            symbol=symbol,
            attempt=attempt,
            kind=kind,
            price=price,
            reason=reason,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> RouteStatus:
        return cls(
            order_id=d["order_id"],
            account_id=d["account_id"],
            symbol=d["symbol"],
            attempt=d["attempt"],
            kind=RouteStatusKind(d["kind"]),
            price=None if d["price"] is None else to_money(d["price"]),
            reason=d["reason"],
            at=d["at"],
        )


class TradingStatus(StrEnum):
    """What may be traded: all, only what reduces, nothing; HALF_OPEN: all again, carefully."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"
    HALF_OPEN = "HALF_OPEN"


_TRADING_STATUS: Final = {
    TradingStatus.ACTIVE: b"\x00",
    TradingStatus.REDUCING: b"\x02",
    TradingStatus.HALTED: b"\x04",
    TradingStatus.HALF_OPEN: b"\x06",
}
_TRADING_STATUS_AT: Final = {index[0]: symbol for symbol, index in _TRADING_STATUS.items()}


class SetLimits(Record, frozen=True, kw_only=True):
    """Command: what changes of an account's limits; an absent field stays what it was, at first the default. With account_id * everybody's, whole. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.SetLimits"
    account_id: str
    command_id: str  # Names the command; repeats are harmless, for limits are set, not added.
    state: TradingStatus | None = None
    sanctioned: bool | None = None  # No order and no withdrawal.
    kyc_tier: int | None = None  # How far the account's owner is known.
    min_tier: int | None = None  # The tier that an order needs.
    max_quantity: int | None = None  # Of an order.
    max_notional: int | None = None  # Of an order, in its quote asset.
    collar: int | None = None
    max_open_orders: int | None = None
    max_day_notional: int | None = None  # Of all orders of a UTC day, in the reporting currency.
    max_account_position: int | None = None  # Of all that is held and being bought, in the reporting currency.
    max_positions: tuple[AssetAmount, ...] | None = None  # By asset, the most that may be held and bought.
    order_rate: int | None = None  # Orders a second.
    modify_rate: int | None = None  # Changes a second.
    sent_at: int
    unset: tuple[str, ...] | None = None  # Fields that are the default again; position.ASSET is one of max_positions.

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.account_id],
                TEXTS[self.command_id],
                b"\0" if self.state is None else b"\2" + _TRADING_STATUS[self.state],
                b"\0" if self.sanctioned is None else b"\2" + (b"\1" if self.sanctioned else b"\0"),
                b"\0" if self.kyc_tier is None else b"\2" + INTS[self.kyc_tier],
                b"\0" if self.min_tier is None else b"\2" + INTS[self.min_tier],
                b"\0" if self.max_quantity is None else b"\2" + MONEY[self.max_quantity],
                b"\0" if self.max_notional is None else b"\2" + MONEY[self.max_notional],
                b"\0" if self.collar is None else b"\2" + MONEY[self.collar],
                b"\0" if self.max_open_orders is None else b"\2" + INTS[self.max_open_orders],
                b"\0" if self.max_day_notional is None else b"\2" + MONEY[self.max_day_notional],
                b"\0" if self.max_account_position is None else b"\2" + MONEY[self.max_account_position],
                b"\0"
                if self.max_positions is None
                else b"\2"
                + (
                    b"".join((LENGTHS[len(self.max_positions)], *[x.body() for x in self.max_positions], b"\0"))
                    if self.max_positions
                    else b"\0"
                ),
                b"\0" if self.order_rate is None else b"\2" + INTS[self.order_rate],
                b"\0" if self.modify_rate is None else b"\2" + INTS[self.modify_rate],
                TIMES[self.sent_at],
                b"\0"
                if self.unset is None
                else b"\2"
                + (
                    b"".join((LENGTHS[len(self.unset)], *[TEXTS[x] for x in self.unset], b"\0"))
                    if self.unset
                    else b"\0"
                ),
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[SetLimits, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        account_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        command_id = d[i:j].decode()
        i = j
        state: TradingStatus | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            state = _TRADING_STATUS_AT[d[i]]
            i += 1
        sanctioned: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            sanctioned = BOOLEANS[d[i]]
            i += 1
        kyc_tier: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                kyc_tier = (n >> 1) ^ -(n & 1)
            else:
                kyc_tier, i = long(d, i - 1)
        min_tier: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                min_tier = (n >> 1) ^ -(n & 1)
            else:
                min_tier, i = long(d, i - 1)
        max_quantity: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                max_quantity = d[i]
                if max_quantity > 127:
                    max_quantity -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                max_quantity = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < max_quantity < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        max_notional: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                max_notional = d[i]
                if max_notional > 127:
                    max_notional -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                max_notional = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < max_notional < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        collar: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                collar = d[i]
                if collar > 127:
                    collar -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                collar = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < collar < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        max_open_orders: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                max_open_orders = (n >> 1) ^ -(n & 1)
            else:
                max_open_orders, i = long(d, i - 1)
        max_day_notional: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                max_day_notional = d[i]
                if max_day_notional > 127:
                    max_day_notional -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                max_day_notional = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < max_day_notional < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        max_account_position: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                max_account_position = d[i]
                if max_account_position > 127:
                    max_account_position -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                max_account_position = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < max_account_position < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        max_positions: tuple[AssetAmount, ...] | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            max_positions_: list[AssetAmount] = []
            n, i = long(d, i)
            while n:
                if n < 0:
                    _, i = long(d, i)
                for _ in range(abs(n)):
                    max_positions_item, i = AssetAmount.read(d, i)
                    max_positions_.append(max_positions_item)
                n, i = long(d, i)
            max_positions = tuple(max_positions_)
        order_rate: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                order_rate = (n >> 1) ^ -(n & 1)
            else:
                order_rate, i = long(d, i - 1)
        modify_rate: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n < 128:
                modify_rate = (n >> 1) ^ -(n & 1)
            else:
                modify_rate, i = long(d, i - 1)
        sent_at, i = to_time(d, i)
        unset: tuple[str, ...] | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            unset_: list[str] = []
            n, i = long(d, i)
            while n:
                if n < 0:
                    _, i = long(d, i)
                for _ in range(abs(n)):
                    n = d[i]
                    i += 1
                    if n & 129:
                        n, i = length(d, i)
                    j = i + (n >> 1)
                    unset_item = d[i:j].decode()
                    i = j
                    unset_.append(unset_item)
                n, i = long(d, i)
            unset = tuple(unset_)
        return cls(
            account_id=account_id,
            command_id=command_id,
            state=state,
            sanctioned=sanctioned,
            kyc_tier=kyc_tier,
            min_tier=min_tier,
            max_quantity=max_quantity,
            max_notional=max_notional,
            collar=collar,
            max_open_orders=max_open_orders,
            max_day_notional=max_day_notional,
            max_account_position=max_account_position,
            max_positions=max_positions,
            order_rate=order_rate,
            modify_rate=modify_rate,
            sent_at=sent_at,
            unset=unset,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> SetLimits:
        return cls(
            account_id=d["account_id"],
            command_id=d["command_id"],
            state=None if d["state"] is None else TradingStatus(d["state"]),
            sanctioned=d["sanctioned"],
            kyc_tier=d["kyc_tier"],
            min_tier=d["min_tier"],
            max_quantity=None if d["max_quantity"] is None else to_money(d["max_quantity"]),
            max_notional=None if d["max_notional"] is None else to_money(d["max_notional"]),
            collar=None if d["collar"] is None else to_money(d["collar"]),
            max_open_orders=d["max_open_orders"],
            max_day_notional=None if d["max_day_notional"] is None else to_money(d["max_day_notional"]),
            max_account_position=None if d["max_account_position"] is None else to_money(d["max_account_position"]),
            max_positions=None
            if d["max_positions"] is None
            else tuple(AssetAmount.from_wire(x) for x in d["max_positions"]),
            order_rate=d["order_rate"],
            modify_rate=d["modify_rate"],
            sent_at=d["sent_at"],
            unset=None if d["unset"] is None else tuple(d["unset"]),
        )


class Trade(Record, frozen=True, kw_only=True):
    """A public trade. Key: symbol."""

    AVRO: ClassVar[str] = "bestex.Trade"
    venue: str
    symbol: str
    trade_id: str
    price: int
    quantity: int
    side: Side | None = None  # Of the taker.
    venue_at: int | None = None
    received_at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.venue],
                TEXTS[self.symbol],
                TEXTS[self.trade_id],
                MONEY[self.price],
                MONEY[self.quantity],
                b"\0" if self.side is None else b"\2" + _SIDE[self.side],
                b"\0" if self.venue_at is None else b"\2" + TIMES[self.venue_at],
                TIMES[self.received_at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Trade, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        symbol = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        trade_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            price = d[i]
            if price > 127:
                price -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            price = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < price < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            quantity = d[i]
            if quantity > 127:
                quantity -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            quantity = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < quantity < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        side: Side | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            side = _SIDE_AT[d[i]]
            i += 1
        venue_at: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            venue_at, i = to_time(d, i)
        received_at, i = to_time(d, i)
        return cls(
            venue=venue,
            symbol=symbol,
            trade_id=trade_id,
            price=price,
            quantity=quantity,
            side=side,
            venue_at=venue_at,
            received_at=received_at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Trade:
        return cls(
            venue=d["venue"],
            symbol=d["symbol"],
            trade_id=d["trade_id"],
            price=to_money(d["price"]),
            quantity=to_money(d["quantity"]),
            side=None if d["side"] is None else Side(d["side"]),
            venue_at=d["venue_at"],
            received_at=d["received_at"],
        )


class TradingState(Record, frozen=True, kw_only=True):
    """What may be traded in a scope. Key: scope."""

    AVRO: ClassVar[str] = "bestex.TradingState"
    scope: str
    state: TradingStatus
    market_only: bool | None = None  # Only market orders are concerned.
    until: int | None = None  # When it ends by itself.
    reason: str
    actor: str
    at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.scope],
                _TRADING_STATUS[self.state],
                b"\0" if self.market_only is None else b"\2" + (b"\1" if self.market_only else b"\0"),
                b"\0" if self.until is None else b"\2" + TIMES[self.until],
                TEXTS[self.reason],
                TEXTS[self.actor],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[TradingState, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        scope = d[i:j].decode()
        i = j
        state = _TRADING_STATUS_AT[d[i]]
        i += 1
        market_only: bool | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            market_only = BOOLEANS[d[i]]
            i += 1
        until: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            until, i = to_time(d, i)
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        reason = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        actor = d[i:j].decode()
        i = j
        at, i = to_time(d, i)
        return cls(
            scope=scope,
            state=state,
            market_only=market_only,
            until=until,
            reason=reason,
            actor=actor,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> TradingState:
        return cls(
            scope=d["scope"],
            state=TradingStatus(d["state"]),
            market_only=d["market_only"],
            until=d["until"],
            reason=d["reason"],
            actor=d["actor"],
            at=d["at"],
        )


class TransferKind(StrEnum):
    """Direction of a transfer; a hold sets aside, a release gives back."""

    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    HOLD = "HOLD"
    RELEASE = "RELEASE"


_TRANSFER_KIND: Final = {
    TransferKind.DEPOSIT: b"\x00",
    TransferKind.WITHDRAWAL: b"\x02",
    TransferKind.HOLD: b"\x04",
    TransferKind.RELEASE: b"\x06",
}
_TRANSFER_KIND_AT: Final = {index[0]: symbol for symbol, index in _TRANSFER_KIND.items()}


class Transfer(Record, frozen=True, kw_only=True):
    """Command: move funds into or out of an account. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.Transfer"
    transfer_id: str  # Unique per account; a repeat is not applied again.
    account_id: str
    kind: TransferKind
    asset: str
    amount: int
    sent_at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.transfer_id],
                TEXTS[self.account_id],
                _TRANSFER_KIND[self.kind],
                TEXTS[self.asset],
                MONEY[self.amount],
                TIMES[self.sent_at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Transfer, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        transfer_id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        account_id = d[i:j].decode()
        i = j
        kind = _TRANSFER_KIND_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        asset = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            amount = d[i]
            if amount > 127:
                amount -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            amount = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < amount < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        sent_at, i = to_time(d, i)
        return cls(
            transfer_id=transfer_id,
            account_id=account_id,
            kind=kind,
            asset=asset,
            amount=amount,
            sent_at=sent_at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Transfer:
        return cls(
            transfer_id=d["transfer_id"],
            account_id=d["account_id"],
            kind=TransferKind(d["kind"]),
            asset=d["asset"],
            amount=to_money(d["amount"]),
            sent_at=d["sent_at"],
        )


class VenueAlertKind(StrEnum):
    """ORPHAN_ORDER: open there, named like a child of ours, and none of ours; CLOSED_ORDER_OPEN: open there, closed here; FOREIGN_ORDER: open there and not ours at all, at an account that is ours alone; BALANCE_DRIFT: a balance is not what our fills make of it; STREAM_SILENT: polls found what the user stream should have told; UNRESOLVED_CHILD: for a minute and more it could not be found out whether a child was taken, what it filled, or where it went."""

    ORPHAN_ORDER = "ORPHAN_ORDER"
    CLOSED_ORDER_OPEN = "CLOSED_ORDER_OPEN"
    FOREIGN_ORDER = "FOREIGN_ORDER"
    BALANCE_DRIFT = "BALANCE_DRIFT"
    STREAM_SILENT = "STREAM_SILENT"
    UNRESOLVED_CHILD = "UNRESOLVED_CHILD"


_VENUE_ALERT_KIND: Final = {
    VenueAlertKind.ORPHAN_ORDER: b"\x00",
    VenueAlertKind.CLOSED_ORDER_OPEN: b"\x02",
    VenueAlertKind.FOREIGN_ORDER: b"\x04",
    VenueAlertKind.BALANCE_DRIFT: b"\x06",
    VenueAlertKind.STREAM_SILENT: b"\x08",
    VenueAlertKind.UNRESOLVED_CHILD: b"\x0a",
}
_VENUE_ALERT_KIND_AT: Final = {index[0]: symbol for symbol, index in _VENUE_ALERT_KIND.items()}


class VenueAlertState(StrEnum):
    """Whether it is so, or is over."""

    RAISED = "RAISED"
    CLEARED = "CLEARED"


_VENUE_ALERT_STATE: Final = {
    VenueAlertState.RAISED: b"\x00",
    VenueAlertState.CLEARED: b"\x02",
}
_VENUE_ALERT_STATE_AT: Final = {index[0]: symbol for symbol, index in _VENUE_ALERT_STATE.items()}


class VenueAlert(Record, frozen=True, kw_only=True):
    """Something at a venue is not as we know it, or is again. Key: id."""

    AVRO: ClassVar[str] = "bestex.VenueAlert"
    id: str
    venue: str
    kind: VenueAlertKind
    state: VenueAlertState
    asset: str | None = None  # Of a BALANCE_DRIFT.
    expected: int | None = None
    found: int | None = None
    symbol: str | None = None  # Of an order.
    child_id: str | None = None  # Of an order of ours.
    client_order_id: str | None = None  # Of an order: the client's id as the venue has it.
    venue_order_id: str | None = None  # Of an order: the venue's own id.
    detail: str  # In words.
    raised_at: int
    at: int  # When it was raised or cleared.

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.id],
                TEXTS[self.venue],
                _VENUE_ALERT_KIND[self.kind],
                _VENUE_ALERT_STATE[self.state],
                b"\0" if self.asset is None else b"\2" + TEXTS[self.asset],
                b"\0" if self.expected is None else b"\2" + MONEY[self.expected],
                b"\0" if self.found is None else b"\2" + MONEY[self.found],
                b"\0" if self.symbol is None else b"\2" + TEXTS[self.symbol],
                b"\0" if self.child_id is None else b"\2" + TEXTS[self.child_id],
                b"\0" if self.client_order_id is None else b"\2" + TEXTS[self.client_order_id],
                b"\0" if self.venue_order_id is None else b"\2" + TEXTS[self.venue_order_id],
                TEXTS[self.detail],
                TIMES[self.raised_at],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[VenueAlert, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        id = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        kind = _VENUE_ALERT_KIND_AT[d[i]]
        i += 1
        state = _VENUE_ALERT_STATE_AT[d[i]]
        i += 1
        asset: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            asset = d[i:j].decode()
            i = j
        expected: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                expected = d[i]
                if expected > 127:
                    expected -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                expected = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < expected < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        found: int | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n == 2:
                found = d[i]
                if found > 127:
                    found -= 256
                i += 1
            else:
                if n & 129:
                    n, i = length(d, i)
                j = i + (n >> 1)
                found = from_bytes(d[i:j], "big", signed=True)
                if n > 16 and not -MAX_MONEY < found < MAX_MONEY:
                    raise ValueError("a decimal that does not fit decimal(20,8)")
                i = j
        symbol: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            symbol = d[i:j].decode()
            i = j
        child_id: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            child_id = d[i:j].decode()
            i = j
        client_order_id: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            client_order_id = d[i:j].decode()
            i = j
        venue_order_id: str | None = None
        i += 1
        if d[i - 1]:
            if d[i - 1] != 2:
                raise ValueError("no such branch")
            n = d[i]
            i += 1
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            venue_order_id = d[i:j].decode()
            i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        detail = d[i:j].decode()
        i = j
        raised_at, i = to_time(d, i)
        at, i = to_time(d, i)
        return cls(
            id=id,
            venue=venue,
            kind=kind,
            state=state,
            asset=asset,
            expected=expected,
            found=found,
            symbol=symbol,
            child_id=child_id,
            client_order_id=client_order_id,
            venue_order_id=venue_order_id,
            detail=detail,
            raised_at=raised_at,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> VenueAlert:
        return cls(
            id=d["id"],
            venue=d["venue"],
            kind=VenueAlertKind(d["kind"]),
            state=VenueAlertState(d["state"]),
            asset=d["asset"],
            expected=None if d["expected"] is None else to_money(d["expected"]),
            found=None if d["found"] is None else to_money(d["found"]),
            symbol=d["symbol"],
            child_id=d["child_id"],
            client_order_id=d["client_order_id"],
            venue_order_id=d["venue_order_id"],
            detail=d["detail"],
            raised_at=d["raised_at"],
            at=d["at"],
        )


class VenueBalance(Record, frozen=True, kw_only=True):
    """What our account at a venue has of an asset. Key: venue and asset, joined by a bar."""

    AVRO: ClassVar[str] = "bestex.VenueBalance"
    venue: str
    asset: str
    free: int  # May be spent on new orders.
    locked: int  # In open orders there.
    at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.venue],
                TEXTS[self.asset],
                MONEY[self.free],
                MONEY[self.locked],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[VenueBalance, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        asset = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            free = d[i]
            if free > 127:
                free -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            free = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < free < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n == 2:
            locked = d[i]
            if locked > 127:
                locked -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            locked = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < locked < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        at, i = to_time(d, i)
        return cls(
            venue=venue,
            asset=asset,
            free=free,
            locked=locked,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> VenueBalance:
        return cls(
            venue=d["venue"],
            asset=d["asset"],
            free=to_money(d["free"]),
            locked=to_money(d["locked"]),
            at=d["at"],
        )


class VenueStatus(StrEnum):
    """Whether a venue may be traded on."""

    ACTIVE = "ACTIVE"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"
    MAINTENANCE = "MAINTENANCE"


_VENUE_STATUS: Final = {
    VenueStatus.ACTIVE: b"\x00",
    VenueStatus.DEGRADED: b"\x02",
    VenueStatus.DOWN: b"\x04",
    VenueStatus.MAINTENANCE: b"\x06",
}
_VENUE_STATUS_AT: Final = {index[0]: symbol for symbol, index in _VENUE_STATUS.items()}


class VenueHealth(Record, frozen=True, kw_only=True):
    """How a venue does. Key: venue."""

    AVRO: ClassVar[str] = "bestex.VenueHealth"
    venue: str
    status: VenueStatus
    latency_us: int  # Of an order's round trip, smoothed.
    success_rate: int  # 0 to 1, smoothed.
    reason: str
    at: int

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.venue],
                _VENUE_STATUS[self.status],
                LONGS[self.latency_us],
                MONEY[self.success_rate],
                TEXTS[self.reason],
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[VenueHealth, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        status = _VENUE_STATUS_AT[d[i]]
        i += 1
        n = d[i]
        i += 1
        if n < 128:
            latency_us = (n >> 1) ^ -(n & 1)
        else:
            latency_us, i = long(d, i - 1)
        n = d[i]
        i += 1
        if n == 2:
            success_rate = d[i]
            if success_rate > 127:
                success_rate -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            success_rate = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < success_rate < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        reason = d[i:j].decode()
        i = j
        at, i = to_time(d, i)
        return cls(
            venue=venue,
            status=status,
            latency_us=latency_us,
            success_rate=success_rate,
            reason=reason,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> VenueHealth:
        return cls(
            venue=d["venue"],
            status=VenueStatus(d["status"]),
            latency_us=d["latency_us"],
            success_rate=to_money(d["success_rate"]),
            reason=d["reason"],
            at=d["at"],
        )


class VenueHolding(Record, frozen=True, kw_only=True):
    """One asset."""

    AVRO: ClassVar[str] = "bestex.VenueHolding"
    asset: str
    amount: int
    sure: bool

    def body(self) -> bytes:
        return b"".join(
            (
                TEXTS[self.asset],
                MONEY[self.amount],
                (b"\1" if self.sure else b"\0"),
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[VenueHolding, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        asset = d[i:j].decode()
        i = j
        n = d[i]
        i += 1
        if n == 2:
            amount = d[i]
            if amount > 127:
                amount -= 256
            i += 1
        else:
            if n & 129:
                n, i = length(d, i)
            j = i + (n >> 1)
            amount = from_bytes(d[i:j], "big", signed=True)
            if n > 16 and not -MAX_MONEY < amount < MAX_MONEY:
                raise ValueError("a decimal that does not fit decimal(20,8)")
            i = j
        sure = BOOLEANS[d[i]]
        i += 1
        return cls(
            asset=asset,
            amount=amount,
            sure=sure,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> VenueHolding:
        return cls(
            asset=d["asset"],
            amount=to_money(d["amount"]),
            sure=d["sure"],
        )


class VenueLedger(Record, frozen=True, kw_only=True):
    """Journal value: what our account at a venue must hold. Key: ledger and venue, joined by a bar."""

    AVRO: ClassVar[str] = "bestex.VenueLedger"
    venue: str
    holdings: tuple[VenueHolding, ...]
    at: int  # When it was counted first.

    def body(self, *, holdings: bytes | None = None) -> bytes:
        return b"".join(
            (
                TEXTS[self.venue],
                holdings
                if holdings is not None
                else (
                    b"".join((LENGTHS[len(self.holdings)], *[x.body() for x in self.holdings], b"\0"))
                    if self.holdings
                    else b"\0"
                ),
                TIMES[self.at],
            )
        )

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[VenueLedger, int]:
        n = d[i]
        i += 1
        if n & 129:
            n, i = length(d, i)
        j = i + (n >> 1)
        venue = d[i:j].decode()
        i = j
        holdings_: list[VenueHolding] = []
        n, i = long(d, i)
        while n:
            if n < 0:
                _, i = long(d, i)
            for _ in range(abs(n)):
                holdings_item, i = VenueHolding.read(d, i)
                holdings_.append(holdings_item)
            n, i = long(d, i)
        holdings = tuple(holdings_)
        at, i = to_time(d, i)
        return cls(
            venue=venue,
            holdings=holdings,
            at=at,
        ), i

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> VenueLedger:
        return cls(
            venue=d["venue"],
            holdings=tuple(VenueHolding.from_wire(x) for x in d["holdings"]),
            at=d["at"],
        )


RECORDS: tuple[type[Record], ...] = (
    AccountState,
    BookUpdate,
    CancelAll,
    CancelOrder,
    ChildCancel,
    ChildOrder,
    ClientId,
    DeadLetter,
    ExecutionReport,
    ExecutionState,
    Fill,
    Instrument,
    ModifyOrder,
    OpenOrders,
    OrderEvent,
    OrderRecord,
    PlaceOrder,
    Position,
    Quote,
    RouteCancel,
    RoutePlan,
    RouteRequest,
    RouteStatus,
    SetLimits,
    Trade,
    TradingState,
    Transfer,
    VenueAlert,
    VenueBalance,
    VenueHealth,
    VenueLedger,
)
