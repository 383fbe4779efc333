"""`bestex route`: what the router would do with a market order on a recorded snapshot, without anything running.

It is the router's own `plan` on the snapshot's books, with no limit price, no lots or minimums (a snapshot has none) and no bound on
the number of children. A snapshot is a list of `{venue, base, quote, bids, asks}`, a level `{price, qty}` with exact fractions
`{numerator, denominator}`; the file may be gzipped. What is finer than 1e-8 is rounded against the order: asks up, bids down,
quantities down. Levels of one price at one venue are added up.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from schemas.records import (
    BookUpdate,
    BookUpdateKind,
    Instrument,
    InstrumentStatus,
    Level,
    OrderType,
    RoutePlan,
    RouteRequest,
    Side,
    TimeInForce,
)
from streams.domain.book import Book
from streams.domain.routing import Market, plan
from streams.domain.terms import RoutingSettings, terms

SCALE = 100_000_000
_MAX = 10**20 - 1
_ALL = 1_000_000  # children: more than venues


class RouteError(ValueError):
    """The question cannot be answered: says what is wrong with the file, the symbol, the quantity or the fees."""


def fee_rates(pairs: Iterable[str]) -> dict[str, int]:
    """Taker fees (rates in 1e-8) by venue from `VENUE=BPS` texts; basis points may have decimals. Raises `RouteError`."""
    rates: dict[str, int] = {}
    for pair in pairs:
        venue, equals, bps = pair.partition("=")
        try:
            rate = Fraction(Decimal(bps)) * SCALE / 10_000
        except (InvalidOperation, ValueError, OverflowError) as error:
            raise RouteError(f"{pair!r} is not VENUE=BPS, as in coinbase=5") from error
        if not equals or not venue or rate.denominator != 1 or not -SCALE < rate < SCALE:
            raise RouteError(f"{pair!r} is not VENUE=BPS with a fee under 10000 bps in steps of 0.0001")
        rates[venue] = int(rate)
    return rates


def route(
    snapshot: Path, symbol: str, side: str, quantity: str, fees: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The object that `bestex route --json` prints. `quantity` is a decimal string, `fees` are as `fee_rates` gives them.

    Amounts are decimal strings; `cost` is what a buy pays or a sell receives, with fees. `best_single` and `saving_bps` are null where no
    venue can fill the same quantity alone. Raises `RouteError`.
    """
    wanted, buy = _quantity(quantity), _side(side)
    books = read_snapshot(snapshot, symbol)
    unknown = set(fees or ()) - set(books)
    if unknown:
        raise RouteError(f"fees for {', '.join(sorted(unknown))}, but {symbol} is at {', '.join(sorted(books))}")
    request = RouteRequest(
        order_id="offline",
        account_id="offline",
        symbol=symbol,
        side=buy,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        quantity=wanted,
        price=_MAX if buy is Side.BUY else 1,
        attempt=0,
        accepted_at=0,
    )
    settings = RoutingSettings(most_children=_ALL, slack_rate=0)
    markets = [
        Market(terms(venue, _instrument(venue, symbol, (fees or {}).get(venue, 0)), None, settings), book)
        for venue, book in sorted(books.items())
    ]
    made = plan(request, markets, settings, now=0)
    return _answer(made.plan, [levels for _, levels in made.takes], buy, dict(fees or {}))


def read_snapshot(path: Path, symbol: str) -> dict[str, Book]:
    """The books of a symbol by venue. Raises `RouteError`."""
    books: dict[str, Book] = {}
    symbols = set()
    for entry in _entries(path):
        try:
            venue, of = entry["venue"], f"{entry['base']}/{entry['quote']}"
            symbols.add(of)
            if of != symbol:
                continue
            bids, asks = _levels(entry["bids"], up=False), _levels(entry["asks"], up=True)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise RouteError(f"{path}: not {{venue, base, quote, bids, asks}} with fractions: {error!r}") from error
        if venue in books:
            raise RouteError(f"{path}: two books of {symbol} at {venue}")
        book = books[venue] = Book()
        book.apply(
            BookUpdate(venue=venue, symbol=symbol, kind=BookUpdateKind.SNAPSHOT, bids=bids, asks=asks, received_at=0)
        )
    if not books:
        raise RouteError(f"{path}: no book of {symbol}; there are {', '.join(sorted(symbols)) or 'none at all'}")
    return books


def table(answer: Mapping[str, Any], symbol: str, side: str) -> Group:
    """The answer for people."""
    children = Table(title=f"{side} {answer['filled']} {symbol}", title_justify="left")
    for name in ("venue", "quantity", "worst price", "fee"):
        children.add_column(name, justify="left" if name == "venue" else "right")
    for child in answer["children"]:
        children.add_row(child["venue"], child["quantity"], child["price"], child["fee"])
    venues = Table(title="venues", title_justify="left")
    for name in ("venue", "score", "price", "latency", "reliability", "liquidity", "alone", "fills", "why not"):
        left = name in ("venue", "why not")
        venues.add_column(name, justify="left" if left else "right", overflow="fold", no_wrap=name == "venue")
    for row in answer["candidates"]:
        parts = (f"{float(row['components'][part]):.3f}" for part in ("price", "latency", "reliability", "liquidity"))
        alone, reason = row["average_price"] or "-", row["reason"]
        venues.add_row(row["venue"], f"{float(row['score']):.3f}", *parts, alone, row["filled"], reason)
    best = answer["best_single"]
    words = f"average {answer['average_price'] or '-'} with fees, {answer['cost']} in all"
    if answer["unfilled"] != "0":
        words += f"; {answer['unfilled']} cannot be filled ({answer['reason']})"
    words += (
        f"\nbest single venue: {best['venue']} at {best['average_price']}" if best else "\nno venue can do it alone"
    )
    if answer["saving_bps"] is not None:
        words += f"; saving {answer['saving_bps']:.1f} bps"
    return Group(children, venues, words)


def _answer(
    made: RoutePlan, takes: Sequence[Sequence[tuple[int, int]]], side: Side, fees: Mapping[str, int]
) -> dict[str, Any]:
    filled, paid = 0, 0  # paid in 1e-24
    for child, levels in zip(made.children, takes, strict=True):
        fee = fees.get(child.venue, 0)
        paid += sum(p * q for p, q in levels) * (SCALE + fee if side is Side.BUY else SCALE - fee)
        filled += child.quantity
    cost = -(-paid // SCALE**2) if side is Side.BUY else paid // SCALE**2
    single, saving = None, None
    if made.best_single_venue is not None and made.best_single_price is not None:
        single = {"venue": made.best_single_venue, "average_price": _text(made.best_single_price)}
        # in 1e-16, so that the rounding of the reported averages does not show in it
        average = Fraction(paid, filled * SCALE)
        gain = made.best_single_price - average if side is Side.BUY else average - made.best_single_price
        saving = round(float(gain * 10_000 / made.best_single_price), 6)
    return {
        "average_price": None if made.average_price is None else _text(made.average_price),
        "cost": _text(cost),
        "filled": _text(filled),
        "unfilled": _text(made.unrouted),
        "reason": made.reason,
        "best_single": single,
        "saving_bps": saving,
        "children": [
            {
                "venue": child.venue,
                "price": _text(child.price),
                "quantity": _text(child.quantity),
                "fee": _text(child.expected_fee),
            }
            for child in made.children
        ],
        "candidates": [
            {
                "venue": seen.venue,
                "eligible": seen.eligible,
                "reason": seen.reason,
                "score": _text(seen.score),
                "components": {
                    "price": _text(seen.price_score),
                    "latency": _text(seen.latency_score),
                    "reliability": _text(seen.reliability_score),
                    "liquidity": _text(seen.liquidity_score),
                },
                "average_price": None if seen.average_price is None else _text(seen.average_price),
                "filled": _text(seen.filled),
            }
            for seen in made.candidates
        ],
    }


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        data = path.read_bytes()
        found = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise RouteError(f"{path}: {error}") from error
    if not isinstance(found, list):
        raise RouteError(f"{path}: a snapshot is a list of books")
    return found


def _levels(levels: Iterable[Mapping[str, Any]], up: bool) -> tuple[Level, ...]:
    by_price: dict[int, Fraction] = {}
    for level in levels:
        price = _fraction(level["price"]) * SCALE
        whole = -(-price.numerator // price.denominator) if up else price.numerator // price.denominator
        by_price[whole] = by_price.get(whole, Fraction(0)) + _fraction(level["qty"])
    return tuple(
        Level(price=price, quantity=amount.numerator * SCALE // amount.denominator)
        for price, amount in by_price.items()
        if price > 0
    )


def _fraction(value: Mapping[str, int]) -> Fraction:
    return Fraction(value["numerator"], value["denominator"])


def _quantity(text: str) -> int:
    if not re.fullmatch(r"\d{1,12}(\.\d{1,8})?", text) or not (found := int(Decimal(text).scaleb(8))):
        raise RouteError(f"the quantity {text!r} is not a positive decimal with up to 8 places")
    return found


def _side(text: str) -> Side:
    try:
        return Side(text.upper())
    except ValueError as error:
        raise RouteError(f"the side {text!r} is neither buy nor sell") from error


def _instrument(venue: str, symbol: str, fee: int) -> Instrument:
    base, _, quote = symbol.partition("/")
    return Instrument(
        venue=venue,
        symbol=symbol,
        base=base,
        quote=quote,
        tick=1,
        lot=1,
        min_quantity=0,
        max_quantity=0,
        min_notional=0,
        maker_fee=fee,
        taker_fee=fee,
        status=InstrumentStatus.OPEN,
        at=0,
    )


def _text(value: int) -> str:
    """The shortest decimal string of units."""
    whole, rest = divmod(abs(value), SCALE)
    return ("-" if value < 0 else "") + f"{whole}.{rest:08d}".rstrip("0").rstrip(".")
