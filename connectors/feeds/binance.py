"""Binance's market streams, spot and USD-M futures.

The combined stream `/stream?streams=btcusdt@depth@100ms/btcusdt@trade` frames each message with its stream's name:

    {"stream": "btcusdt@depth@100ms", "data": {"e": "depthUpdate", "E": 1723161255208, "s": "BTCUSDT",
     "U": 50093239189, "u": 50093239202, "b": [["61737.63000000", "0.00000000"]], "a": [["61837.64000000", "1.54698000"]]}}
    {"stream": "btcusdt@trade", "data": {"e": "trade", "E": 1723161255343, "s": "BTCUSDT", "t": 3735683259,
     "p": "61837.63000000", "q": "0.02000000", "T": 1723161255342, "m": true, "M": true}}

`GET /api/v3/depth?symbol=BTCUSDT&limit=1000` answers

    {"lastUpdateId": 50093239218, "bids": [["61837.63000000", "3.78826000"]], "asks": [["61837.64000000", "1.60520000"]]}

USD-M's changes carry `pu`, the `u` of the change before; its ids are not consecutive, so that only `pu` shows a gap. Source of the
rules of continuity: "How to manage a local order book correctly" in Binance's documentation of spot and of USD-M streams.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from connectors.feeds.amounts import floor_units
from connectors.feeds.follower import Follower
from connectors.feeds.market import Depth, Levels, Message, Parse, Print
from schemas.records import Side

_Texts = list[tuple[str, str]]


class _Sides(msgspec.Struct, gc=False):
    """A change whose levels are still as they came."""

    E: int
    s: str
    U: int
    u: int
    b: msgspec.Raw
    a: msgspec.Raw
    pu: int | None = None


class _Trade(msgspec.Struct):
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class _Book(msgspec.Struct):
    lastUpdateId: int
    bids: _Texts
    asks: _Texts
    E: int | None = None  # USD-M only


class _Frame(msgspec.Struct):
    data: msgspec.Raw
    stream: str


class _ChangeFrame(msgspec.Struct, gc=False):
    data: _Sides


_frame = msgspec.json.Decoder(_Frame).decode
_change_frame = msgspec.json.Decoder(_ChangeFrame).decode
_sides = msgspec.json.Decoder(_Sides).decode
_trade = msgspec.json.Decoder(_Trade).decode
_book = msgspec.json.Decoder(_Book).decode
_texts = msgspec.json.Decoder(_Texts).decode

_ZEROS = bytes.maketrans(b"123456789", b"000000000")
NAMED = 40  # bytes in which a frame has named its stream
TOO_LONG = b"0" * 13  # digits that no number in range has before its dot


def levels(texts: _Texts) -> Levels:
    """`[["61837.64000000", "1.54698000"]]` as ints of 1e-8."""
    return tuple([(floor_units(price), floor_units(quantity)) for price, quantity in texts])


def sides(bids: bytes | msgspec.Raw, asks: bytes | msgspec.Raw) -> tuple[Levels, Levels]:
    """The same of both sides' JSON text, which must be valid. Raises `ValueError`.

    Spot prints every number with eight decimals: without the dots the ints of 1e-8 stand there. What does not look so is read the long way.
    """
    both = bytes(bids), bytes(asks)
    how_many = both[0].count(b'","')
    numbers = 2 * (how_many + both[1].count(b'","'))
    told = b",".join(both).translate(None, b'[]"').strip(b",")  # an empty side leaves its comma
    shape = told.translate(_ZEROS)
    texts = told.translate(None, b".").decode().split(",")
    if (
        shape.count(b".00000000,") + shape.endswith(b".00000000") != numbers
        or len(texts) != numbers
        or both[0].count(b"[") + both[1].count(b"[") != numbers // 2 + 2
        or shape.translate(None, b"0,") != b"." * numbers
        or TOO_LONG in shape
    ):
        return levels(_texts(both[0])), levels(_texts(both[1]))
    ints = map(int, texts)
    pairs = tuple(zip(ints, ints, strict=True))
    return pairs[:how_many], pairs[how_many:]


def stream_of(data: bytes) -> tuple[str, msgspec.Raw]:
    """Name and content of a combined stream's frame. Raises `ValueError`."""
    frame = _frame(data)
    return frame.stream, frame.data


def change(data: bytes | msgspec.Raw) -> tuple[str, Depth]:
    """A `depthUpdate`: the symbol id and the change. Raises `ValueError`."""
    return _depth(_sides(data))


def _depth(raw: _Sides) -> tuple[str, Depth]:
    return raw.s, Depth(raw.U, raw.u, raw.pu, *sides(raw.b, raw.a), raw.E * 1000)


def trade(data: bytes | msgspec.Raw) -> tuple[str, Print]:
    """A `trade`; `m` says that the buyer was the maker, so that the taker sold. Raises `ValueError`."""
    raw = _trade(data)
    side = Side.SELL if raw.m else Side.BUY
    return raw.s, Print(str(raw.t), floor_units(raw.p), floor_units(raw.q), side, raw.T * 1000)


class Binance:
    """`connectors.feeds.market.Exchange` and `Joined` for Binance."""

    ws_url, rest_url = "wss://stream.binance.com:9443", "https://api.binance.com"
    per_connection = 200  # of 1,024 streams, two a symbol; less, so that one that breaks takes fewer with it
    ping: bytes | None = None  # the protocol's own

    def names(self, symbol: str) -> tuple[str, ...]:
        return (self.symbol_id(symbol),)

    def symbol_id(self, symbol: str) -> str:
        """`BTC/USDT` is `BTCUSDT`."""
        return symbol.replace("/", "")

    def stream_url(self, ws_url: str, symbols: Sequence[str]) -> str:
        ids = [self.symbol_id(symbol).lower() for symbol in symbols]
        return f"{ws_url.rstrip('/')}/stream?streams=" + "/".join(f"{i}@depth@100ms/{i}@trade" for i in ids)

    def hello(self, symbols: Sequence[str]) -> Sequence[bytes]:
        return ()  # the address says it

    def renew(self, symbol: str) -> Sequence[bytes]:
        return ()

    def follower(self, venue: str, symbol: str, depth: int, diffs: bool) -> Follower:
        return Follower(venue, symbol, self, depth, diffs)

    def parser(self) -> Parse:
        def parse(data: bytes) -> Sequence[Message]:
            found = self.message(data)
            return () if found is None else (found,)

        return parse

    def snapshot_url(self, rest_url: str, symbol: str) -> str:
        return f"{rest_url.rstrip('/')}/api/v3/depth?symbol={self.symbol_id(symbol)}&limit=1000"

    def message(self, data: bytes) -> tuple[str, Depth | Print] | None:
        """A frame of the combined stream; others of its streams (`bookTicker` …) carry nothing that we publish."""
        if data.startswith(b'{"stream":"') and data.find(b"@depth", 11, NAMED) > 0:  # most of them, read in one go
            return _depth(_change_frame(data).data)
        name, content = stream_of(data)
        kind = name.partition("@")[2]
        if kind.startswith("depth"):
            return change(content)
        return trade(content) if kind == "trade" else None

    def snapshot(self, data: bytes) -> Depth:
        raw = _book(data)
        at = None if raw.E is None else raw.E * 1000
        return Depth(None, raw.lastUpdateId, None, levels(raw.bids), levels(raw.asks), at)

    def covered(self, last_id: int, change: Depth) -> bool:
        return change.last_id <= last_id

    def follows(self, last_id: int, change: Depth, fresh: bool) -> bool:
        first = change.first_id or 0
        if change.previous_id is None:
            return first == last_id + 1 or (fresh and first <= last_id + 1 <= change.last_id)
        return change.previous_id == last_id or (fresh and first <= last_id <= change.last_id)


# Longest first: BTCFDUSD is BTC in FDUSD, not BTCFD in USD.
QUOTES = (
    "FDUSD",
    "USDT",
    "USDC",
    "TUSD",
    "BUSD",
    "USDP",
    "USD",
    "BTC",
    "ETH",
    "BNB",
    "EUR",
    "GBP",
    "TRY",
    "BRL",
    "JPY",
)


def split_symbol(symbol_id: str) -> str | None:
    """`BTCUSDT` is `BTC/USDT`; `None` when it ends in no known quote asset."""
    for quote in QUOTES:
        if symbol_id.endswith(quote) and len(symbol_id) > len(quote):
            return f"{symbol_id.removesuffix(quote)}/{quote}"
    return None
