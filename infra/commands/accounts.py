"""`bestex account …`: funds in, funds out, set aside, what is there, and what the account may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.commands.common import (
    NUMBERS,
    Failure,
    Home,
    Json,
    addresses_of,
    emit,
    err,
    fail,
    out,
    reported,
    settings_of,
    table,
)
from infra.commands.orders import Account, Wait, answered, client_of, described, known, published

if TYPE_CHECKING:  # for annotations alone: these are imported when a command runs
    from schemas.records import TradingStatus

accounts = typer.Typer(no_args_is_help=True, help="Move funds into and out of accounts, and see balances.")
Asset = Annotated[str, typer.Argument(help="The asset, as in USDT.", show_default=False)]
Amount = Annotated[str, typer.Argument(help="How much, as in 100000.", show_default=False)]
TransferId = Annotated[str | None, typer.Option("--id", help="Transfer id: a repeat is not applied again.")]


def add(app: typer.Typer) -> None:
    """Hang the commands into `app`."""
    app.add_typer(accounts, name="account", rich_help_panel="Trading")


@accounts.command(context_settings=NUMBERS)
def deposit(
    account: Account,
    asset: Asset,
    amount: Amount,
    transfer_id: TransferId = None,
    wait: Wait = 10.0,
    home: Home = None,
    json: Json = False,
) -> None:
    """Put funds into an account; the first deposit opens it.

    bestex account deposit alice USDT 100000
    """
    _transfer("DEPOSIT", account, asset, amount, transfer_id, wait, home, json)


@accounts.command(context_settings=NUMBERS)
def withdraw(
    account: Account,
    asset: Asset,
    amount: Amount,
    transfer_id: TransferId = None,
    wait: Wait = 10.0,
    home: Home = None,
    json: Json = False,
) -> None:
    """Take available funds out of an account."""
    _transfer("WITHDRAWAL", account, asset, amount, transfer_id, wait, home, json)


@accounts.command(context_settings=NUMBERS)
def hold(
    account: Account,
    asset: Asset,
    amount: Amount,
    transfer_id: TransferId = None,
    wait: Wait = 10.0,
    home: Home = None,
    json: Json = False,
) -> None:
    """Set available funds aside until they are released."""
    _transfer("HOLD", account, asset, amount, transfer_id, wait, home, json)


@accounts.command(context_settings=NUMBERS)
def release(
    account: Account,
    asset: Asset,
    amount: Amount,
    transfer_id: TransferId = None,
    wait: Wait = 10.0,
    home: Home = None,
    json: Json = False,
) -> None:
    """Give back funds that are held."""
    _transfer("RELEASE", account, asset, amount, transfer_id, wait, home, json)


COUNTS = ("kyc_tier", "min_tier", "max_open_orders", "order_rate", "modify_rate")
YES, NO = ("yes", "true", "1"), ("no", "false", "0")
AMOUNTS = ("max_quantity", "max_notional", "collar", "max_day_notional", "max_account_position")


@accounts.command()
def limits(
    account: Annotated[str, typer.Argument(help="The account, or * for everybody.", show_default=False)],
    values: Annotated[
        list[str] | None,
        typer.Argument(help=f"NAME=VALUE: state, sanctioned, {', '.join((*COUNTS, *AMOUNTS))}, position.ASSET."),
    ] = None,
    wait: Wait = 10.0,
    home: Home = None,
    json: Json = False,
) -> None:
    """Show or set limits of an account or, with *, of everybody: what is not named stays as it is, NAME= is not set any more.

    Rates are commands a second, notionals and positions amounts of the reporting currency, a collar a part of the price, as in 0.01.

    bestex account limits alice

    bestex account limits alice max_open_orders=50 max_notional=100000 position.BTC=10

    bestex account limits alice state=REDUCING

    bestex account limits alice state= max_open_orders=
    """
    with reported(json):
        import secrets

        from infra.client import now_us, units
        from schemas.records import AssetAmount, EventKind, SetLimits

        if not values:
            _show_limits(account, home, json)
            return
        found: dict[str, Any] = {}
        for pair in values:
            name, equals, value = pair.partition("=")
            if not equals:
                raise ValueError(f"{pair!r} is not NAME=VALUE")
            if not value:
                found["unset"] = (*found.get("unset", ()), name)
            elif name in COUNTS:
                if not value.isdigit():
                    raise ValueError(f"{name} is a whole number, not {value!r}")
                found[name] = int(value)
            elif name in AMOUNTS:
                found[name] = units(value)
            elif name == "state":
                found[name] = _state(value)
            elif name == "sanctioned":
                if value.lower() not in (*YES, *NO):
                    raise ValueError(f"sanctioned is yes or no, not {value!r}")
                found[name] = value.lower() in YES
            elif name.startswith("position."):
                most = AssetAmount(asset=name.partition(".")[2], amount=units(value))
                found["max_positions"] = (*found.get("max_positions", ()), most)
            else:
                raise ValueError(f"there is no limit {name!r}")
        record = SetLimits(account_id=account, command_id=f"cli-{secrets.token_hex(6)}", sent_at=now_us(), **found)
        client = client_of(home)
        if account == "*":
            from infra.marks import latest
            from streams.domain.transfers import merged, wrong

            if problem := wrong(record):
                raise ValueError(problem)
            settings = settings_of(home)
            addresses = addresses_of(settings)
            before = latest(settings.kafka_client(addresses.kafka), addresses.registry, "risk.defaults", SetLimits)
            client.send("risk.defaults", account, merged(before.get(account), record))
            if json:
                emit({"account_id": account, "kind": "PUBLISHED"})
            else:
                out().print(f"everybody: {', '.join(values)}", highlight=False)
            return
        if wait <= 0:
            published(client, "account.limits", record, {"account_id": account}, json)
            return
        said = next(client.ask("account.limits", account, record, wait), None)
        answered(said, said, {"account_id": account}, wait, json, (EventKind.LIMITS_SET,))
        if not json:
            out().print(f"{account}: {', '.join(values)}", highlight=False)


def _state(word: str) -> TradingStatus:
    from schemas.records import TradingStatus

    states = [status.value for status in TradingStatus]
    if word.upper() not in states:
        raise ValueError(f"{word!r} is none of {', '.join(states)}")
    return TradingStatus(word.upper())


def _show_limits(account: str, home: Home, json: bool) -> None:
    """What was set; what was not is everybody's, or the system's."""
    from infra.client import text
    from infra.readers import limits as read

    settings = settings_of(home)
    addresses = addresses_of(settings)
    said = read(settings.kafka_client(addresses.kafka), addresses.registry, account)
    found: dict[str, Any] = {}
    for name in ("state", "sanctioned", *COUNTS, *AMOUNTS) if said is not None else ():
        value = getattr(said, name)
        found |= {} if value is None else {name: text(value) if name in AMOUNTS else value}
    found |= {f"position.{one.asset}": text(one.amount) for one in (said.max_positions if said else None) or ()}
    if json:
        emit({"account_id": account, "limits": found})
        return
    shown = table("limit", "is")
    for name, value in found.items():
        shown.add_row(name, str(value))
    out().print(shown if found else f"no limit is set of {'everybody' if account == '*' else account}", highlight=False)


@accounts.command()
def trading(
    scope: Annotated[str, typer.Argument(help="system, or a symbol as in BTC/USDT.", show_default=False)],
    state: Annotated[str, typer.Argument(help="ACTIVE, REDUCING or HALTED.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "",
    anyway: Annotated[bool, typer.Option("--anyway", help="Also of a symbol that no venue lists now.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Say what may be traded, in the whole system or in one symbol. Cancels always pass."""
    with reported(json):
        from infra.client import now_us
        from infra.readers import symbols
        from schemas.records import TradingState

        if scope != "system" and not anyway:
            settings = settings_of(home)
            addresses = addresses_of(settings)
            listed = symbols(settings.kafka_client(addresses.kafka), addresses.registry)
            if scope not in listed:
                near = [name for name in ("system", *listed) if name.lower() == scope.lower()]
                words = f"; did you mean {near[0]}?" if near else f": there are {', '.join(listed) or 'none'}"
                raise Failure(f"no venue lists {scope}{words} (--anyway says it all the same)", "UNKNOWN_SYMBOL")
        name = scope if scope == "system" else f"symbol|{scope}"
        said = TradingState(scope=name, state=_state(state), reason=reason, actor="operator", at=now_us())
        client_of(home).send("trading.states", name, said)
        if json:
            emit({"scope": name, "state": str(said.state)})
        else:
            out().print(f"{name} is {said.state}", highlight=False)


def _transfer(
    kind: str, account: str, asset: str, amount: str, transfer_id: str | None, wait: float, home: Home, json: bool
) -> None:
    with reported(json):
        import secrets

        from infra.client import now_us, text, units
        from schemas.records import EventKind, OrderEvent, Transfer, TransferKind

        name = f"cli-{secrets.token_hex(6)}" if transfer_id is None else transfer_id
        record = Transfer(
            transfer_id=name,
            account_id=account,
            kind=TransferKind(kind),
            asset=asset,
            amount=units(amount),
            sent_at=now_us(),
        )
        client = client_of(home)
        if wait <= 0:
            published(client, "account.transfers", record, {"account_id": account, "transfer_id": name}, json)
            return
        said = next(client.ask("account.transfers", account, record, wait), None)
        if said is None:
            fail(f"no answer in {wait:g} s", json, "NO_ANSWER", transfer_id=name)
        well = isinstance(said, OrderEvent) and said.kind is EventKind.TRANSFERRED
        balances = {}
        if isinstance(said, OrderEvent):
            balances = {
                b.asset: {"available": text(b.available), "locked": text(b.locked), "held": text(b.held or 0)}
                for b in said.balances
            }
        if json:
            emit({"account_id": account, "transfer_id": name, **described(said), "balances": balances})
        else:
            out().print(
                f"{described(said)['kind']} {described(said)['reason_code']} {described(said)['reason']}".strip()
            )
            for a, b in balances.items():
                held = f", {b['held']} held" if b["held"] != "0" else ""
                out().print(f"  {a}: {b['available']} available, {b['locked']} locked{held}", highlight=False)
        if not well:
            raise typer.Exit(1)


@accounts.command()
def balances(
    account: Account,
    currency: Annotated[
        str | None, typer.Option("--in", help="Also what it is worth in this asset now, as in USD.", show_default=False)
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Show an account's balances as the read model has them.

        bestex account balances alice --in USD

    A value is by the consolidated quotes: of the asset in the currency, of the currency in the asset, or through one third asset; the age is that
    of the oldest quote in it. What no quote speaks of is named, and is not in the total.
    """
    with reported(json):
        from infra.readers import balances as read
        from infra.readers import worth

        settings = settings_of(home)
        addresses = addresses_of(settings)
        found = known(account, read(addresses.valkey, account))
        said: dict[str, Any] = {"account_id": account, "balances": found}
        if currency is not None:
            said |= worth(settings.kafka_client(addresses.kafka), addresses.registry, found, currency)
        if json:
            emit(said)
            return
        columns = ("available", "locked", "held", "owed")
        valued = (f"in {currency}", "rate", "by", "age of the rate") if currency is not None else ()
        shown = table("asset", *columns, *valued)
        for asset, amounts in sorted(found.items()):
            more = _valued(said["worth"][asset]) if currency is not None else ()
            shown.add_row(asset, *(str(amounts[name]) for name in columns), *more)
        out().print(shown)
        if currency is not None:
            out().print(f"worth {said['total']} {currency}", highlight=False)
            if said["unknown"]:
                err().print(
                    f"[yellow]no rate is known[/] of {', '.join(said['unknown'])}: not counted", highlight=False
                )


def _valued(one: dict[str, Any]) -> tuple[str, ...]:
    if one["value"] is None:
        return "[yellow]unknown[/]", "", "", ""
    age = "" if one["age_s"] is None else f"{one['age_s']:.1f} s"
    return one["value"], one["rate"], " · ".join(one["by"]), age


@accounts.command()
def positions(account: Account, home: Home = None, json: Json = False) -> None:
    """Show an account's positions, in all and by venue: what is open, at which average price, what closing earned, and the fees.

    As the accounts agent's table has them; profit is in the quote asset and before fees.
    """
    with reported(json):
        from infra.readers import positions as read

        settings = settings_of(home)
        addresses = addresses_of(settings)
        kafka = settings.kafka_client(addresses.kafka)
        found = known(account, read(kafka, addresses.registry, addresses.valkey, account))
        if json:
            emit({"account_id": account, "positions": found})
            return
        from rich.table import Table

        columns = ("quantity", "average_price", "realised")
        table = Table("symbol", "venue", *(c.replace("_", " ") for c in columns), "fees", box=None, header_style="dim")
        for symbol, position in found.items():
            fees = ", ".join(f"{amount} {asset}" for asset, amount in position["fees"].items())
            table.add_row(symbol, "all", *(str(position[c] or "") for c in columns), fees)
            for venue, part in position["venues"].items():
                table.add_row("", venue, *(str(part[c] or "") for c in columns), "")
        out().print(table)
