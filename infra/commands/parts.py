"""One part each, for deployment: the same entries that `bestex up` starts, in the foreground, as a container wants them.

With ``--config FILE`` the file is the part's own configuration. Without, it is made from the environment (BESTEX_KAFKA, BESTEX_REGISTRY …)
or from the stack that runs in the home, and kept in the home for its owner's eyes only: nothing secret is ever on a command line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.commands.common import Failure, Home, addresses_of, reported, settings_of

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
) -> None:
    """Run one worker of an agent. Start more of them, on any machine, and they share the partitions."""
    with reported(False):
        _run("streams.worker", (name,), config, home, lambda s, a: {"home": str((s.home / "state" / name).resolve())})


def feed(config: Config = None, venues: Venues = None, home: Home = None) -> None:
    """Run the feed: venues' public streams into market.books and market.trades."""
    with reported(False):
        _run("connectors.feeds", (), config, home, lambda s, a: {"venues": [_public(v) for v in _venues(venues)]})


def execute(config: Config = None, venues: Venues = None, home: Home = None) -> None:
    """Run the execution connector: child orders to venues, reports back."""
    with reported(False):
        _run("connectors.execution", (), config, home, lambda s, a: {"venues": _venues(venues)})


def sink(
    name: Annotated[str, typer.Argument(help="clickhouse, readmodel or notifier.", show_default=False)],
    config: Config = None,
    webhook: Annotated[
        str | None, typer.Option(help="Where the notifier posts; without it, it writes lines.", envvar="BESTEX_WEBHOOK")
    ] = None,
    home: Home = None,
) -> None:
    """Run one sink."""

    def more(settings: Settings, addresses: Addresses) -> dict[str, Any]:
        return {
            "clickhouse": addresses.clickhouse,
            "valkey": addresses.valkey,
            **({"webhook": webhook} if webhook else {}),
        }

    with reported(False):
        _run("sinks", (name,), config, home, more)


def simulate(
    config: Annotated[Path, typer.Option("--config", help="The venues, JSON.", exists=True, dir_okay=False)],
) -> None:
    """Run simulated venues that speak Binance's spot API over HTTP and WebSocket."""
    _exec("connectors.simulator", (), config)


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


def _public(venue: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in venue.items() if k in ("name", "exchange", "rest_url", "ws_url", "symbols")}


def _run(module: str, arguments: tuple[str, ...], config: Path | None, home: Path | None, more: Any) -> None:
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
        config = settings.home.resolve() / "config" / f"{'-'.join((module, *arguments))}.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        write_private(config, json.dumps(made, indent=1))
    _exec(module, arguments, config)


def _exec(module: str, arguments: tuple[str, ...], config: Path) -> None:
    """Become the part: signals and the exit code are then its own."""
    import os
    import sys

    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments, "--config", str(config)])
