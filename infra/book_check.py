"""`bestex book check`: a recording's books rebuilt and held against what the exchange itself said, with faults put in on purpose.

What is checked is what is routed on: each message goes through the exchange's own rule (`connectors.feeds.raw.book`), becomes a
`BookUpdate`, and changes a `streams.domain.book.Book`; that book, while it is live, is what is *offered*.

`compared` counts, by what the recording has:

* Binance: after each change, the offered best levels against the exchange's last `bookTicker` at or before the change's last update id.
  Its quotes tell every change of the best levels, so that this is what they were at that very id; `equal_ids` of them carry the id itself;
* Kraken, OKX, Bitfinex: every checksum (made of the numbers as printed);
* the normalised form has nothing to compare with: 0.

Faults (`every` so many book messages of a live book): a message is left out, told twice, told after the next one of its symbol, or
damaged. Damaged means: where there are checksums, a digit of each level is another one; where there are none, a byte is wrong (a digit that is
another one is TLS's to find there). Where a checksum is all there is (Kraken), a fault goes into the next message that changes what the checksum
covers, because the loss of any other shows only once its level comes near the best; a message whose every level the next one tells anew is not lost. A fault counts as `detected` when the book was
refused, or the message recognised, before the book was used further. Meanwhile an undisturbed twin is rebuilt beside it: whenever a book is offered
after a message, its ten best levels must be the twin's after the same message, else that is `mismatched` too. After `RESYNC` messages
a stale book is given the twin's as the snapshot that the exchange would send.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from connectors.feeds.amounts import floor_units
from connectors.feeds.frames import exchange_of
from connectors.feeds.raw import binance
from connectors.feeds.raw.book import Heard, RawBook
from connectors.feeds.raw.registry import RAW
from connectors.feeds.raw.words import Said
from schemas.records import BookUpdate, BookUpdateKind, Level
from streams.domain.book import Book

RESYNC = 3
QUOTES = 1000  # of the exchange's own that are kept: the stream of changes may be this many behind
TOP = 10
KINDS = ("dropped", "duplicated", "reordered", "corrupted")
NORMALISED = "normalised"
_STAMPED = re.compile(rb"(\d{19}) ")
_LOGGED = re.compile(rb"(\d{9,11}(?:\.\d+)?): ")

Top = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]


class CheckError(ValueError):
    """The file cannot be checked: says why."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Every how many book messages a fault is put in; 0 for never."""

    dropped: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0

    def at(self, n: int) -> str | None:
        """The fault that the `n`th message is due for."""
        return next((kind for kind in KINDS if (every := getattr(self, kind)) and n % every == 0), None)


@dataclass(slots=True)
class _Symbol:
    """One symbol: the offered book, the raw one behind it, the undisturbed twin, and what is under way."""

    raw: RawBook
    twin: RawBook
    offered: Book = field(default_factory=Book)
    chain: int = 0  # ids of the updates that we make
    seen: int = 0
    due: str | None = None
    pending: str | None = None
    held: bytes | None = None
    between: bool = False
    lost: frozenset[tuple[bool, str]] = frozenset()
    stale_for: int = 0
    checksum: int | None = None  # of the twin's last message


@dataclass(slots=True)
class _Waiting:
    """A state to be compared with the exchange's quotes once they have passed it."""

    symbol: str
    at: int
    top: tuple[tuple[int, int] | None, tuple[int, int] | None]


def check(path: Path, faults: Faults | None = None, exchange: str | None = None) -> dict[str, Any]:
    """The object that `bestex book check --json` prints. Raises `CheckError`."""
    try:
        return _Check(faults or Faults(), *_opened(path, exchange)).run()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise CheckError(f"{path}: {error}") from error


class _Check:
    def __init__(self, faults: Faults, exchange: str, frames: Iterator[bytes]) -> None:
        self._faults, self._frames, self._exchange = faults, frames, exchange
        of = RAW.get(exchange)
        self._checksum = of.checksum if of else None
        # Binance deletes levels beyond its snapshot's 1,000 too; these two forms delete only what they told before
        self._uncounted = exchange in ("kraken", NORMALISED)
        self._read = of.reader() if of else None
        self._heard = of.reader() if of else None
        self._symbols: dict[str, _Symbol] = {}
        self._early: list[Said] = []  # changes before the first snapshot
        self._quotes: dict[str, deque[binance.Ticker]] = {}
        self._waiting: list[_Waiting] = []
        self.updates = self.gaps = self.compared = self.mismatched = self.stale_periods = self.equal_ids = 0
        self.injected = dict.fromkeys(KINDS, 0)
        self.detected = dict.fromkeys(KINDS, 0)

    def run(self) -> dict[str, Any]:
        for number, frame in enumerate(self._frames, 1):
            try:
                quote = binance.ticker(frame) if self._exchange == "binance" else None
                if quote is not None:
                    self._quoted(quote)
                    continue
                words = self._words(frame)
            except ValueError as error:
                raise ValueError(f"message {number}: {error}") from error
            for said in words:
                self._message(frame, said)
        self._settle(None)
        for of in self._symbols.values():
            if of.pending:  # the recording ended before anything could tell
                self.injected[of.pending] -= 1
        if not self._symbols:
            raise ValueError("no book in it")
        return {
            "updates": self.updates,
            "gaps": self.gaps,
            "compared": self.compared,
            "mismatched": self.mismatched,
            "stale_periods": self.stale_periods,
            "detected": self.detected,
            "injected": self.injected,
            "equal_ids": self.equal_ids,
            "exchange": self._exchange,
            "symbols": len(self._symbols),
        }

    # ---- one message

    def _words(self, frame: bytes) -> list[Said]:
        if self._read is None:
            return _normalised(frame)
        found = [word for word in self._read.words(frame) if isinstance(word, Said)]
        if self._read.gap:
            self._read.gap = False
            self._break_all()
        return found

    def _message(self, frame: bytes, said: Said) -> None:
        if not said.symbol_id:
            if len(self._symbols) > 1 or not (self._symbols or self._early):
                raise ValueError("a snapshot that names no symbol, and not one symbol in the file so far")
            name = next(iter(self._symbols)) if self._symbols else self._early[0].symbol_id
            said = said._replace(symbol_id=name)
        of = self._symbols.get(said.symbol_id)
        if of is None and not said.snapshot:
            self._early.append(said)
            return
        if of is None:
            of = self._symbols[said.symbol_id] = _Symbol(self._book(), self._book())
        before = of.checksum
        told = of.twin.hear(said)
        of.checksum = said.checksum
        if said.snapshot:
            self._take(of, said)
            for early in [e for e in self._early if e.symbol_id == said.symbol_id]:
                if of.twin.sequence is None or (early.sequence or 0) > of.twin.sequence:
                    of.twin.hear(early)
                    self._take(of, early)
            self._early = [e for e in self._early if e.symbol_id != said.symbol_id]
            return
        self._deliver(of, frame, said, shows=self._checksum is None or said.checksum != before)
        if told in (Heard.GAP, Heard.CHECKSUM, Heard.INVALID) and not any(self.injected.values()):
            return  # the recording itself is broken there; the book waits for its next snapshot
        self._resync(of, said)

    def _deliver(self, of: _Symbol, frame: bytes, said: Said, shows: bool) -> None:
        """Hand a change on, unless a fault is due."""
        if of.pending == "dropped" and of.held is not None:
            held, of.held = of.held, None
            if of.lost <= _prices(said):  # told anew before anyone could miss it: no loss after all
                of.due, of.pending = "dropped", None
                self.injected["dropped"] -= 1
                of.between = True  # the twin has heard the next one already
                self._take_frame(of, held)
                of.between = False
            self._take(of, said)
            self._missed(of)
            return
        if of.held is not None:
            held, of.held = of.held, None
            of.between = True  # the next message has come before this one: neither is the twin's state
            self._take(of, said)
            of.between = False
            self._take_frame(of, held)
            self._missed(of)
            return
        of.seen += 1
        of.due = of.due or self._faults.at(of.seen)
        kind = of.due
        if kind is None or not of.raw.live or of.pending is not None or not shows:
            self._take(of, said)
            return
        of.due, of.pending = None, kind
        self.injected[kind] += 1
        if kind == "duplicated":
            self._take_frame(of, frame)
            self._take_frame(of, frame)
            self._missed(of)
        elif kind == "reordered":
            of.held = frame
        elif kind == "dropped":
            of.held, of.lost = frame, _prices(said)
        elif kind == "corrupted":
            self._take_frame(of, _damaged(frame, said, self._checksum is not None))
            self._missed(of)

    def _take_frame(self, of: _Symbol, frame: bytes) -> None:
        """A message as bytes, which may be damaged."""
        try:
            if self._heard is None:
                words = _normalised(frame)
            else:
                words = [word for word in self._heard.words(frame) if isinstance(word, Said)]
        except ValueError:
            of.raw.stale()
            self._stale(of, BookUpdateKind.STALE)
            self._found(of)
            return
        for said in words:
            self._take(of, said)

    def _take(self, of: _Symbol, said: Said) -> None:
        """Into the raw book and, as an update, into the offered one."""
        live = of.raw.live
        heard = of.raw.hear(said)
        if heard is Heard.CHANGED:
            self.updates += 1
            self._offer(of, said)
            self._compare(of, said)
        elif heard is Heard.SEEN:
            self._found(of)
        elif heard is not Heard.WAITING:
            if heard is Heard.CHECKSUM and of.pending is None:
                self.compared += 1
                self.mismatched += 1
            if live:
                self._stale(of, BookUpdateKind.STALE)
            self._found(of)

    def _offer(self, of: _Symbol, said: Said) -> None:
        of.chain += 1
        of.offered.apply(
            BookUpdate(
                venue=self._exchange,
                symbol=said.symbol_id,
                kind=BookUpdateKind.SNAPSHOT if said.snapshot else BookUpdateKind.DIFF,
                first_id=None if said.snapshot else of.chain,
                last_id=of.chain,
                previous_id=None if said.snapshot else of.chain - 1,
                bids=_levels(said.bids),
                asks=_levels(said.asks),
                received_at=of.chain,
            )
        )
        if said.depth and max(len(of.offered.bids), len(of.offered.asks)) > said.depth:
            self._whole(of, said.symbol_id)

    def _whole(self, of: _Symbol, symbol: str) -> None:
        """Levels fell off the end: the offered book is told whole."""
        of.chain += 1
        of.offered.apply(
            BookUpdate(
                venue=self._exchange,
                symbol=symbol,
                kind=BookUpdateKind.SNAPSHOT,
                last_id=of.chain,
                bids=_levels(tuple(of.raw.bids)),
                asks=_levels(tuple(of.raw.asks)),
                received_at=of.chain,
            )
        )

    def _stale(self, of: _Symbol, kind: BookUpdateKind) -> None:
        self.gaps += 1
        self.stale_periods += 1
        of.stale_for = 0
        of.offered.apply(BookUpdate(venue=self._exchange, symbol="", kind=kind, bids=(), asks=(), received_at=of.chain))

    def _break_all(self) -> None:
        for of in self._symbols.values():
            if of.raw.live:
                of.raw.stale()
                self._stale(of, BookUpdateKind.STALE)
                self._found(of)

    def _found(self, of: _Symbol) -> None:
        if of.pending is not None:
            self.detected[of.pending] += 1
            of.pending = None

    def _missed(self, of: _Symbol) -> None:
        """The message after a fault was taken as sound, or the fault was: it stays undetected."""
        of.pending = None

    def _resync(self, of: _Symbol, said: Said) -> None:
        if of.raw.live or not of.twin.live:
            return
        of.stale_for += 1
        if of.stale_for > RESYNC and of.held is None:
            bids, asks = tuple(of.twin.bids), tuple(of.twin.asks)
            self._take(of, Said(said.symbol_id, True, bids, asks, sequence=of.twin.sequence, depth=said.depth))

    def _book(self) -> RawBook:
        return RawBook(self._checksum, tight=self._uncounted, ordered=self._uncounted)

    # ---- comparing

    def _compare(self, of: _Symbol, said: Said) -> None:
        offered = of.offered
        if not offered.live:
            raise ValueError(f"{said.symbol_id}: the book behind a sound message is not live")
        if said.checksum is not None and self._checksum is not None:
            self.compared += 1
        top = _top(offered)
        alike = of.held is not None or of.between or top == _raw_top(of.twin)
        self.mismatched += not alike or top != _raw_top(of.raw)
        if self._exchange == "binance" and said.sequence is not None and not said.snapshot:
            self._waiting.append(_Waiting(said.symbol_id, said.sequence, (offered.bid, offered.ask)))

    def _quoted(self, quote: binance.Ticker) -> None:
        self._settle(quote)
        self._quotes.setdefault(quote.symbol_id, deque(maxlen=QUOTES)).append(quote)

    def _settle(self, quote: binance.Ticker | None) -> None:
        """Compare the states that the quotes have passed; at the end (None) those that the last quote does not lie behind."""
        left = []
        for state in self._waiting:
            if quote is not None and (quote.symbol_id != state.symbol or quote.at <= state.at):
                left.append(state)
                continue
            told = self._quotes.get(state.symbol, deque())
            last = next((q for q in reversed(told) if q.at <= state.at), None)
            if last is not None and (quote is not None or told[-1].at >= state.at):
                self.compared += 1
                self.equal_ids += last.at == state.at
                self.mismatched += state.top != (last.bid, last.ask)
        self._waiting = left


def _top(book: Book) -> Top:
    return tuple(islice(book.bids, TOP)), tuple(islice(book.asks, TOP))


def _raw_top(book: RawBook) -> Top:
    def side(levels: Iterator[tuple[str, str]]) -> tuple[tuple[int, int], ...]:
        return tuple([(floor_units(price), floor_units(quantity)) for price, quantity in islice(levels, TOP)])

    return side(iter(book.bids)), side(iter(book.asks))


def _prices(said: Said) -> frozenset[tuple[bool, str]]:
    return frozenset([(True, price) for price, _ in said.bids] + [(False, price) for price, _ in said.asks])


def _levels(texts: tuple[tuple[str, str], ...]) -> tuple[Level, ...]:
    return tuple([Level(price=floor_units(price), quantity=floor_units(quantity)) for price, quantity in texts])


def _damaged(frame: bytes, said: Said, digits: bool) -> bytes:
    """The frame with each level's first quantity digit another one, or with a byte that no JSON has."""
    if not digits:
        middle = len(frame) // 2
        return frame[:middle] + b"\xff\x00" + frame[middle + 2 :]
    for price, quantity in (*said.bids, *said.asks):
        wrong = str((int(quantity[0]) + 1) % 10) + quantity[1:]
        frame = re.sub(
            rb"(" + re.escape(price.encode()) + rb'"?,\s*"?)' + re.escape(quantity.encode()),
            lambda found, wrong=wrong: found[1] + wrong.encode(),  # type: ignore[misc]
            frame,
            count=1,
        )
    return frame


# ---- the file


def _opened(path: Path, exchange: str | None) -> tuple[str, Iterator[bytes]]:
    """The exchange, or `normalised`, and the file's messages."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"

    def lines() -> Iterator[bytes]:
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            yield from file

    def messages() -> Iterator[bytes]:
        for line in lines():
            stamp = _STAMPED.match(line) or _LOGGED.match(line)
            if stamp is not None:
                yield line[stamp.end() :].rstrip()
            elif line.startswith(b"{"):
                yield line.rstrip()
            elif line.strip() and not line.startswith((b"wss://", b"ws://", b"http")):
                raise ValueError(f"neither a raw nor a normalised line: {line[:60]!r}")

    for message in messages():
        found = exchange or _recognised(message)
        if found is not None:
            if found != NORMALISED and found not in RAW:
                raise ValueError(f"no parser for {found!r}; there are {', '.join(RAW)}")
            return found, messages()
    raise ValueError("no exchange's messages are recognised in it")


def _recognised(message: bytes) -> str | None:
    """Whose message it is; None when it could be several's."""
    if b'"localTimestamp"' in message[:400] or b'"localTimestamp"' in message[-200:]:
        return NORMALISED
    return exchange_of(message)


def _normalised(line: bytes) -> list[Said]:
    """A line of the normalised form; each exchange's symbol is a book of its own, amounts as they stand."""
    try:
        said = json.loads(line, parse_float=str, parse_int=str)
        if said["type"] != "book_change":
            return []
        bids, asks = (tuple([(x["price"], x["amount"]) for x in said[side]]) for side in ("bids", "asks"))
        at = datetime.fromisoformat(said["timestamp"])
        name, whole = f"{said['exchange']} {said['symbol']}", said.get("isSnapshot", False)
        return [Said(name, whole, bids, asks, venue_at=int(at.timestamp()) * 1_000_000 + at.microsecond)]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a normalised line: {error!r}") from error
