"""`bestex verify`: proof that nothing was lost, doubled or made up."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.commands.common import Home, Json, addresses_of, emit, err, out, reported, settings_of


def add(app: typer.Typer) -> None:
    """Hang the command into `app`."""
    app.command(rich_help_panel="Analysis")(verify)


def verify(
    home: Home = None,
    settle: Annotated[
        float, typer.Option(help="Seconds to let a running system come to rest before judging it.")
    ] = 15.0,
    json: Json = False,
) -> None:
    """Read the whole log and check it against itself, ClickHouse, the read model, the notifier and the venues.

    Every command was answered exactly once; every order moved as the state table allows; sequences have no gap and the hash chain holds;
    money is conserved; fills add up to their orders; every target equals the log; each child order was accepted at most once, and the
    venues' own books of trades equal our fills. Exit code 1 if anything is violated.
    """
    with reported(json):
        from infra.pipeline import FOLDER, Running
        from infra.verify.report import render
        from infra.verify.run import Targets
        from infra.verify.run import verify as prove

        settings = settings_of(home)
        addresses = addresses_of(settings)
        running = Running.load(settings.home)
        alive = running is not None and running.owner.alive()
        notices = settings.home.resolve() / FOLDER / "notices.jsonl"
        targets = Targets(
            clickhouse=addresses.clickhouse,
            valkey=addresses.valkey,
            notices=notices if notices.exists() else None,
            venues=dict(running.venues) if running is not None and alive else {},
        )
        found = prove(settings.kafka_client(addresses.kafka), addresses.registry, targets, settle)
        if not json:
            out().print(render(found))
        else:
            emit(found.as_json())
        if found.violations:
            err().print(f"[red]{found.violations} violations[/], the first: {found.first_offender}", highlight=False)
            raise typer.Exit(1)
