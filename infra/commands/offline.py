"""Commands that need nothing running: `bestex route` on a recorded snapshot, `bestex book check` on a recording, `bestex check` on a checkout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from infra.commands.common import Json, emit, out, reported

_FEE = re.compile(r"[^=/]+=-?[0-9.]+")
books = typer.Typer(no_args_is_help=True, help="Order books, offline: a recording rebuilt and checked.")


def add(app: typer.Typer) -> None:
    """Hang the commands into `app`."""
    app.command(rich_help_panel="Analysis")(route)
    app.add_typer(books, name="book", rich_help_panel="Analysis")
    app.command(rich_help_panel="Development")(check)


def route(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            help="The four in their order, those that are not named by an option: JSON of books at several venues, which may be "
            "gzipped; the symbol, as in BTC/USD; buy or sell; the quantity in the base asset, as in 500.",
            metavar="[SNAPSHOT SYMBOL SIDE QUANTITY]",
            show_default=False,
        ),
    ] = None,
    snapshot: Annotated[str, typer.Option(help="The books by name.", metavar="FILE", show_default=False)] = "",
    symbol: Annotated[str, typer.Option(help="The symbol by name.", show_default=False)] = "",
    side: Annotated[str, typer.Option(help="The side by name.", show_default=False)] = "",
    quantity: Annotated[str, typer.Option(help="The quantity by name.", show_default=False)] = "",
    fee: Annotated[
        list[str] | None,
        typer.Option(
            "--fee", "--fees", help="Taker fees in basis points, one or more; may be repeated.", metavar="VENUE=BPS..."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show what the router would do with a market order on a snapshot of books, and why.

    bestex route books.json.gz BTC/USD buy 500 --fee bitstamp=25

    bestex route --snapshot books.json.gz --symbol BTC/USD --side buy --quantity 500 --fees bitstamp=25 coinbase=40
    """
    given = {"snapshot": snapshot, "symbol": symbol, "side": side, "quantity": quantity}
    # what follows the first fee of `--fees` comes as words
    fees = [*(fee or ()), *(word for word in words or () if fee and _FEE.fullmatch(word))]
    for word in words or ():
        if fee and _FEE.fullmatch(word):
            continue
        open_ = next((name for name, value in given.items() if not value), None)
        if open_ is None:
            raise typer.BadParameter(f"{word} is one too many")
        given[open_] = word
    if missing := [name for name, value in given.items() if not value]:
        raise typer.BadParameter(f"{', '.join(missing)}: missing")
    with reported(json):
        from infra.route import fee_rates, table
        from infra.route import route as plan

        of, way = given["symbol"], given["side"].lower()
        answer = plan(Path(given["snapshot"]), of, way, given["quantity"], fee_rates(fees))
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
    from infra.checks import CHECKS, main

    if unknown := [name for name in names or () if name not in CHECKS]:
        raise typer.BadParameter(f"no such check: {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    raise typer.Exit(main([*(names or ()), *(["--json"] if json else [])]))
