"""Commands that need nothing running: `bestex route` on a recorded snapshot, `bestex book check` on a recording, `bestex check` on a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.commands.common import Json, emit, out, reported

books = typer.Typer(no_args_is_help=True, help="Order books, offline: a recording rebuilt and checked.")


def add(app: typer.Typer) -> None:
    """Hang the commands into `app`."""
    app.command(rich_help_panel="Analysis")(route)
    app.add_typer(books, name="book", rich_help_panel="Analysis")
    app.command(rich_help_panel="Development")(check)


def route(
    snapshot: Annotated[Path | None, typer.Argument(help="JSON of books at several venues; may be gzipped.")] = None,
    symbol: Annotated[str, typer.Argument(help="As in BTC/USD.", show_default=False)] = "",
    side: Annotated[str, typer.Argument(help="buy or sell.", show_default=False)] = "",
    quantity: Annotated[str, typer.Argument(help="In the base asset, as in 500.", show_default=False)] = "",
    snapshot_option: Annotated[
        Path | None, typer.Option("--snapshot", help="The same by name.", metavar="FILE")
    ] = None,
    symbol_option: Annotated[str, typer.Option("--symbol", help="The same by name.", show_default=False)] = "",
    side_option: Annotated[str, typer.Option("--side", help="The same by name.", show_default=False)] = "",
    quantity_option: Annotated[str, typer.Option("--quantity", help="The same by name.", show_default=False)] = "",
    fee: Annotated[
        list[str] | None,
        typer.Option("--fee", "--fees", help="Taker fee in basis points; may be repeated.", metavar="VENUE=BPS"),
    ] = None,
    json: Json = False,
) -> None:
    """Show what the router would do with a market order on a snapshot of books, and why.

    bestex route books.json.gz BTC/USD buy 500 --fee bitstamp=25

    bestex route --snapshot books.json.gz --symbol BTC/USD --side buy --quantity 500
    """
    file, of = snapshot_option or snapshot, symbol_option or symbol
    way, amount = (side_option or side).lower(), quantity_option or quantity
    for name, value in (("snapshot", file), ("symbol", of), ("side", way), ("quantity", amount)):
        if not value:
            raise typer.BadParameter(f"{name} is missing")
    with reported(json):
        from infra.route import fee_rates, table
        from infra.route import route as plan

        answer = plan(file or Path(), of, way, amount, fee_rates(fee or ()))
        if json:
            emit(answer)
        else:
            out().print(table(answer, of, way))


Every = Annotated[int, typer.Option(help="Into every so many book messages; 0 for never.", min=0)]


@books.command("check")
def book_check(
    file: Annotated[Path, typer.Argument(help="A recording; may be gzipped.", exists=True, dir_okay=False)],
    drop: Every = 0,
    duplicate: Every = 0,
    reorder: Every = 0,
    corrupt: Every = 0,
    exchange: Annotated[str | None, typer.Option(help="Whose messages [default: recognised].")] = None,
    json: Json = False,
) -> None:
    """Rebuild a recording's books and hold them against the exchange's own words: quotes at update ids, checksums.

    With faults put in on purpose: each must be detected, and no wrong book be offered meanwhile. A recording without counts or
    checksums (the normalised form) cannot show that a message is missing; what is offered then is told as mismatched.

    Ends with 1 when anything is mismatched or a fault was not detected.

    bestex book check binance-spot.gz --drop 100
    """
    with reported(json):
        from infra.book_check import Faults, check

        found = check(file, Faults(drop, duplicate, reorder, corrupt), exchange)
        if json:
            emit(found)
        else:
            for name, value in found.items():
                out().print(f"[dim]{name:>16}[/] {value}", highlight=False)
        if found["mismatched"] or found["detected"] != found["injected"]:
            raise typer.Exit(1)


def check(
    names: Annotated[list[str] | None, typer.Argument(help="Which checks [default: all].", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Check the code: format, lint, types, imports, generated records, compatibility of schemas."""
    from infra.checks import main

    raise typer.Exit(main([*(names or ()), *(["--json"] if json else [])]))
