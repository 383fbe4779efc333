"""`bestex up`, `down`, `status`: the whole system, staying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.commands.common import Home, Json, addresses_of, emit, fail, out, progress_lines, reported, settings_of

if TYPE_CHECKING:  # for annotations alone
    from rich.table import Table

    from infra.settings import Settings


def add(app: typer.Typer) -> None:
    """Hang the commands into `app`."""
    panel = "The system"
    app.command(rich_help_panel=panel)(up)
    app.command(rich_help_panel=panel)(down)
    app.command(rich_help_panel=panel)(status)
    app.command(rich_help_panel=panel)(env)


def up(
    home: Home = None,
    only_stack: Annotated[
        bool, typer.Option("--only-stack", help="Start the servers alone: no venues, no agents, no sinks.")
    ] = False,
    partitions: Annotated[int, typer.Option(help="Partitions of each topic, where topics are made.", min=1)] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the simulated venues' books.")] = 7,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            help="Play a recording at the venues: FILE or VENUE=FILE; may be repeated.", metavar="[VENUE=]FILE"
        ),
    ] = None,
    speed: Annotated[float, typer.Option(help="Speed of replayed recordings against their own clock.")] = 1.0,
    json: Json = False,
) -> None:
    """Start everything and leave it running.

    Kafka, the schema registry, Valkey and ClickHouse (each only where no address is set, as in BESTEX_KAFKA=host:9092), the topics and
    schemas, three simulated venues, the feed, the accounts and router agents, the execution connector and the sinks. When the command
    returns, an order published to orders.commands is filled. `bestex down` ends all of it; what it holds stays in the home folder.
    """
    with reported(json):
        from infra import topics
        from infra.demo.world import generated, recorded
        from infra.pipeline import PARTS, Running, launch
        from infra.settings import redacted
        from infra.stack.stack import Stack
        from schemas.registry import ConfluentRegistry

        settings, progress = settings_of(home), progress_lines()
        stack = Stack(settings.home, settings, progress, detached=True)
        addresses = stack.start()
        made = topics.create(settings.kafka_client(addresses.kafka), partitions)
        progress("topics", f"{len(made)} made")
        topics.register(ConfluentRegistry(addresses.registry))
        progress("schemas", "registered")
        shown = {
            "kafka": addresses.kafka,
            "registry": redacted(addresses.registry),
            "valkey": redacted(addresses.valkey),
            "clickhouse": redacted(addresses.clickhouse),
        }
        venues: dict[str, str] = {}
        if not only_stack:
            running = Running.load(settings.home)
            if running is None or not (running.ready and running.owner.alive()):
                world = recorded(replay, seed, speed) if replay else generated(seed)
                running = launch(settings.home, addresses, world, settings, progress)
            venues = running.venues
        if json:
            emit(
                {
                    **shown,
                    "home": str(settings.home.resolve()),
                    "venues": venues,
                    "parts": [] if only_stack else list(PARTS),
                }
            )
            return
        console = out()
        console.print("[bold green]bestex is up[/]")
        for name, address in shown.items():
            console.print(f"  {name:<11}{address}", highlight=False)
        for name, address in venues.items():
            console.print(f"  [dim]venue[/]      {name} {address} [dim](simulated)[/]", highlight=False)
        console.print(
            "\nTry [cyan]bestex account deposit alice USDT 100000[/], [cyan]bestex order place alice BTC/USDT buy 0.1[/], [cyan]bestex status[/]"
        )


def down(home: Home = None, json: Json = False) -> None:
    """End everything that `bestex up` started. What it holds stays; `bestex up` goes on from there."""
    with reported(json):
        from infra.pipeline import end
        from infra.stack.stack import Stack

        settings, progress = settings_of(home), progress_lines()
        was = end(settings.home)
        if was:
            progress("pipeline", "ended")
        Stack(settings.home, settings, progress, detached=True).stop()
        if json:
            emit({"stopped": True, "pipeline": was})
        else:
            out().print("everything has ended")


def status(home: Home = None, json: Json = False) -> None:
    """Show every part: whether it runs, where, and how often it was restarted. Exit code 1 if any part of a started system is not well."""
    with reported(json):
        from infra.pipeline import PARTS, Running
        from infra.stack.stack import Stack

        settings = settings_of(home)
        servers = Stack(settings.home, settings, detached=True).status()
        running = Running.load(settings.home)
        alive = running is not None and running.owner.alive()
        stopped: dict[str, Any] = {"state": "stopped", "pid": None, "restarts": 0}
        known: dict[str, dict[str, Any]] = running.parts if running is not None and alive else {}
        parts = {name: known.get(name, stopped) for name in PARTS}
        well = all(s["state"] in ("running", "external") for s in servers.values()) and all(
            p["state"] == "running" for p in parts.values()
        )
        found, halts = _trading(settings) if well else ({}, {})
        if json:
            emit(
                {
                    "well": well,
                    "servers": servers,
                    "parts": parts,
                    "venues": running.venues if running and alive else {},
                    "venue_health": found,
                    "halts": halts,
                }
            )
        else:
            from rich.table import Table

            table = Table("part", "state", "pid", "restarts", "address", box=None, header_style="dim")
            colour = {"running": "green", "external": "green", "stopped": "dim"}
            for name, s in servers.items():
                table.add_row(
                    name,
                    f"[{colour.get(str(s['state']), 'yellow')}]{s['state']}",
                    str(s["pid"] or ""),
                    "",
                    str(s["address"] or ""),
                )
            for name, p in parts.items():
                table.add_row(
                    name,
                    f"[{colour.get(p['state'], 'yellow')}]{p['state']}",
                    str(p["pid"] or ""),
                    str(p["restarts"] or ""),
                    "",
                )
            out().print(table)
            if found:
                out().print(_venues_table(found))
            for scope, said in halts.items():
                out().print(
                    f"[yellow]{said['state']}[/] {scope}: {said['reason']} [dim]{said['actor']}[/]", highlight=False
                )
        if not well:
            if json:
                raise typer.Exit(1)
            fail("not everything runs: `bestex up` starts it", False)


def _trading(settings: Settings) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    """How the venues do, and what may not be traded freely."""
    from infra import marks

    addresses = addresses_of(settings)
    kafka = settings.kafka_client(addresses.kafka)
    return marks.venues(kafka, addresses.registry), marks.halts(kafka, addresses.registry)


def _venues_table(found: dict[str, dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table("venue", "state", "latency ms", "success", "", box=None, header_style="dim")
    colour = {"ACTIVE": "green", "DEGRADED": "yellow", "MAINTENANCE": "cyan"}
    for name, v in found.items():
        state = f"[{colour.get(v['status'], 'red')}]{v['status']}[/]"
        table.add_row(name, state, f"{v['latency_ms']:g}", f"{v['success_rate']:.1%}", v["reason"])
    return table


def env(home: Home = None, json: Json = False) -> None:
    """Print where the parts answer, as shell variables for your own clients. They hold the passwords of the local parts.

    eval "$(bestex env)"; curl "$BESTEX_CLICKHOUSE/?database=bestex" -d "SELECT count() FROM fills"
    """
    with reported(json):
        import shlex

        found = addresses_of(settings_of(home)).as_environment()
        if json:
            emit(found)
            return
        for name, value in found.items():
            print(f"export {name}={shlex.quote(value)}")
