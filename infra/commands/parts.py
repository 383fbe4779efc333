"""One part each, for deployment: the same entries that `bestex up` starts, in the foreground, as a container wants them.

With ``--config FILE`` the file is the part's own configuration. Without, it is made from the environment (BESTEX_KAFKA, BESTEX_REGISTRY …)
or from the stack that runs in the home, and kept in the home for its owner's eyes only: nothing secret is ever on a command line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.commands.common import Failure, Home, Json, addresses_of, emit, reported, settings_of

if TYPE_CHECKING:  # for annotations alone
    from infra.settings import Addresses, Settings

Config = Annotated[
    Path | None,
    typer.Option("--config", help="The part's configuration, JSON.", exists=True, dir_okay=False, show_default=False),
]
Venues = Annotated[
    Path | None,
    typer.Option(
        "--venues",
        help="JSON list of venues: name, exchange, rest_url, ws_url, symbols; to trade also api_key_file and secret_file.",
        exists=True,
        dir_okay=False,
        envvar="BESTEX_VENUES",
        show_default=False,
    ),
]


def add(app: typer.Typer) -> None:
    """Hang the commands into `app`."""
    panel = "One part each, for deployment"
    for command in (worker, feed, execute, sink, simulate):
        app.command(rich_help_panel=panel)(command)


def worker(
    name: Annotated[str, typer.Argument(help="accounts or router.", show_default=False)],
    config: Config = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Run one worker of an agent. Start more of them, on any machine, and they share the partitions."""
    with reported(json):

        def more(settings: Settings, addresses: Addresses) -> dict[str, Any]:
            return {"home": str((settings.home / "state" / name).resolve()), **settings.agent(name)}

        _run("streams.worker", (name,), config, home, more, json)


def feed(
    config: Config = None,
    venues: Annotated[
        str | None,
        typer.Option(
            help="Exchanges by name, as in binance,kraken, or a JSON list of venues: name, exchange, symbols; rest_url and ws_url where "
            'that is not the exchange itself; "path": "ccxt" to be followed through ccxt.',
            envvar="BESTEX_VENUES",
            metavar="NAMES|FILE",
            show_default=False,
        ),
    ] = None,
    symbols: Annotated[
        str | None, typer.Option(help="What to follow, as in BTC/USDT,ETH/USDT.", show_default=False)
    ] = None,
    processes: Annotated[int, typer.Option(help="Share the symbols among so many processes.", min=1)] = 1,
    home: Home = None,
    json: Json = False,
) -> None:
    """Run the feed: venues' public streams into market.books and market.trades.

        bestex feed --venues binance,kraken,coinbase --symbols BTC/USDT,ETH/USDT

    Binance, Bitfinex, Bybit, Coinbase, Kraken and OKX go the fast path, the others of `bestex venues list` through ccxt. REST snapshots
    keep to the budget that all processes share in Valkey. Where no venue can be reached: error code NO_NETWORK and exit code 3. With --json
    the last line counts what was done; it comes when the feed is told to end.
    """
    with reported(json):
        from infra.commands import live

        flags = ("--json",) if json else ()
        if config is not None:
            _exec("connectors.feeds", flags, config)
        rows = live.rows(venues, symbols)
        live.reached(rows, json)
        more = {"venues": rows, "processes": processes}
        _run("connectors.feeds", flags, config, home, lambda s, a: {**more, "limits": a.valkey})


def execute(config: Config = None, venues: Venues = None, home: Home = None, json: Json = False) -> None:
    """Run the execution connector: child orders to venues, reports back."""
    with reported(json):
        _run(
            "connectors.execution",
            (),
            config,
            home,
            lambda s, a: {"venues": _venues(venues), "settings": dict(s.execution)},
            json,
        )


def sink(
    name: Annotated[str, typer.Argument(help="clickhouse, readmodel or notifier.", show_default=False)],
    config: Config = None,
    webhook: Annotated[
        str | None, typer.Option(help="Where the notifier posts; without it, it writes lines.", envvar="BESTEX_WEBHOOK")
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Run one sink."""

    def more(settings: Settings, addresses: Addresses) -> dict[str, Any]:
        return {
            "clickhouse": addresses.clickhouse,
            "valkey": addresses.valkey,
            **({"webhook": webhook} if webhook else {}),
        }

    with reported(json):
        _run("sinks", (name,), config, home, more, json)


def simulate(
    config: Annotated[Path, typer.Option("--config", help="The venues, JSON.", exists=True, dir_okay=False)],
    json: Json = False,
) -> None:
    """Run simulated venues that speak the APIs of Binance, Coinbase, Kraken or OKX over HTTP and WebSocket."""
    with reported(json):
        _exec("connectors.simulator", (), config, json)


def _venues(file: Path | None) -> list[dict[str, Any]]:
    import json

    if file is None:
        raise Failure("which venues? Name a file with --venues, or set BESTEX_VENUES")
    found = json.loads(file.read_text())
    for venue in found:
        for name in ("api_key_file", "secret_file"):
            if name in venue:
                venue[name] = str((file.parent / venue[name]).resolve())
    return list(found)


def _run(
    module: str, arguments: tuple[str, ...], config: Path | None, home: Path | None, more: Any, told: bool = False
) -> None:
    if config is None:
        import json

        from infra.stack.state import write_private

        settings = settings_of(home)
        addresses = addresses_of(settings)
        made = {
            "kafka": settings.kafka_client(addresses.kafka),
            "registry": addresses.registry,
            **more(settings, addresses),
        }
        named = (module, *(a for a in arguments if not a.startswith("-")))
        config = settings.home.resolve() / "config" / f"{'-'.join(named)}.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        write_private(config, json.dumps(made, indent=1))
    _exec(module, arguments, config, told)


def _exec(module: str, arguments: tuple[str, ...], config: Path, told: bool = False) -> None:
    """Become the part: signals and the exit code are then its own. `told`: stay beside it, hand signals on, and say as JSON how it ended."""
    import os
    import signal
    import subprocess
    import sys
    import time

    command = [sys.executable, "-m", module, *arguments, "--config", str(config)]
    sys.stdout.flush()
    if not told:
        os.execv(sys.executable, command)
    began = time.monotonic()
    with subprocess.Popen(command) as part:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: part.send_signal(number))
        code = part.wait()
    seconds = round(time.monotonic() - began, 1)
    emit({"part": " ".join((module, *arguments)), "exit_code": code, "seconds": seconds})
    raise typer.Exit(code if code >= 0 else 128 - code)
