"""`bestex venues`: the exchanges that can be traded on, what each can do, and exactly what would be sent to it."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.commands.common import Failure, Json, emit, out, reported

venues = typer.Typer(
    no_args_is_help=True, help="Exchanges: what they can do, what is sent to them, whether they answer."
)
Name = Annotated[str, typer.Argument(help="As in kraken.", show_default=False)]


def add(app: typer.Typer) -> None:
    """Hang the commands into `app`."""
    app.add_typer(venues, name="venues", rich_help_panel="Analysis")


@venues.command("list")
def list_(json: Json = False) -> None:
    """The exchanges and what each can do."""
    with reported(json):
        from connectors.venues.exchanges import DIALECTS
        from connectors.venues.preview import facts

        rows = [facts(dialect) for dialect in DIALECTS.values()]
        if json:
            emit({"venues": rows})
            return
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for column in ("name", "client order id", "market", "in force", "post-only", "sandbox", "needs"):
            table.add_column(column)
        for row in rows:
            market = "no" if row["market_buy_in"] is None else f"buys in {row['market_buy_in']}"
            table.add_row(
                row["exchange"],
                row["client_order_id"]["parameter"],
                market,
                " ".join(row["time_in_force"]),
                "yes" if row["post_only"] else "no",
                "yes" if row["sandbox"] else "no",
                " ".join(row["credentials"]),
            )
        out().print(table)


@venues.command()
def show(name: Name, json: Json = False) -> None:
    """All that is known of one exchange: ids, order types, limits, quirks."""
    with reported(json):
        from connectors.venues.exchanges import DIALECTS
        from connectors.venues.preview import facts

        if name not in DIALECTS:
            raise Failure(f"no such exchange: {name}; there are {', '.join(DIALECTS)}")
        found = facts(DIALECTS[name])
        if json:
            emit(found)
            return
        console = out()
        for key, value in found.items():
            if key == "pools":
                words = "\n".join(
                    f"{p['name']}: {p['capacity']} in {p['seconds']:g} s {p['costs'] or ''}".rstrip() for p in value
                )
            elif isinstance(value, list):
                words = ("\n" if key == "quirks" else ", ").join(map(str, value))
            else:
                words = str(value)
            lines = words.split("\n")
            console.print(f"[dim]{key:>16}[/] {lines[0]}", highlight=False)
            for line in lines[1:]:
                console.print(f"{'':>16} {line}", highlight=False, markup=False)


@venues.command()
def request(
    name: Name,
    call: Annotated[
        str, typer.Argument(help="create, cancel, fetch, open_orders, my_trades or balance.", show_default=False)
    ],
    arguments: Annotated[str, typer.Argument(metavar="JSON", help="What to ask, as one JSON object.")] = "{}",
    json: Json = False,
) -> None:
    """Print the exact request that would be sent, without sending it.

    bestex venues request kraken create '{"symbol": "BTC/USD", "side": "buy", "type": "limit", "quantity": "1.25",
    "price": "37500", "key": "k", "secret": "c2VjcmV0", "nonce": 1616492376594}'

    The object may hold symbol, side, type, quantity, price, cost, time_in_force, post_only, client_order_id, order_id; key, secret,
    password, account_id, operator_id; time (ms) and nonce. What the exchange cannot do is refused: exit code 1 and the reason.
    """
    with reported(json):
        import json as codec

        from connectors.venues.outcomes import Refused
        from connectors.venues.preview import preview
        from infra.commands.common import fail

        given = codec.loads(arguments, parse_float=str)
        if not isinstance(given, dict):
            raise Failure("the call is one JSON object")
        try:
            answer = preview(name, call, given)
        except Refused as refusal:
            fail(str(refusal.args[-1]), json, refused=refusal.args[0], sent=False)
        emit(answer)


@venues.command()
def check(
    name: Name,
    rest_url: Annotated[str | None, typer.Option(help="Another address, as of a simulator.", metavar="URL")] = None,
    symbol: Annotated[str | None, typer.Option(help="What the test order is for.", show_default=False)] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="The exchange's own test system.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 5.0,
    json: Json = False,
) -> None:
    """Ask an exchange whether it can be traded on: markets, clock, credentials, permissions, balances, a test order where it has one.

    Credentials come from BESTEX_VENUE_<NAME>_API_KEY, _SECRET, _PASSWORD and _ACCOUNT_ID, or from files named by the same with _FILE.
    """
    with reported(json):
        import asyncio
        import os

        from connectors.venues.adapter import VenueConfig
        from connectors.venues.checkup import checkup, credentials
        from connectors.venues.exchanges import DIALECTS

        if name not in DIALECTS:
            raise Failure(f"no such exchange: {name}; there are {', '.join(DIALECTS)}")
        keys = credentials(name, os.environ)
        config = VenueConfig(
            name,
            name,
            rest_url,
            api_key=keys.api_key,
            secret=keys.secret,
            password=keys.password,
            account_id=keys.account_id,
            timeout=timeout,
            sandbox=sandbox,
        )
        found = asyncio.run(checkup(config, symbol))
        failed = [finding.name for finding in found if finding.state == "failed"]
        if json:
            rows = [{"name": f.name, "state": f.state, "said": f.said} for f in found]
            emit({"venue": name, "checks": rows, "failed": failed})
        else:
            colours = {"ok": "green", "failed": "red", "skipped": "dim"}
            for finding in found:
                mark = f"[{colours[finding.state]}]{finding.state:>8}[/]"
                out().print(f"{mark} {finding.name:<12}", finding.said, highlight=False)
        if failed:
            raise typer.Exit(1)
