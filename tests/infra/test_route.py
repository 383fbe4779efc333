"""Offline routing against the exact optimum of a snapshot, computed with fractions from the file itself."""

from __future__ import annotations

import gzip
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from infra.route import RouteError, fee_rates, route, table

SNAPSHOT = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / "snapshots" / "four-venues-2019.json.gz"
HALF_A_UNIT = Fraction(1, 10**8)


@pytest.fixture(scope="module")
def snapshot() -> Path:
    if not SNAPSHOT.exists():
        pytest.skip(f"{SNAPSHOT} is absent: see BESTEX_DATA")
    return SNAPSHOT


def fraction(value: dict[str, int]) -> Fraction:
    return Fraction(value["numerator"], value["denominator"])


def exact(
    path: Path, symbol: str, side: str, quantity: Fraction, fees: dict[str, int]
) -> tuple[Fraction, Fraction, dict[str, Fraction]]:
    """What can be filled, what it costs in all, and what it costs at each venue that can fill all of it."""
    sign, everything, alone = (1, [], {}) if side == "buy" else (-1, [], {})
    for book in json.loads(gzip.decompress(path.read_bytes())):
        if f"{book['base']}/{book['quote']}" == symbol:
            fee = Fraction(fees.get(book["venue"], 0), 10**8)
            levels = [
                (fraction(level["price"]) * (1 + sign * fee), fraction(level["qty"]))
                for level in book["asks" if side == "buy" else "bids"]
            ]
            everything += levels
            filled, cost = walk(levels, quantity, sign)
            if filled == quantity:
                alone[book["venue"]] = cost
    return (*walk(everything, quantity, sign), alone)


def walk(levels: list[tuple[Fraction, Fraction]], quantity: Fraction, sign: int) -> tuple[Fraction, Fraction]:
    left, cost = quantity, Fraction(0)
    for price, there in sorted(levels, key=lambda level: sign * level[0]):
        take = min(left, there)
        left, cost = left - take, cost + take * price
    return quantity - left, cost


@pytest.mark.parametrize("fees", [[], ["coinbase=5", "bitstamp=25", "bitfinex=20", "bittrex=12.5"]])
@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(("symbol", "quantity"), [("BTC/USD", "0.37"), ("BTC/USD", "500"), ("ETH/USD", "20000.5")])
def test_the_plan_is_the_exact_optimum(snapshot: Path, symbol: str, quantity: str, side: str, fees: list[str]) -> None:
    answer = route(snapshot, symbol, side, quantity, fee_rates(fees))
    filled, cost, alone = exact(snapshot, symbol, side, Fraction(quantity), fee_rates(fees))
    assert Fraction(answer["filled"]) == filled == Fraction(quantity)
    assert abs(Fraction(answer["cost"]) - cost) <= HALF_A_UNIT
    assert abs(Fraction(answer["average_price"]) - cost / filled) <= HALF_A_UNIT
    assert sum(Fraction(child["quantity"]) for child in answer["children"]) == filled
    best = min(alone, key=lambda venue: alone[venue] if side == "buy" else -alone[venue])
    assert answer["best_single"]["venue"] == best
    assert abs(Fraction(answer["best_single"]["average_price"]) - alone[best] / filled) <= HALF_A_UNIT
    saving = (alone[best] - cost) / alone[best] * 10_000 * (1 if side == "buy" else -1)
    assert answer["saving_bps"] == pytest.approx(float(saving), abs=1e-4)
    assert answer["saving_bps"] >= 0


def test_buying_500_bitcoin_saves_what_is_known(snapshot: Path) -> None:
    answer = route(snapshot, "BTC/USD", "buy", "500")
    assert round(answer["saving_bps"], 1) == 48.4
    assert json.loads(json.dumps(answer)) == answer


def test_more_than_all_venues_have_is_filled_in_part(snapshot: Path) -> None:
    answer = route(snapshot, "BTC/USD", "buy", "999999999")
    filled, cost, _ = exact(snapshot, "BTC/USD", "buy", Fraction(999999999), {})
    assert Fraction(answer["filled"]) == filled
    assert abs(Fraction(answer["cost"]) - cost) <= HALF_A_UNIT
    assert (answer["reason"], answer["best_single"], answer["saving_bps"]) == ("NO_LIQUIDITY", None, None)
    assert Fraction(answer["unfilled"]) + filled == 999999999


def test_people_see_venues_and_the_saving(snapshot: Path) -> None:
    console = Console(width=160, record=True)
    console.print(table(route(snapshot, "BTC/USD", "buy", "500"), "BTC/USD", "buy"))
    text = console.export_text()
    assert "bitstamp" in text and "saving 48.4 bps" in text


def book(venue: str, **changes: Any) -> dict[str, Any]:
    def level(price: tuple[int, int], quantity: tuple[int, int]) -> dict[str, Any]:
        return {
            "price": dict(zip(("numerator", "denominator"), price, strict=True)),
            "qty": dict(zip(("numerator", "denominator"), quantity, strict=True)),
        }

    return {
        "venue": venue,
        "base": "X",
        "quote": "Y",
        "bids": [level((1, 3), (1, 3)), level((1, 3), (1, 3))],
        "asks": [level((2, 3), (2, 3))],
        **changes,
    }


def test_what_is_finer_than_a_unit_is_rounded_against_the_order(tmp_path: Path) -> None:
    path = tmp_path / "plain.json"
    path.write_text(json.dumps([book("v")]))
    bought, sold = route(path, "X/Y", "buy", "1"), route(path, "X/Y", "sell", "1")
    assert (bought["filled"], bought["average_price"]) == ("0.66666666", "0.66666667")
    assert (sold["filled"], sold["average_price"]) == ("0.66666666", "0.33333333"), "levels of one price are added up"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "Expecting property name"),
        ("{}", "a list of books"),
        ("[]", "no book of X/Y"),
        ('[{"venue": "v", "base": "X", "quote": "Y"}]', "bids"),
        (json.dumps([book("v"), book("v")]), "two books"),
        (json.dumps([book("v", base="Z")]), "there are Z/Y"),
        (json.dumps([book("v", asks=[{"price": {"numerator": 1, "denominator": 0}, "qty": {}}])]), "fractions"),
    ],
)
def test_a_file_that_is_no_snapshot_is_refused_with_its_fault(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(content)
    with pytest.raises(RouteError, match=says):
        route(path, "X/Y", "buy", "1")


@pytest.mark.parametrize(
    ("side", "quantity"), [("hold", "1"), ("buy", "0"), ("buy", "-1"), ("buy", "1e3"), ("buy", "0.000000001")]
)
def test_a_question_without_sense_is_refused(tmp_path: Path, side: str, quantity: str) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps([book("v")]))
    with pytest.raises(RouteError):
        route(path, "X/Y", side, quantity)
    with pytest.raises(RouteError, match="fees for nobody"):
        route(path, "X/Y", "buy", "1", {"nobody": 1})


@pytest.mark.parametrize(
    "text", ["coinbase", "=5", "coinbase=five", "coinbase=0.00001", "coinbase=10000", "coinbase=NaN"]
)
def test_fees_are_venue_and_basis_points(text: str) -> None:
    assert fee_rates(["coinbase=12.5"]) == {"coinbase": 125_000}
    with pytest.raises(RouteError):
        fee_rates([text])
