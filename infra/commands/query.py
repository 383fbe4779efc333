"""`bestex query`: ClickHouse, for analysts."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from infra.commands.common import Home, Json, addresses_of, emit, out, reported, settings_of, table


def add(app: typer.Typer) -> None:
    """Hang the command into `app`."""
    app.command(rich_help_panel="Analysis")(query)


def query(
    sql: Annotated[str, typer.Argument(help="A statement in ClickHouse's SQL.", show_default=False)],
    output_format: Annotated[
        str | None,
        typer.Option("--format", help="One of ClickHouse's formats, printed as it comes: CSV, JSONEachRow, Parquet …"),
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Ask ClickHouse; it only reads. Tables: order_events, fills, route_plans, quotes, venue_alerts; views: orders, balances, fills_by_venue,
    route_decisions, tca_fills.

    bestex query "SELECT venue, count(), sum(quantity) FROM fills GROUP BY venue"

    bestex query --format CSV "SELECT * FROM orders" > orders.csv
    """
    with reported(json):
        from infra.query import ask, raw

        address = addresses_of(settings_of(home)).clickhouse
        if output_format is not None and not json:
            for part in raw(address, sql, output_format):
                sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
            return
        answer = ask(address, sql)
        if json:
            emit({"columns": answer.columns, "types": answer.types, "rows": answer.rows})
            return
        from rich.text import Text

        shown = table(*answer.columns)
        for column, kind in zip(shown.columns, answer.types, strict=True):
            if kind.startswith(("Int", "UInt", "Float", "Decimal")):
                column.justify = "right"
        for row in answer.rows:
            shown.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
        out().print(shown)
        out().print(f"[dim]{len(answer.rows)} rows[/]")
