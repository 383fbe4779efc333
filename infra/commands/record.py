"""`bestex record`: an exchange's public stream, or a simulated venue's, into a file that can be replayed and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.commands.common import Failure, Home, Json, emit, err, out, reported, settings_of


def add(app: typer.Typer) -> None:
    """Hang the command into `app`."""
    app.command(rich_help_panel="Analysis")(record)


def record(
    venue: Annotated[
        str,
        typer.Option(
            help="A venue of the system that runs here, of --venues, or an exchange: binance, bitfinex, bybit, coinbase, kraken, okx."
        ),
    ],
    file: Annotated[Path, typer.Option("--out", help="Where to; gzipped if it ends in .gz.", dir_okay=False)],
    symbols: Annotated[str, typer.Option(help="One or more, joined by commas.")] = "BTC/USDT",
    seconds: Annotated[
        float, typer.Option(help="How long; Ctrl-C ends it sooner, and keeps what there is.", min=0.1)
    ] = 60.0,
    venues: Annotated[
        Path | None, typer.Option(help="JSON file of venues.", envvar="BESTEX_VENUES", exists=True, dir_okay=False)
    ] = None,
    ws_url: Annotated[str | None, typer.Option(help="Instead of the exchange's own address.")] = None,
    rest_url: Annotated[str | None, typer.Option(help="The same for whole books (Binance).")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Record order books and trades as the exchange sends them, each message with the time at which it came.

        bestex record --venue kraken --symbols BTC/USD,ETH/USD --out kraken.gz --seconds 600

        bestex record --venue alpha --out alpha.gz     (of `bestex up`)

    Then: bestex book check alpha.gz, bestex demo --replay alpha=alpha.gz
    """
    with reported(json):
        import asyncio
        import signal
        import time

        from connectors.feeds.recorder import record as run

        found = _where(venue, venues, home)
        wanted = [s for s in (x.strip() for x in symbols.split(",")) if s]
        if not wanted or any(s.count("/") != 1 for s in wanted):
            raise ValueError(f"--symbols {symbols} is not BASE/QUOTE[,BASE/QUOTE]")

        async def recorded() -> Any:
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            return await run(
                found["exchange"],
                wanted,
                file,
                seconds,
                time.time_ns,
                ws_url=ws_url or found.get("ws_url"),
                rest_url=rest_url or found.get("rest_url"),
                stop=stop,
            )

        began = time.monotonic()
        done = asyncio.run(recorded())
        took = time.monotonic() - began
        if not done.messages:
            raise Failure(f"{venue} sent nothing in {took:.1f} s: {done.errors[-1] if done.errors else 'no message'}")
        for why in done.errors:
            err().print(f"[yellow]{why}[/]", highlight=False)
        if json:
            emit(
                {
                    "venue": venue,
                    "exchange": found["exchange"],
                    "symbols": wanted,
                    "file": str(file),
                    "messages": done.messages,
                    "snapshots": done.snapshots,
                    "bytes": done.bytes,
                    "connections": done.connections,
                    "errors": done.errors,
                    "seconds": round(took, 2),
                }
            )
        else:
            out().print(f"{file}: {done.messages:,} messages in {took:.1f} s", highlight=False)


def _where(venue: str, file: Path | None, home: Path | None) -> dict[str, Any]:
    """Exchange and addresses of a venue's name."""
    import json

    from connectors.feeds.recorder import STREAMS
    from infra.pipeline import Running

    for given in json.loads(file.read_text()) if file is not None else ():
        if given.get("name") == venue:
            return {k: given[k] for k in ("exchange", "ws_url", "rest_url") if k in given}
    running = Running.load(settings_of(home).home)
    if running is not None and running.owner.alive() and venue in running.venues:
        rest = running.venues[venue]
        return {"exchange": "binance", "rest_url": rest, "ws_url": rest.replace("http", "ws", 1)}
    if venue in STREAMS:
        return {"exchange": venue}
    raise Failure(f"there is no venue {venue}: neither here, nor among {', '.join(STREAMS)}")
