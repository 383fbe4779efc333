"""`bestex bench` and `bestex chaos`: what is claimed, measured; what is promised, put to the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.commands.common import Json, emit, eprint, out, reported

benches = typer.Typer(no_args_is_help=True, help="Performance, compared with peers on the same work in the same run.")
chaos = typer.Typer(no_args_is_help=True, help="Faults at random, and the proof that nothing was lost or doubled.")
Quick = Annotated[bool, typer.Option("--quick", help="A short form of under a minute; same shape, rougher figures.")]
Runs = Annotated[int, typer.Option(help="Alternating runs of each; the best, or median, counts.", min=1)]


def add(parent: typer.Typer) -> None:
    """Hang the commands into `parent`."""
    parent.add_typer(benches, name="bench", rich_help_panel="Proof")
    parent.add_typer(chaos, name="chaos", rich_help_panel="Proof")


def _show(found: dict[str, Any], json: bool) -> None:
    if json:
        emit(found)
        return
    from rich.table import Table

    console = out()
    table = Table(box=None, header_style="dim")
    table.add_column(found["bench"])
    table.add_column("result", justify="right")
    table.add_column("ratio", justify="right")
    # what else was measured of each, as its processor time
    more = {k: v for k, v in found.items() if isinstance(v, dict) and v and v.keys() == found["results"].keys()}
    beside = {name: column for name, column in more.items() if name != "results" and _plain(column.values())}
    for name in beside:
        table.add_column(name.replace("_", " "), justify="right")
    for name, value in found["results"].items():
        ratio = found["ratios"].get(name)
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(
            name, shown, "" if ratio is None else f"{ratio:.2f}x", *(f"{column[name]:,}" for column in beside.values())
        )
    console.print(table)
    console.print(f"[dim]{found['machine']}[/]")


def _plain(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _measured(measure: Callable[[], dict[str, Any]], json: bool) -> None:
    with reported(json):
        _show(measure(), json)


@benches.command("engine")
def engine(
    runs: Runs = 3,
    only: Annotated[list[str] | None, typer.Option(help="This contestant alone; may be repeated.")] = None,
    quick: Quick = False,
    json: Json = False,
) -> None:
    """Events a second through every engine: plain Faust, Quix Streams, librdkafka loops, and ours, exactly once."""
    from infra.bench import run

    _measured(lambda: run.engine(quick, runs, only or (), eprint), json)


@benches.command("latency")
def latency(runs: Runs = 3, quick: Quick = False, json: Json = False) -> None:
    """From producing an order to its output at a read-committed consumer, at 2,000 and 10,000 a second."""
    from infra.bench import run

    _measured(lambda: run.latency(quick, runs, eprint), json)


@benches.command("recovery")
def recovery(quick: Quick = False, json: Json = False) -> None:
    """Seconds until a worker goes on: restarted, rebuilt from nothing, taken over by another."""
    from infra.bench import run

    _measured(lambda: run.recovery(quick, eprint), json)


@benches.command("timers")
def timers(quick: Quick = False, json: Json = False) -> None:
    """A million pending timers in one worker: how many fire a second, and how late."""
    from infra.bench import run

    _measured(lambda: run.timers(quick, eprint), json)


@benches.command("books")
def books(runs: Runs = 3, quick: Quick = False, json: Json = False) -> None:
    """Level updates a second through a book, ours, ccxt's and a sorted container's; memory; record to consolidated quote."""
    from infra.bench import run

    _measured(lambda: run.books(quick, runs, eprint), json)


@benches.command("route")
def route(runs: Runs = 3, quick: Quick = False, json: Json = False) -> None:
    """Routing decisions a second on one core: 20 venues of 1,000 levels a side, books changing."""
    from infra.bench import run

    _measured(lambda: run.route(quick, runs, eprint), json)


@benches.command("orders")
def orders(runs: Runs = 3, quick: Quick = False, json: Json = False) -> None:
    """Orders a second through risk and routing, exactly once; a burst; the wait for the answer; more accounts, more pending."""
    from infra.bench import run

    _measured(lambda: run.orders(quick, runs, eprint), json)


@benches.command("venues")
def venues(runs: Runs = 3, quick: Quick = False, json: Json = False) -> None:
    """Orders a second through ccxt and httpx; messages and level updates a second of our fast path and of ccxt.pro, on one core."""
    from infra.bench import run

    _measured(lambda: run.venues(quick, runs, eprint), json)


@chaos.command("engine")
def chaos_engine(
    records: Annotated[int, typer.Option(help="How many records.", min=1)] = 1_000_000,
    faults: Annotated[int, typer.Option(help="How many faults.", min=1)] = 60,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 1,
    transactions: Annotated[
        bool,
        typer.Option(help="Off: offsets are committed apart from outputs. The proof must then fail."),
    ] = True,
    keep: Annotated[Path | None, typer.Option(help="Keep data and logs in this folder.", show_default=False)] = None,
    quick: Quick = False,
    json: Json = False,
) -> None:
    """Kill, freeze and starve workers and broker while records flow; then count every record.

    Ends with 1 if anything was lost, doubled or left open.
    """
    with reported(json):
        import tempfile

        from infra.chaos.engine import Plan, run

        if quick:
            records, faults = min(records, 60_000), min(faults, 6)
        with tempfile.TemporaryDirectory(prefix="bestex-chaos-") as temporary:
            plan = Plan(records=records, faults=faults, workers=workers, seed=seed, transactions=transactions)
            found = run(plan, keep or Path(temporary) / "home", eprint, keep is not None)
        if json:
            emit(found)
        else:
            for name, value in found.items():
                out().print(f"[dim]{name:>16}[/] {value}", highlight=False)
        if found["lost"] or found["duplicated"] or found["violations"] or found["unresolved"]:
            raise typer.Exit(1)


@chaos.command("venues")
def chaos_venues(
    orders: Annotated[int, typer.Option(help="How many child orders.", min=1)] = 20_000,
    kills: Annotated[int, typer.Option(help="How often the connector is killed.", min=0)] = 20,
    seed: Annotated[int, typer.Option(help="Of orders and faults.")] = 1,
    reconcile: Annotated[
        bool, typer.Option(help="Off: the connector does not compare with the venues. The proof must then fail.")
    ] = True,
    keep: Annotated[Path | None, typer.Option(help="Keep data and logs in this folder.", show_default=False)] = None,
    quick: Quick = False,
    json: Json = False,
) -> None:
    """Orders to four venues of four dialects while requests, streams, venues and the connector fail; then compare every trade.

    Ends with 1 if anything was lost, doubled or left open.
    """
    with reported(json):
        import tempfile

        from infra.chaos.venues import Plan, run

        plan = Plan(orders=orders, kills=kills, seed=seed, reconcile=reconcile)
        if quick:
            plan = Plan(orders=min(orders, 1500), kills=min(kills, 2), venue_kills=1, seed=seed, reconcile=reconcile)
        with tempfile.TemporaryDirectory(prefix="bestex-chaos-") as temporary:
            home = keep or Path(temporary)
            home.mkdir(parents=True, exist_ok=True)
            found = run(plan, home, eprint)
        if json:
            emit(found)
        else:
            for name, value in found.items():
                out().print(f"[dim]{name:>16}[/] {value}", highlight=False)
        if found["lost"] or found["duplicated"] or found["violations"] or found["unresolved"]:
            raise typer.Exit(1)
