"""`bestex account …`: funds in, funds out, set aside, what is there, and what the account may do."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from infra.commands.common import Home, Json, addresses_of, emit, fail, out, reported, settings_of
from infra.commands.orders import Account, Wait, answered, client_of, described

accounts = typer.Typer(no_args_is_help=True, help="Move funds into and out of accounts, and see balances.")
Asset = Annotated[str, typer.Argument(help="The asset, as in USDT.", show_default=False)]
Amount = Annotated[str, typer.Argument(help="How much, as in 100000.", show_default=False)]
TransferId = Annotated[str | None, typer.Option("--id", help="Transfer id: a repeat is not applied again.")]


def add(app: typer.Typer) -> None:
    """Hang the commands into `app`."""
    app.add_typer(accounts, name="account", rich_help_panel="Trading")


@accounts.command()
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


@accounts.command()
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


@accounts.command()
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


@accounts.command()
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
    """Set an account's limits, whole: what is not named is as for everybody. With * everybody's.

    bestex account limits alice max_open_orders=50 max_notional=100000 position.BTC=10

    bestex account limits alice state=REDUCING
    """
    with reported(json):
        import secrets

        from infra.client import now_us, units
        from schemas.records import AssetAmount, EventKind, SetLimits, TradingStatus

        found: dict[str, Any] = {}
        for pair in values or ():
            name, equals, value = pair.partition("=")
            if not equals:
                raise ValueError(f"{pair!r} is not NAME=VALUE")
            if name in COUNTS:
                found[name] = int(value)
            elif name in AMOUNTS:
                found[name] = units(value)
            elif name == "state":
                found[name] = TradingStatus(value.upper())
            elif name == "sanctioned":
                found[name] = value.lower() in ("yes", "true", "1")
            elif name.startswith("position."):
                most = AssetAmount(asset=name.partition(".")[2], amount=units(value))
                found["max_positions"] = (*found.get("max_positions", ()), most)
            else:
                raise ValueError(f"there is no limit {name!r}")
        record = SetLimits(account_id=account, command_id=f"cli-{secrets.token_hex(6)}", sent_at=now_us(), **found)
        client = client_of(home)
        if account == "*":
            client.send("risk.defaults", account, record)
            if json:
                emit({"account_id": account, "kind": "PUBLISHED"})
            return
        said = next(client.ask("account.limits", account, record, wait), None)
        answered(said, said, {"account_id": account}, wait, json, (EventKind.LIMITS_SET,))


@accounts.command()
def trading(
    scope: Annotated[str, typer.Argument(help="system, or a symbol as in BTC/USDT.", show_default=False)],
    state: Annotated[str, typer.Argument(help="ACTIVE, REDUCING or HALTED.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "",
    home: Home = None,
    json: Json = False,
) -> None:
    """Say what may be traded, in the whole system or in one symbol. Cancels always pass."""
    with reported(json):
        from infra.client import now_us
        from schemas.records import TradingState, TradingStatus

        name = scope if scope == "system" else f"symbol|{scope}"
        said = TradingState(
            scope=name, state=TradingStatus(state.upper()), reason=reason, actor="operator", at=now_us()
        )
        client_of(home).send("trading.states", name, said)
        if json:
            emit({"scope": name, "state": str(said.state)})


def _transfer(
    kind: str, account: str, asset: str, amount: str, transfer_id: str | None, wait: float, home: Home, json: bool
) -> None:
    with reported(json):
        import secrets

        from infra.client import now_us, text, units
        from schemas.records import EventKind, OrderEvent, Transfer, TransferKind

        name = transfer_id or f"cli-{secrets.token_hex(6)}"
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
            partition, offset = client.send("account.transfers", account, record)
            if json:
                emit({"account_id": account, "transfer_id": name, "partition": partition, "offset": offset})
            return
        said = next(client.ask("account.transfers", account, record, wait), None)
        if said is None:
            fail(f"no answer in {wait:g} s", json, transfer_id=name)
        well = isinstance(said, OrderEvent) and said.kind is EventKind.TRANSFERRED
        balances = {}
        if isinstance(said, OrderEvent):
            balances = {b.asset: {"available": text(b.available), "locked": text(b.locked)} for b in said.balances}
        if json:
            emit({"account_id": account, "transfer_id": name, **described(said), "balances": balances})
        else:
            out().print(
                f"{described(said)['kind']} {described(said)['reason_code']} {described(said)['reason']}".strip()
            )
            for a, b in balances.items():
                out().print(f"  {a}: {b['available']} available, {b['locked']} locked", highlight=False)
        if not well:
            raise typer.Exit(1)


@accounts.command()
def balances(account: Account, home: Home = None, json: Json = False) -> None:
    """Show an account's balances as the read model has them."""
    with reported(json):
        from infra.readers import balances as read

        found = read(addresses_of(settings_of(home)).valkey, account)
        if json:
            emit({"account_id": account, "balances": found})
            return
        from rich.table import Table

        table = Table("asset", "available", "locked", box=None, header_style="dim")
        for asset, held in sorted(found.items()):
            table.add_row(asset, str(held["available"]), str(held["locked"]))
        out().print(table)
