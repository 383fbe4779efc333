"""`bestex demo`: the first command to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.commands.common import Failure, Json, emit, err, out, reported

if TYPE_CHECKING:  # for annotations alone
    from rich.console import Console


class Kill(StrEnum):
    """What may be killed in the middle."""

    worker = "worker"
    execute = "execute"
    sink = "sink"
    feed = "feed"


def add(app: typer.Typer) -> None:
    """Hang the command into `app`."""
    app.command(rich_help_panel="The system")(demo)


def demo(
    orders: Annotated[int, typer.Option(help="How many orders.", min=1)] = 5_000,
    rate: Annotated[float, typer.Option(help="Orders a second.", min=0.1)] = 200.0,
    accounts: Annotated[int, typer.Option(help="How many accounts trade.", min=1)] = 100,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            help="Play a recording's books at the venues: VENUE=FILE, or FILE for one that holds several venues; may be repeated.",
            metavar="[VENUE=]FILE",
        ),
    ] = None,
    speed: Annotated[float, typer.Option(help="Speed of the recordings against their own clock.", min=0.01)] = 1.0,
    kill: Annotated[
        Kill | None,
        typer.Option(help="End the part with SIGKILL in the middle; it is restarted, and nothing may be lost."),
    ] = None,
    venue_fault: Annotated[
        list[str] | None,
        typer.Option(
            help="Let a venue go wrong so many seconds into trading, for ten seconds or DURATION: down, hang, 503, slow, reject, feed; may be repeated.",
            metavar="NAME=KIND@SECONDS[+DURATION]",
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Follow real exchanges' public feeds; only fills are simulated. Without a network: exit code 3.",
        ),
    ] = False,
    venues: Annotated[
        str,
        typer.Option(
            help="With --live: exchanges by name, or a JSON list of venues as `bestex feed` takes it.",
            metavar="NAMES|FILE",
        ),
    ] = "binance,okx,bybit",
    symbols: Annotated[
        str | None, typer.Option(help="With --live: what to trade [default: BTC/USDT,ETH/USDT].")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running afterwards.")] = False,
    seed: Annotated[int, typer.Option(help="Of the books and the orders.")] = 7,
    home: Annotated[
        Path | None,
        typer.Option(
            help="Folder for all data and logs [default: a temporary one, removed when all is well].",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Run everything once and show what happened: the first command to try.

    Starts Kafka, the schema registry, Valkey and ClickHouse on free ports, three simulated venues, the feed, the agents, the execution
    connector and the sinks. Publishes orders the way any outside client would, of every kind, some of them bad. Waits until every order
    has ended, proves the invariants against Kafka, ClickHouse, the read model, the notices and the venues' own books, and stops everything.

        bestex demo --orders 500

        bestex demo --kill worker

        bestex demo --venue-fault alpha=hang@5

        bestex demo --replay binance-spot=recording.gz --speed 2

        bestex demo --live --venues binance,okx,bybit --symbols BTC/USDT
    """
    import signal

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with reported(json):
        from infra.demo.faults import parse
        from infra.demo.report import render
        from infra.demo.run import Options, run

        signal.signal(signal.SIGTERM, leave)
        followed = _live(venues, symbols, replay, json) if live else ()
        options = Options(
            orders=orders,
            rate=rate,
            accounts=accounts,
            replay=tuple(replay or ()),
            speed=speed,
            kill=kill.value if kill else None,
            venue_faults=tuple(parse(text) for text in venue_fault or ()),
            keep=keep,
            seed=seed,
            home=home,
            live=followed,
        )
        with Live(err()) as shown:
            summary = run(options, shown)
        if json:
            emit(summary.as_json())
        else:
            out().print(render(summary))
            if keep:
                out().print(
                    "Everything still runs: name its folder to the other commands with [cyan]--home[/], end it with [cyan]bestex down[/]."
                )
        if summary.invariants.violations:
            err().print(
                f"[red]{summary.invariants.violations} violations[/], the first: {summary.invariants.first_offender}",
                highlight=False,
            )
            raise typer.Exit(1)


def _live(venues: str, symbols: str | None, replay: Sequence[str] | None, json: bool) -> Sequence[Mapping[str, Any]]:
    """The real venues to follow. Ends the command where none can be reached."""
    from infra.commands import live

    if replay:
        raise Failure("--live and --replay: books are either the exchanges' of now or recorded ones")
    named = not venues.endswith(".json") and not Path(venues).is_file()
    rows = live.rows(venues, symbols or (",".join(live.SYMBOLS) if named else None))
    live.known(rows)
    live.reached(rows, json)
    return rows


class Live:
    """Progress for people on a terminal: a bar for what can be counted, a line for each step; plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._console = console
        self._task = self._progress.add_task("")

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, part: str, text: str) -> None:
        """A part did something."""
        self._console.print(f"  [dim]{part:>15}  {text}[/]", highlight=False)

    def phase(self, text: str, total: int | None = None) -> None:
        """A new phase begins."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(text, total=total)
        self._console.print(f"[bold]{text}[/]" + (f" [dim]({total:,})[/]" if total else ""), highlight=False)

    def done(self, count: int) -> None:
        """So many are done."""
        self._progress.update(self._task, completed=count)
