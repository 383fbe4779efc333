"""`bestex order …`: place, change, cancel, look."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

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

if TYPE_CHECKING:  # for annotations alone: these are imported when a command runs
    from collections.abc import Callable

    from infra.client import Client
    from schemas.records import DeadLetter, OrderEvent

T = TypeVar("T")
orders = typer.Typer(no_args_is_help=True, help="Place, change and cancel orders, and see what became of them.")
Account = Annotated[str, typer.Argument(help="The account, as in alice.", show_default=False)]
ClientOrderId = Annotated[str, typer.Argument(help="The client order id it was placed with.", show_default=False)]
Wait = Annotated[
    float, typer.Option(help="Seconds to wait for the answer; 0 returns once the brokers have the command.")
]


class OrderSide(StrEnum):
    """What the command line takes for a side."""

    buy = "buy"
    sell = "sell"


class Tif(StrEnum):
    """What the command line takes for a time in force."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


def add(app: typer.Typer) -> None:
    """Hang the commands into `app`."""
    app.add_typer(orders, name="order", rich_help_panel="Trading")


def client_of(home: Any) -> Client:
    """A client of the system in `home`."""
    from infra.client import Client

    settings = settings_of(home)
    addresses = addresses_of(settings)
    return Client(settings.kafka_client(addresses.kafka), addresses.registry)


def known(account: str, found: T | None) -> T:
    """What was found of an account. Raises `Failure` where there is no such account."""
    if found is None:
        raise Failure(f"there is no account {account}: its first deposit opens it", "UNKNOWN_ACCOUNT")
    return found


def described(said: OrderEvent | DeadLetter) -> dict[str, Any]:
    """What `--json` tells of an answer."""
    from infra.client import text
    from schemas.records import DeadLetter

    if isinstance(said, DeadLetter):
        return {"kind": "DEAD_LETTERED", "state": None, "reason_code": said.cause, "reason": said.detail}
    return {
        "kind": str(said.kind),
        "state": str(said.state),
        "order_id": said.order_id,
        "filled": text(said.filled),
        "average_price": text(said.filled_quote * 10**8 // said.filled) if said.filled else None,
        "reason_code": said.reason_code,
        "reason": said.reason,
    }


def time_of(text: str | None) -> int | None:
    """Microseconds of an ISO time (UTC where it names no zone) or of `+SECONDS` from now. Raises `Failure`."""
    from datetime import UTC, datetime

    from infra.client import now_us

    if text is None:
        return None
    try:
        if text.startswith("+"):
            return now_us() + round(float(text[1:]) * 1_000_000)
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Failure(f"{text!r} is no time: an ISO time, as 2030-01-31T12:00:00, or +SECONDS from now") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def line(said: OrderEvent) -> str:
    """An event for people, one line."""
    from datetime import UTC, datetime

    from infra.client import text

    at = datetime.fromtimestamp(said.at / 1e6, UTC).strftime("%H:%M:%S.%f")[:-3]
    colour = {"FILLED": "green", "DENIED": "red", "REJECTED": "red", "CANCELLED": "yellow", "EXPIRED": "yellow"}
    state = f"[{colour.get(str(said.state), 'cyan')}]{said.state}[/]"
    what = f"{said.side or ''} {text(said.quantity) or ''} {said.symbol}" if said.order_id else ""
    filled = f" filled {text(said.filled)}" if said.filled else ""
    venue = f" at {said.venue}" if said.venue else ""
    why = f" [dim]{said.reason_code} {said.reason}[/]" if said.reason_code else ""
    kind = "" if str(said.kind) == str(said.state) else f"{said.kind} "
    return f"{at} {said.account_id} {said.client_order_id} {kind}{state} {what}{filled}{venue}{why}"


def published(client: Client, topic: str, command: Any, about: dict[str, Any], json: bool) -> None:
    """Send a command of an account and wait for no answer: where it lies is printed."""
    partition, offset = client.send(topic, command.account_id, command)
    if json:
        emit({**about, "partition": partition, "offset": offset})
    else:
        named = " ".join(str(value) for value in about.values() if value)
        out().print(f"published {named} ({topic}/{partition}@{offset})", highlight=False)


def follow(
    client: Client, command: Any, wait: float, json: bool, good: tuple[Any, ...], done: Callable[[OrderEvent], bool]
) -> None:
    """Send a command about one order and show what comes of it until `done`; leave with 1 unless the first answer is one of `good`."""
    from schemas.records import OrderEvent

    about = {"account_id": command.account_id, "client_order_id": command.client_order_id}
    if wait <= 0:
        published(client, "orders.commands", command, about, json)
        return
    first = last = None
    for said in client.ask("orders.commands", command.account_id, command, wait, done):
        last = said
        first = first or said
        # a refusal is told by `answered`
        if isinstance(said, OrderEvent) and not json and (said is not first or said.kind in good):
            out().print(line(said), highlight=False)
    answered(first, last, about, wait, json, good)


@orders.command(context_settings=NUMBERS)
def place(
    account: Account,
    symbol: Annotated[str, typer.Argument(help="What to trade, as in BTC/USDT.", show_default=False)],
    side: Annotated[OrderSide, typer.Argument(help="buy or sell.", show_default=False)],
    quantity: Annotated[
        str,
        typer.Argument(
            help="How much of the base asset, as in 0.5; with --spend, of the quote asset.", show_default=False
        ),
    ],
    limit: Annotated[
        str | None, typer.Option(help="Limit price in the quote asset; without it a market order.")
    ] = None,
    tif: Annotated[
        Tif, typer.Option(help="GTC rests until filled or cancelled; IOC takes what it can now; FOK all or nothing.")
    ] = Tif.GTC,
    stop: Annotated[str | None, typer.Option(help="Stop price: wait until the market trades there.")] = None,
    at: Annotated[str | None, typer.Option(help="Start then: an ISO time, or seconds from now as in +60.")] = None,
    until: Annotated[str | None, typer.Option(help="Good till then (GTD): an ISO time, or +SECONDS.")] = None,
    post_only: Annotated[bool, typer.Option("--post-only", help="Rest, never take.")] = False,
    reduce_only: Annotated[bool, typer.Option("--reduce-only", help="Only reduce what is held.")] = False,
    spend: Annotated[
        bool, typer.Option("--spend", help="A market buy that spends QUANTITY of the quote asset.")
    ] = False,
    twap: Annotated[str | None, typer.Option(help="In slices over a window: SLICES/SECONDS, as in 12/3600.")] = None,
    iceberg: Annotated[str | None, typer.Option(help="Show no more than this quantity at a time.")] = None,
    client_id: Annotated[
        str | None, typer.Option("--id", help="Client order id; a repeat is answered, never placed twice.")
    ] = None,
    wait: Wait = 10.0,
    home: Home = None,
    json: Json = False,
) -> None:
    """Place an order and show what became of it.

        bestex order place alice BTC/USDT buy 0.1

        bestex order place alice BTC/USDT sell 0.25 --limit 64000 --id take-profit-1

        bestex order place alice BTC/USDT sell 0.25 --stop 58000 --until +3600

        bestex order place alice BTC/USDT buy 2 --limit 61000 --twap 12/3600 --at +60

    Waits until the order is denied, is kept for its time or its stop, rests, or has ended. Exit code 0 if it was accepted.
    """
    with reported(json):
        import secrets

        from infra.client import now_us, units
        from schemas.records import Algo, EventKind, OrderState, OrderType, PlaceOrder, Side, TimeInForce

        coid = (
            f"cli-{secrets.token_hex(6)}" if client_id is None else client_id
        )  # an empty one is a mistake, and answered as one
        market = limit is None
        client = client_of(home)
        if twap is not None and iceberg is not None:
            raise ValueError("--twap and --iceberg exclude each other")
        slices, _, window = (twap or "").partition("/")
        if twap is not None and not (slices.isdigit() and window.isdigit()):
            raise ValueError(f"--twap {twap} is not SLICES/SECONDS, as in 12/3600")
        kind = (
            (OrderType.STOP if market else OrderType.STOP_LIMIT)
            if stop is not None
            else (OrderType.MARKET if market else OrderType.LIMIT)
        )
        order = PlaceOrder(
            account_id=account,
            client_order_id=coid,
            symbol=symbol,
            side=Side(side.value.upper()),
            order_type=kind,
            time_in_force=TimeInForce.GTD if until is not None else TimeInForce(tif.value),
            quantity=0 if spend else units(quantity),
            price=None if limit is None else units(limit),
            stop_price=None if stop is None else units(stop),
            scheduled_at=time_of(at),
            expires_at=time_of(until),
            post_only=post_only or None,
            reduce_only=reduce_only or None,
            quote_amount=units(quantity) if spend else None,
            algo=Algo.TWAP if twap else Algo.ICEBERG if iceberg else None,
            slices=int(slices) if twap else None,
            window_us=int(window) * 1_000_000 if twap else None,
            visible=units(iceberg) if iceberg else None,
            sent_at=now_us(),
        )
        ended = {OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED, OrderState.DENIED}
        waits = {OrderState.SCHEDULED, OrderState.ARMED}

        def done(event: OrderEvent) -> bool:
            return event.state in (*ended, *waits) or event.kind in (EventKind.DUPLICATE, EventKind.WAITING)

        follow(client, order, wait, json, (EventKind.ACCEPTED,), done)


@orders.command()
def cancel(
    account: Account, client_order_id: ClientOrderId, wait: Wait = 10.0, home: Home = None, json: Json = False
) -> None:
    """Cancel an order by its client order id. Exit code 0 if the cancel was accepted."""
    with reported(json):
        from infra.client import now_us
        from schemas.records import CancelOrder, EventKind, OrderState

        command = CancelOrder(account_id=account, client_order_id=client_order_id, sent_at=now_us())
        settled = {OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED}

        def done(event: OrderEvent) -> bool:
            return event.state in settled or event.kind is EventKind.CANCEL_DENIED

        follow(client_of(home), command, wait, json, (EventKind.CANCEL_REQUESTED, EventKind.CLOSED), done)


def answered(
    first: OrderEvent | DeadLetter | None,
    last: OrderEvent | DeadLetter | None,
    about: dict[str, Any],
    wait: float,
    json: bool,
    good: tuple[Any, ...],
) -> None:
    """Print the last that was said, and leave with 1 unless the first was good."""
    from schemas.records import OrderEvent

    if first is None or last is None:
        fail(
            f"no answer in {wait:g} s: the command is in orders.commands and will be answered once; do not send another",
            json,
            "NO_ANSWER",
            **about,
        )
    well = isinstance(first, OrderEvent) and first.kind in good
    answer = {**about, "outcome": str(getattr(first, "kind", "DEAD_LETTERED")), **described(last)}
    if json:
        emit(answer)
    elif not well:
        err().print(f"[red]{answer['outcome']}[/] {answer['reason_code']} {answer['reason']}", highlight=False)
    if not well:
        raise typer.Exit(1)


@orders.command("cancel-all")
def cancel_all(
    account: Annotated[
        str | None, typer.Argument(help="The account, as in alice; none with --all-accounts.", show_default=False)
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol's.")] = None,
    all_accounts: Annotated[
        bool, typer.Option("--all-accounts", help="An operator's: of the symbol, whoever's they are.")
    ] = False,
    wait: Wait = 10.0,
    home: Home = None,
    json: Json = False,
) -> None:
    """Cancel all open orders of an account, or those of one symbol, or a symbol's in every account.

        bestex order cancel-all alice

        bestex order cancel-all --symbol BTC/USDT --all-accounts

    Exit code 0 if the cancels were accepted. Orders that come later are not concerned: to keep them out, say `bestex account trading BTC/USDT HALTED`
    before.
    """
    with reported(json):
        from infra.client import now_us
        from schemas.records import CancelAll, EventKind

        if all_accounts is (account is not None) or (all_accounts and symbol is None):
            raise ValueError("name an account, or --symbol and --all-accounts")
        account = account or "*"
        command = CancelAll(account_id=account, symbol=symbol, sent_at=now_us())
        if wait <= 0:
            published(client_of(home), "orders.commands", command, {"account_id": account, "symbol": symbol}, json)
            return
        said = next(client_of(home).ask("orders.commands", account, command, wait), None)
        answered(said, said, {"account_id": account, "symbol": symbol}, wait, json, (EventKind.ALL_CANCELLED,))
        if said is not None and not json:
            out().print(said.reason if hasattr(said, "reason") else "")


@orders.command()
def modify(
    account: Account,
    client_order_id: ClientOrderId,
    quantity: Annotated[str | None, typer.Option(help="The new total, what is filled included.")] = None,
    limit: Annotated[str | None, typer.Option(help="The new limit price.")] = None,
    stop: Annotated[str | None, typer.Option(help="The new stop price, while it waits.")] = None,
    at: Annotated[str | None, typer.Option(help="The new start, while it is scheduled: ISO time or +SECONDS.")] = None,
    until: Annotated[str | None, typer.Option(help="The new end of a GTD order: ISO time or +SECONDS.")] = None,
    wait: Wait = 10.0,
    home: Home = None,
    json: Json = False,
) -> None:
    """Change an order. One that is with venues is called back and goes out anew. Exit code 0 if the change was accepted.

    bestex order modify alice take-profit-1 --limit 63500 --quantity 0.5
    """
    with reported(json):
        from infra.client import now_us, units
        from schemas.records import EventKind, ModifyOrder

        command = ModifyOrder(
            account_id=account,
            client_order_id=client_order_id,
            quantity=None if quantity is None else units(quantity),
            price=None if limit is None else units(limit),
            stop_price=None if stop is None else units(stop),
            scheduled_at=time_of(at),
            expires_at=time_of(until),
            sent_at=now_us(),
        )
        done = {EventKind.MODIFIED, EventKind.MODIFY_DENIED, EventKind.MODIFY_REJECTED, EventKind.CLOSED}
        good = (EventKind.MODIFIED, EventKind.MODIFY_REQUESTED)
        follow(client_of(home), command, wait, json, good, lambda event: event.kind in done)


@orders.command()
def show(account: Account, client_order_id: ClientOrderId, home: Home = None, json: Json = False) -> None:
    """Show one order as the read model has it, and its whole story: every transition, by whom and why."""
    with reported(json):
        from infra.readers import order_by_client_id, story

        addresses = addresses_of(settings_of(home))
        found = order_by_client_id(addresses.valkey, account, client_order_id)
        if found is None:
            raise Failure(f"{account} has no order {client_order_id}", "UNKNOWN_ORDER")
        events = story(addresses.clickhouse, found["order_id"])
        if json:
            emit({**found, "events": events})
            return
        for name, value in ((n, v) for n, v in found.items() if n != "fills" and v not in (None, "")):
            out().print(f"[dim]{name:>16}[/] {value}", highlight=False)
        fills = table("fill", "venue", "quantity", "price", "fee", "", "liquidity")
        for n, fill in enumerate(found["fills"], start=1):
            about = (fill[k] for k in ("venue", "quantity", "price", "fee", "fee_asset", "liquidity"))
            fills.add_row(str(n), *(str(value or "") for value in about))
        if found["fills"]:
            out().print(fills)
        for e in events:
            child = f" {e['child_id']} at {e['venue']}" if e["child_id"] else ""
            why = f" [dim]{e['reason_code']} {e['reason']}[/]" if e["reason_code"] or e["reason"] else ""
            kind = "" if e["kind"] == e["state"] else f"{e['kind']} "
            filled = f" filled {e['filled']}" if e["filled"] not in (None, "0") else ""
            out().print(
                f"{e['order_seq']:>3} {e['at']} {e['actor']:>8} {kind}[cyan]{e['state']}[/]{filled}{child}{why}",
                highlight=False,
            )


@orders.command("list")
def list_(account: Account, home: Home = None, json: Json = False) -> None:
    """List an account's open orders as the read model has them."""
    with reported(json):
        from infra.readers import open_orders

        found = known(account, open_orders(addresses_of(settings_of(home)).valkey, account))
        if json:
            emit({"account_id": account, "orders": found})
            return
        columns = ["client_order_id", "symbol", "side", "quantity", "price", "filled", "status"]
        # what few orders have: shown where one of these has it
        columns += [k for k in ("stop_price", "scheduled_at", "expires_at") if any(o.get(k) for o in found)]
        shown = table(*(k.replace("_", " ") for k in columns))
        for o in found:
            shown.add_row(*(str(o.get(k) or "") for k in columns))
        out().print(shown)


@orders.command()
def watch(
    account: Annotated[str | None, typer.Argument(help="Only this account.", show_default=False)] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Follow every transition of every order as it is committed, until Ctrl-C. With --json, one object a line."""
    with reported(json):
        console = out()
        for event in client_of(home).watch(account):
            if json:
                emit(
                    {
                        "account_id": event.account_id,
                        "client_order_id": event.client_order_id,
                        "symbol": event.symbol,
                        **described(event),
                    }
                )
            else:
                console.print(line(event), highlight=False)
