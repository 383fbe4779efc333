"""What the demo found, in numbers that the log itself gives, and how people are shown it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from infra.verify.log import COMMANDS, Log
from infra.verify.report import invariants_table, offenders
from infra.verify.run import Report
from schemas.records import EventKind, Fill, Liquidity, OrderState, Side

UNIT = 10**8


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers. Latencies in ms, from the client's `sent_at` to the event's `at`, by one machine's clock."""

    orders: int
    accepted: int
    denied: int
    dead_lettered: int
    states: Mapping[str, int]
    reasons: Mapping[str, int]
    duplicates: int
    cancels: int
    fills: int
    venues: Mapping[str, int]
    notional: Mapping[str, int]
    latency: Mapping[str, float | None]
    saving_bps: float | None
    compared: int
    split: int
    clickhouse_rows: int
    invariants: Report
    restarts: Mapping[str, int]
    seconds: float
    venue_faults: Sequence[Mapping[str, Any]] = ()  # as `infra.demo.faults` reports them

    def as_json(self) -> dict[str, Any]:
        """The object of `bestex demo --json`."""
        return {
            "orders": self.orders,
            "accepted": self.accepted,
            "denied": self.denied,
            "dead_lettered": self.dead_lettered,
            "filled": self.states.get("FILLED", 0),
            "cancelled": self.states.get("CANCELLED", 0),
            "expired": self.states.get("EXPIRED", 0),
            "rejected": self.states.get("REJECTED", 0),
            "fills": self.fills,
            "venues": dict(self.venues),
            "latency_ms": dict(self.latency),
            "saving_bps": self.saving_bps,
            "split_orders": self.split,
            "denied_by": dict(self.reasons),
            "duplicates": self.duplicates,
            "cancels": self.cancels,
            "clickhouse_rows": self.clickhouse_rows,
            "invariants": dict(self.invariants.counts),
            "violations": self.invariants.violations,
            "first_offender": self.invariants.first_offender,
            "restarts": dict(self.restarts),
            "seconds": round(self.seconds, 1),
            **({"venue_faults": list(self.venue_faults)} if self.venue_faults else {}),
        }


def summarise(
    log: Log,
    report: Report,
    *,
    orders: int,
    clickhouse_rows: int,
    restarts: Mapping[str, int],
    seconds: float,
    venue_faults: Sequence[Mapping[str, Any]] = (),
) -> Summary:
    """The numbers of a log in which every order has come to its end."""
    kinds: Counter[EventKind] = Counter()
    reasons: Counter[str] = Counter()
    states: dict[str, OrderState] = {}
    sent: dict[str, int] = {}
    filled_at: dict[str, int] = {}
    acks: list[int] = []
    for _, e in log.events():
        kinds[e.kind] += 1
        if e.kind in (EventKind.ACCEPTED, EventKind.DENIED):
            sent[e.order_id] = e.sent_at or e.at
            acks.append(e.at - sent[e.order_id])
        if e.kind is EventKind.DENIED:
            reasons[e.reason_code] += 1
        elif e.kind is EventKind.FILL:
            filled_at.setdefault(e.order_id, e.at)
        if e.order_id:
            states[e.order_id] = e.state
    for letter in log.letters(COMMANDS):
        reasons[letter.cause] += 1
    fills = [f for _, f in log.fills()]
    waits = [at - sent[order_id] for order_id, at in filled_at.items() if order_id in sent]
    notional: Counter[str] = Counter()
    for f in fills:
        notional[f.venue] += f.price * f.quantity // UNIT
    saving, compared = saved(fills, states)
    children: dict[str, set[str]] = defaultdict(set)
    for _, child in log.children():
        children[child.order_id].add(child.venue)
    return Summary(
        orders=orders,
        accepted=kinds[EventKind.ACCEPTED],
        denied=kinds[EventKind.DENIED],
        dead_lettered=len(log.letters(COMMANDS)),
        states=Counter(s.value for s in states.values()),
        reasons=dict(reasons.most_common()),
        duplicates=kinds[EventKind.DUPLICATE],
        cancels=kinds[EventKind.CANCEL_REQUESTED],
        fills=len(fills),
        venues=dict(Counter(f.venue for f in fills).most_common()),
        notional=dict(notional),
        latency={
            "ack_p50": percentile(acks, 50),
            "ack_p99": percentile(acks, 99),
            "fill_p50": percentile(waits, 50),
            "fill_p99": percentile(waits, 99),
        },
        saving_bps=saving,
        compared=compared,
        split=sum(1 for venues in children.values() if len(venues) > 1),
        clickhouse_rows=clickhouse_rows,
        invariants=report,
        restarts=restarts,
        seconds=seconds,
        venue_faults=venue_faults,
    )


def percentile(micros: Sequence[int], at: int) -> float | None:
    """The nearest-rank percentile in ms; `None` of nothing."""
    ranked = sorted(micros)
    return round(ranked[max(0, -(-len(ranked) * at // 100) - 1)] / 1000, 2) if ranked else None


def saved(fills: Sequence[Fill], states: Mapping[str, OrderState]) -> tuple[float | None, int]:
    """(saving in basis points against the best single venue, weighted by value; orders compared).

    Of the orders that took liquidity and were filled whole: what they paid or got with fees, against the all-in price that the whole
    quantity had at the best single venue when the order was planned.
    """
    by_order: dict[str, list[Fill]] = defaultdict(list)
    for f in fills:
        by_order[f.order_id].append(f)
    gain = value = compared = 0
    for order_id, some in by_order.items():
        single = some[0].best_single_price
        if single is None or states.get(order_id) is not OrderState.FILLED:
            continue
        if any(f.liquidity is not Liquidity.TAKER for f in some):
            continue
        sign = 1 if some[0].side is Side.BUY else -1
        quantity = sum(f.quantity for f in some)
        worth = sum(f.price * f.quantity // UNIT for f in some)
        cost = worth + sign * sum(_in_quote(f) for f in some)
        gain += sign * (single * quantity // UNIT - cost)
        value += worth
        compared += 1
    return (round(gain * 10_000 / value, 3), compared) if value else (None, 0)


def _in_quote(f: Fill) -> int:
    return f.fee * f.price // UNIT if f.fee_asset == f.symbol.partition("/")[0] else f.fee


def render(s: Summary) -> RenderableType:
    """The report for people."""
    outcome = Table(box=None, show_header=False, padding=(0, 1))
    for name, count, style in (
        ("orders", s.orders, "bold"),
        ("accepted", s.accepted, ""),
        ("  filled", s.states.get("FILLED", 0), "green"),
        ("  cancelled", s.states.get("CANCELLED", 0), "yellow"),
        ("  expired", s.states.get("EXPIRED", 0), "yellow"),
        ("  rejected by venues", s.states.get("REJECTED", 0), "red"),
        ("denied", s.denied, ""),
        ("dead-lettered", s.dead_lettered, ""),
        ("duplicates answered", s.duplicates, "dim"),
        ("cancels", s.cancels, "dim"),
    ):
        outcome.add_row(Text(name, style), Text(f"{count:,}", style, justify="right"))
    venues = Table("venue", "fills", "value", "", box=None, header_style="dim", padding=(0, 1))
    most = max(s.notional.values(), default=1)
    for name, count in s.venues.items():
        venues.add_row(
            name,
            f"{count:,}",
            f"{s.notional[name] // UNIT:,}",
            Text("█" * max(1, s.notional[name] * 16 // most), "cyan"),
        )
    speed = Table("ms", "p50", "p99", box=None, header_style="dim", padding=(0, 1))
    for label, name in (("command → answer", "ack"), ("command → first fill", "fill")):
        speed.add_row(label, *(_ms(s.latency[f"{name}_{p}"]) for p in ("p50", "p99")))
    bad = Table(box=None, show_header=False, padding=(0, 1))
    for name, count in s.reasons.items():
        bad.add_row(Text(f"{count:,}", justify="right"), Text(name, "dim"))
    saving = "nothing to compare" if s.saving_bps is None else f"{s.saving_bps:+.2f} bps of value"
    facts = Text.assemble(
        ("saving against the best single venue  ", "dim"),
        (saving, "bold green" if (s.saving_bps or 0) >= 0 else "bold yellow"),
        (f"  ({s.compared:,} orders that took liquidity; {s.split:,} split over venues)\n", "dim"),
        ("rows in ClickHouse  ", "dim"),
        (f"{s.clickhouse_rows:,}", "bold"),
        ("     killed and restarted  " if any(s.restarts.values()) else "", "dim"),
        ", ".join(f"{name} ×{n}" for name, n in s.restarts.items() if n),
    )
    for fault in s.venue_faults:
        again = "used again" if fault["used_again"] else "not used again"
        facts.append(f"\n{fault['venue']} {fault['kind']}  ", "dim")
        facts.append(f"work had moved after {fault['moved_s']} s; {' → '.join(fault['states'])}; {again}")
    well = s.invariants.violations == 0
    verdict = Text(
        "nothing lost, nothing doubled, nothing made up" if well else f"{s.invariants.violations} violations",
        "bold green" if well else "bold red",
    )
    return Panel(
        Group(
            Columns(
                [
                    _titled("orders", outcome),
                    _titled("fills by venue", venues),
                    _titled("refused because", bad),
                    _titled("latency", speed),
                ],
                padding=(0, 4),
            ),
            Padding(facts, (1, 0)),
            invariants_table(s.invariants),
            offenders(s.invariants),
            Padding(verdict, (1, 0, 0, 0)),
        ),
        title="bestex demo",
        subtitle=f"{s.seconds:.0f} s",
        padding=(1, 2),
    )


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(title, "bold"), body, Text())


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
