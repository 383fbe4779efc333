"""`bestex venues`: the exchanges that can be traded on, what each can do, and exactly what would be sent to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from infra.commands.common import Failure, Home, Json, addresses_of, emit, must_be_exchanges, out, reported, settings_of

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
            table.add_column(column, overflow="fold")
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

        must_be_exchanges(name)
        found = facts(DIALECTS[name])
        if json:
            emit(found)
            return
        console = out()
        for key, value in found.items():
            if key == "pools":
                words = "\n".join(
                    f"{p['name']}: {p['capacity']} in {p['seconds']:g} s{costs(p['costs'])}" for p in value
                )
            elif isinstance(value, dict):
                words = ", ".join(f"{name} {said}" for name, said in value.items())
            elif isinstance(value, list):
                words = ("\n" if key == "quirks" else ", ").join(map(str, value))
            else:
                words = str(value)
            lines = words.split("\n")
            console.print(f"[dim]{key:>16}[/] {lines[0]}", highlight=False)
            for line in lines[1:]:
                console.print(f"{'':>16} {line}", highlight=False, markup=False)


def costs(given: Mapping[str, int]) -> str:
    """What calls take of a pool, for people: `*` is every other call."""
    return "".join(f"{',' if n else ':'} {call} {cost}" for n, (call, cost) in enumerate(given.items()))


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

        must_be_exchanges(name)
        given = codec.loads(arguments, parse_float=str)
        if not isinstance(given, dict):
            raise Failure("the call is one JSON object")
        try:
            answer = preview(name, call, given)
        except Refused as refusal:
            fail(str(refusal.args[-1]), json, "REFUSED", refused=refusal.args[0], sent=False)
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

        must_be_exchanges(name)
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


@venues.command()
def maintenance(
    name: Annotated[str, typer.Argument(help="The venue's name, as `bestex status` has it.", show_default=False)],
    switch: Annotated[str, typer.Argument(metavar="on|off", help="Whether it is in maintenance.", show_default=False)],
    until: Annotated[
        str | None, typer.Option(help="When it ends by itself: an ISO time, or +SECONDS from now.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "",
    home: Home = None,
    json: Json = False,
) -> None:
    """Take a venue out of routing, or in again. What rests there stays; orders for which no other venue is there wait.

    bestex venues maintenance kraken on --until +1800 --reason "announced upgrade"

    The word is kept in trading.states (key venue|NAME) and seen in `bestex status`; every plan says VENUE_MAINTENANCE of the venue.
    """
    with reported(json):
        from infra import marks
        from infra.client import Client, now_us
        from infra.commands.orders import time_of
        from schemas.records import TradingState, TradingStatus
        from streams.domain.terms import VENUE

        if switch not in ("on", "off"):
            raise Failure(f"maintenance is on or off, not {switch!r}")
        settings = settings_of(home)
        addresses = addresses_of(settings)
        kafka = settings.kafka_client(addresses.kafka)
        known = marks.venues(kafka, addresses.registry)
        if name not in known:
            raise Failure(f"no venue {name} is traded on; there are {', '.join(sorted(known)) or 'none'}")
        said = TradingState(
            scope=VENUE + name,
            state=TradingStatus.HALTED if switch == "on" else TradingStatus.ACTIVE,
            until=time_of(until) if switch == "on" else None,
            reason=reason or ("maintenance" if switch == "on" else ""),
            actor="operator",
            at=now_us(),
        )
        Client(kafka, addresses.registry).send("trading.states", said.scope, said)
        if json:
            emit({"venue": name, "maintenance": switch == "on", "until": said.until, "reason": said.reason})
        else:
            out().print(f"{name} is {'in maintenance' if switch == 'on' else 'routed to again'}")


@venues.command()
def alerts(
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """List what venues have that we do not know of: orphan orders, balances that drift, streams that are silent.

    Each was told once in venue.alerts when it was raised, and is once when it is cleared; those that stand are listed, with --all also the others.
    """
    with reported(json):
        from infra import marks
        from schemas.records import VenueAlertState
        from sinks.notices import notice

        settings = settings_of(home)
        addresses = addresses_of(settings)
        found = marks.alerts(settings.kafka_client(addresses.kafka), addresses.registry)
        told = [a for a in found.values() if every or a.state is VenueAlertState.RAISED]
        if json:
            left_out = ("account_id", "key", "text", "reason")
            rows = [{k: v for k, v in (notice(a) or {}).items() if k not in left_out} for a in told]
            emit({"alerts": [{"id": a.id, **row, "detail": a.detail} for a, row in zip(told, rows, strict=True)]})
            return
        if not told:
            out().print("nothing stands")
            return
        from datetime import UTC, datetime

        from rich.markup import escape

        from sinks.amounts import decimal

        colours = {VenueAlertState.RAISED: "yellow", VenueAlertState.CLEARED: "dim"}
        for a in told:
            since = datetime.fromtimestamp(a.raised_at // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
            about = " ".join(filter(None, (a.symbol, a.asset, a.child_id or a.client_order_id, a.venue_order_id)))
            amounts = [f"{n} {decimal(u)}" for n, u in (("expected", a.expected), ("found", a.found)) if u is not None]
            words = ", ".join(filter(None, (about, *amounts, a.detail)))
            mark = f"[{colours[a.state]}]{since} {a.state.value:>7}[/]"
            out().print(mark, escape(f"{a.venue} {a.kind.value}: {words}"), highlight=False, soft_wrap=True)
