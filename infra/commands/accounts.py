"""`bestex account …`: funds in, funds out, what is there."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.commands.common import Home, Json, addresses_of, emit, fail, out, reported, settings_of
from infra.commands.orders import Account, Wait, client_of, described

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
