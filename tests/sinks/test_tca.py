"""What trading cost by ClickHouse, against the same worked out from the log's records in fractions, another way."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from sink_bench import SCALE, TOPICS, Log, SinkProcess, World

from infra.tca import By, Group, analyse, since_of
from schemas.records import Fill, Liquidity, PlannedChild, RoutePlan, Side, TimeInForce

NAMES = ("arrival", "plan", "fee", "saving")
SIZES = (("0-1,000", 1_000), ("1,000-10,000", 10_000), ("10,000-100,000", 100_000), ("100,000-1,000,000", 1_000_000))


class Carried:
    """A log that ClickHouse holds, in a database of its own."""

    def __init__(self, log: Log, address: str, folder: Path) -> None:
        self.log, self.address, self.database = log, address, f"tcatest_{uuid.uuid4().hex[:8]}"
        self.client = clickhouse_connect.get_client(dsn=address, autogenerate_session_id=False)
        process = SinkProcess(log, "clickhouse", folder, clickhouse=address, database=self.database).start()
        process.until_carried(TOPICS)
        process.end()

    def told(self, by: By, since: datetime | None = None) -> dict[tuple[str | None, str], Group]:
        groups, totals = analyse(self.address, by, since, self.database)
        return {(g.key, g.quote): g for g in (*groups, *totals)}


@pytest.fixture
def carried(log: Log, stack: Any, tmp_path: Path) -> Iterator[Carried]:
    log.write_much(World(70, [f"acct {n}" for n in range(7)]), 1_500)
    made = Carried(log, stack.clickhouse, tmp_path)
    yield made
    made.client.command(f"DROP DATABASE IF EXISTS {made.database}")
    made.client.close()


def money(units: int) -> Fraction:
    return Fraction(units, SCALE)


def costs(fill: Fill, plan: RoutePlan | None, child: PlannedChild | None) -> dict[str, tuple[Fraction, Fraction]]:
    """Figure -> what the fill cost and the benchmark's value; absent where there is no benchmark. Written down from the definitions."""
    found: dict[str, tuple[Fraction, Fraction]] = {}
    quantity, paid = money(fill.quantity), money(fill.price) * money(fill.quantity)

    def worse(benchmark: Fraction) -> Fraction:
        return paid - benchmark if fill.side is Side.BUY else benchmark - paid

    if fill.arrival_mid is not None:
        arrival = money(fill.arrival_mid) * quantity
        found["arrival"] = worse(arrival), arrival
    # What rested was planned at the child's own price: the expected one is the average of what it was to take.
    rested = child is not None and child.time_in_force is TimeInForce.GTC and fill.liquidity is Liquidity.MAKER
    meant = None if child is None else child.price if rested else child.expected_price
    if meant is not None:
        planned = money(meant) * quantity
        found["plan"] = worse(planned), planned
    base, quote = fill.symbol.split("/")
    rates = {base: money(fill.price), quote: Fraction(1)}
    fee = Fraction(0) if fill.fee == 0 else money(fill.fee) * rates[fill.fee_asset] if fill.fee_asset in rates else None
    if fee is None:
        return found
    found["fee"] = fee, paid
    took = child is not None and (child.time_in_force is not TimeInForce.GTC or fill.liquidity is Liquidity.TAKER)
    if took and plan is not None and plan.best_single_price is not None:
        alone = money(plan.best_single_price) * quantity
        found["saving"] = -worse(alone) - fee, alone
    return found


def expected(
    log: Log, key: Callable[[Fill, Fraction], str | None], since: int = 0
) -> dict[tuple[str | None, str], dict[str, Any]]:
    """(key, quote) -> figures, from the records."""
    plans: dict[str, tuple[RoutePlan, PlannedChild]] = {}
    for record in log.of("exchange.acks").values():
        if isinstance(record, RoutePlan):
            plans |= {child.child_id: (record, child) for child in record.children}
    fills: list[Fill] = list(log.of("fills").values())
    size: dict[str, Fraction] = defaultdict(Fraction)
    for fill in fills:
        size[fill.order_id] += money(fill.price) * money(fill.quantity)
    found: dict[tuple[str | None, str], dict[str, Any]] = {}
    for fill in (f for f in fills if f.at >= since):
        of = (key(fill, size[fill.order_id]), fill.symbol.split("/")[1])
        group = found.setdefault(of, {"fills": 0, "orders": set(), "notional": Fraction(0)} | dict.fromkeys(NAMES))
        group["fills"] += 1
        group["orders"].add(fill.order_id)
        group["notional"] += money(fill.price) * money(fill.quantity)
        for name, (cost, benchmark) in costs(fill, *plans.get(fill.child_id, (None, None))).items():
            before = group[name] or (Fraction(0), Fraction(0), 0)
            group[name] = (before[0] + cost, before[1] + benchmark, before[2] + 1)
    return found


def bucket(_: Fill, size: Fraction) -> str:
    return next((name for name, bound in SIZES if size < bound), "1,000,000+")


KEYS: dict[By, Callable[[Fill, Fraction], str]] = {
    By.venue: lambda f, _: f.venue,
    By.side: lambda f, _: f.side.value,
    By.size: bucket,
    By.symbol: lambda f, _: f.symbol,
    By.account: lambda f, _: f.account_id,
}


def assert_equal(
    told: dict[tuple[str | None, str], Group], truth: dict[tuple[str | None, str], dict[str, Any]]
) -> None:
    assert set(told) == set(truth)
    for key, group in told.items():
        known = truth[key]
        assert (group.fills, group.orders) == (known["fills"], len(known["orders"])), key
        assert Fraction(group.notional) == known["notional"], key
        for name, figure in group.figures.items():
            amount, of, count = known[name] or (Fraction(0), Fraction(0), 0)
            assert (Fraction(figure.amount), Fraction(figure.of), figure.fills) == (amount, of, count), (key, name)
            if not of:
                assert figure.bps is None
            else:
                assert figure.bps is not None
                assert abs(Fraction(figure.bps) - amount * 10_000 / of) < Fraction(1, 10_000) + abs(amount / of) / 10**6


def test_costs_are_what_the_records_say(carried: Carried) -> None:
    totals = expected(carried.log, lambda f, _: None)
    assert {quote for _, quote in totals} == {"USDT", "BTC"}
    for name in NAMES:
        counts = [group[name][2] for group in totals.values()]
        assert all(0 < n < group["fills"] for n, group in zip(counts, totals.values(), strict=True)), name
    for by, key in KEYS.items():
        assert_equal(carried.told(by), expected(carried.log, key) | totals)
    times = sorted(f.at for f in carried.log.of("fills").values())
    middle = times[len(times) // 2]
    since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=middle)
    truth = expected(carried.log, KEYS[By.venue], middle) | expected(carried.log, lambda f, _: None, middle)
    assert_equal(carried.told(By.venue, since), truth)
    assert carried.told(By.venue, since + timedelta(days=9)) == {}


def test_decisions_are_what_the_plans_say(carried: Carried) -> None:
    rows = carried.client.query(
        "SELECT order_id, quantity, split, venues, eligible, length(refused), scores, expected_saving_bps "
        f"FROM {carried.database}.route_decisions"
    ).result_rows
    told = {row[0]: row[1:] for row in rows}
    plans = [r for r in carried.log.of("exchange.acks").values() if isinstance(r, RoutePlan)]
    assert set(told) == {p.order_id for p in plans} and len(rows) == len(plans) > 100
    compared = 0
    for plan in plans:
        quantity, split, venues, eligible, refused, scores, saving = told[plan.order_id]
        assert quantity == (None if plan.quantity is None else Decimal(plan.quantity) / SCALE)
        assert venues == len(plan.children) == len(split)
        for text, child in zip(split, plan.children, strict=True):
            venue, amount, _, price, how = text.split(" ")
            assert (venue, how) == (child.venue, child.time_in_force.value)
            assert (money(child.quantity), money(child.price)) == (Fraction(amount), Fraction(price))
        able = [c for c in plan.candidates if c.eligible]
        assert (eligible, refused) == ([c.venue for c in able], len(plan.candidates) - len(able))
        assert [(t.split(" ")[0], Fraction(t.split(" ")[1])) for t in scores] == [
            (c.venue, money(c.score)) for c in able
        ]
        known = plan.side and plan.average_price is not None and plan.best_single_price is not None
        assert (saving is not None) == bool(known)
        if plan.side and plan.average_price is not None and plan.best_single_price is not None:
            sign = 1 if plan.side is Side.BUY else -1
            gain = Fraction(sign * 10_000 * (plan.best_single_price - plan.average_price), plan.best_single_price)
            assert saving == pytest.approx(float(gain), rel=1e-9)
            compared += 1
    assert compared > 50


def test_a_cost_is_positive_where_the_account_did_worse(log: Log, stack: Any, tmp_path: Path) -> None:
    """One buy and one sell, worked out by hand: both pay 1 % above or get 1 % below the mid, as planned, and a fee of 0.1 %."""
    world, made = World(71, ["one"]), []
    for side, price in ((Side.BUY, 101), (Side.SELL, 99)):
        # the market and its plan: mid 100, planned at what came, the best single venue all-in 2 % away from the mid
        order = {"id": f"o{side.value}", "symbol": "BTC/USDT", "side": side, "quantity": 2 * SCALE}
        order |= {"arrival_mid": 100 * SCALE, "children": [(f"{order['id']}-1-0", "alpha")]}
        plan, fill = world.plan("one", order), world.fill("one", order, price * SCALE, 2 * SCALE)
        child = {f: getattr(plan.children[0], f) for f in PlannedChild.__struct_fields__}
        child |= {"expected_price": price * SCALE, "time_in_force": TimeInForce.IOC}
        single = (102 if side is Side.BUY else 98) * SCALE
        fields = {f: getattr(plan, f) for f in RoutePlan.__struct_fields__}
        fields |= {"children": (PlannedChild(**child),), "best_single_venue": "beta", "best_single_price": single}
        fee = {"fee": 2 * price * SCALE // 1000, "fee_asset": "USDT"}
        made += [
            RoutePlan(**fields | {"average_price": None}),
            Fill(**{f: getattr(fill, f) for f in Fill.__struct_fields__} | fee),
        ]
    log.write(made)
    carried = Carried(log, stack.clickhouse, tmp_path)
    told = carried.told(By.side)
    buy, sell = told["BUY", "USDT"].figures, told["SELL", "USDT"].figures
    assert {n: f.amount for n, f in buy.items()} == {
        "arrival": 2,
        "plan": 0,
        "fee": Decimal("0.202"),
        "saving": 2 - Decimal("0.202"),
    }
    assert {n: f.amount for n, f in sell.items()} == {
        "arrival": 2,
        "plan": 0,
        "fee": Decimal("0.198"),
        "saving": 2 - Decimal("0.198"),
    }
    assert (buy["arrival"].bps, sell["arrival"].bps) == (100, 100)
    assert told[None, "USDT"].figures["fee"].bps == 10
    rows = carried.client.query(
        "SELECT side, expected_saving_bps, split, venues, length(eligible) + length(refused) AS seen "
        f"FROM {carried.database}.route_decisions ORDER BY side"
    ).result_rows
    assert [r[0] for r in rows] == [p.side.value if p.side else "" for p in made if isinstance(p, RoutePlan)]
    assert all(r[1] is None and r[3] == 1 and r[4] == 3 for r in rows)  # without a planned average nothing is expected
    carried.client.command(f"DROP DATABASE {carried.database}")
    carried.client.close()


def test_since() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert since_of(None, now) is None
    assert since_of("36h", now) == datetime(2025, 12, 31, 12, tzinfo=UTC)
    assert since_of("2026-01-01T12:00:00", now) == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert since_of("2026-01-01T12:00:00+02:00", now) == datetime(2026, 1, 1, 10, tzinfo=UTC)
    for wrong in ("yesterday", "h", "", "3w"):
        with pytest.raises(ValueError, match="neither an ISO time"):
            since_of(wrong, now)
