"""`bestex tca`: what trading cost, for analysts and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.commands.common import Home, Json, addresses_of, emit, out, reported, settings_of
from infra.tca import By

if TYPE_CHECKING:  # for annotations alone
    from infra.tca import Group

BAR = 12  # characters on each side of a bar's middle


def add(app: typer.Typer) -> None:
    """Hang the command into `app`."""
    app.command(rich_help_panel="Analysis")(tca)


def tca(
    by: Annotated[By, typer.Option(help="What fills are grouped by; size is that of the whole order.")] = By.venue,
    since: Annotated[
        str | None, typer.Option(help="Only fills since then: 15m, 2h, 7d back from now, or an ISO time.")
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Tell what trading cost: slippage against the mid at arrival and against the plan, fees, and the saving by splitting.

    In basis points of the benchmark, weighted by value. A positive cost is worse than the benchmark for either side; a positive saving
    is better than the best single venue would have been, fees included. The view tca_fills has it fill by fill.

        bestex tca --by size

        bestex tca --by venue --since 2h --json
    """
    with reported(json):
        from datetime import UTC, datetime

        from infra.tca import analyse, since_of

        start = since_of(since, datetime.now(UTC))
        groups, totals = analyse(addresses_of(settings_of(home)).clickhouse, by, start)
        if json:
            emit(
                {
                    "by": by.value,
                    "since": None if start is None else start.isoformat(),
                    "groups": [g.as_json(by) for g in groups],
                    "total": [g.as_json(by) for g in totals],
                }
            )
            return
        if not groups:
            out().print("no fills")
            return
        for total in totals:
            _show(by, [g for g in groups if g.quote == total.quote], total)


def _show(by: By, groups: list[Group], total: Group) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 1), title=f"in {total.quote}", title_justify="left")
    table.add_column(by.value)
    for name in ("fills", "orders", "value", "arrival bps", "plan bps", "fee bps", "saving bps"):
        table.add_column(name, justify="right")
    table.add_column("◄ better  arrival + fee  worse ►")
    most = max((abs(cost) for g in groups if (cost := _cost(g)) is not None), default=0.0)
    for group in groups:
        table.add_row(*_cells(group.key or "", group), _bar(_cost(group), most))
    if len(groups) > 1:
        table.add_section()
        table.add_row(*_cells("all", total), _bar(_cost(total), most), style="bold")
    out().print(table)


def _cells(name: str, group: Group) -> list[Any]:
    from rich.text import Text

    bps = [f.bps for f in group.figures.values()]
    shown = ["" if b is None else f"{b:+.2f}" for b in bps]
    return [Text(name), f"{group.fills:,}", f"{group.orders:,}", f"{group.notional:,.2f}", *shown]


def _cost(group: Group) -> float | None:
    arrival, fee = group.figures["arrival"].bps, group.figures["fee"].bps
    return None if arrival is None else arrival + (fee or 0.0)


def _bar(cost: float | None, most: float) -> str:
    """A bar to the left for what was better than the benchmark, to the right for what was worse."""
    if cost is None or not most:
        return ""
    length = round(abs(cost) / most * BAR)
    left, right = ("█" * length, "") if cost < 0 else ("", "█" * length)
    return f"[green]{left:>{BAR}}[/]│[red]{right:<{BAR}}[/]"
