"""Commands that need nothing running: `bestex route` on a recorded snapshot, `bestex check` on a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.commands.common import Json, emit, out, reported
from infra.commands.orders import OrderSide


def add(app: typer.Typer) -> None:
    """Hang the commands into `app`."""
    app.command(rich_help_panel="Analysis")(route)
    app.command(rich_help_panel="Development")(check)


def route(
    snapshot: Annotated[
        Path, typer.Argument(help="JSON of books at several venues; may be gzipped.", exists=True, dir_okay=False)
    ],
    symbol: Annotated[str, typer.Argument(help="As in BTC/USD.", show_default=False)],
    side: Annotated[OrderSide, typer.Argument(help="buy or sell.", show_default=False)],
    quantity: Annotated[str, typer.Argument(help="In the base asset, as in 500.", show_default=False)],
    fee: Annotated[
        list[str] | None, typer.Option(help="Taker fee in basis points; may be repeated.", metavar="VENUE=BPS")
    ] = None,
    json: Json = False,
) -> None:
    """Show what the router would do with a market order on a snapshot of books, and why.

    bestex route books.json.gz BTC/USD buy 500 --fee bitstamp=25
    """
    with reported(json):
        from infra.route import fee_rates, table
        from infra.route import route as plan

        answer = plan(snapshot, symbol, side.value, quantity, fee_rates(fee or ()))
        if json:
            emit(answer)
        else:
            out().print(table(answer, symbol, side.value))


def check(
    names: Annotated[list[str] | None, typer.Argument(help="Which checks [default: all].", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Check the code: format, lint, types, imports, generated records, compatibility of schemas."""
    from infra.checks import main

    raise typer.Exit(main([*(names or ()), *(["--json"] if json else [])]))
