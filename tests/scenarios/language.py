"""The scenarios' language: Markdown tables that a trader reads, and what they mean. `README.md` beside this file explains it to them.

Rules:

* a file is read strictly: a table, a column or a command that is not known is an error with its file and line, never passed over;
* names (accounts, assets, venues) are the trader's; `Names` says what they are called where the scenario runs;
* times are seconds from when the command is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from schemas.records import (
    Algo,
    AssetAmount,
    CancelAll,
    CancelOrder,
    ModifyOrder,
    OrderType,
    PlaceOrder,
    Record,
    SetLimits,
    Side,
    TimeInForce,
    TradingState,
    TradingStatus,
    Transfer,
    TransferKind,
)

S = 10**8
SYMBOL = "BTC/USDT"
FOLDER = Path(__file__).parent
WHO = "ann"  # whose command it is, where nobody is named
FEES = {"alpha": ("0.0008", "0.001"), "beta": ("0.0005", "0.0009"), "gamma": ("0.0002", "0.0008")}  # maker, taker
MONEY = {
    "deposit": TransferKind.DEPOSIT,
    "withdraw": TransferKind.WITHDRAWAL,
    "hold": TransferKind.HOLD,
    "release": TransferKind.RELEASE,
}
COUNTS = ("kyc_tier", "min_tier", "max_open_orders", "order_rate", "modify_rate")
Level = tuple[int, int]  # price, quantity
Sides = tuple[tuple[Level, ...], tuple[Level, ...]]  # bids, asks


def units(text: str) -> int:
    """Units of 1e-8 of a decimal string."""
    scaled = Decimal(text) * S
    assert scaled == int(scaled), f"{text} is finer than 1e-8"
    return int(scaled)


def shown(amount: int) -> str:
    """Units of 1e-8 as a person writes them."""
    return format((Decimal(amount) / S).normalize(), "f")


# ---- the tables


@dataclass
class Step:
    """A row: a command, and the cells that say what comes of it."""

    command: str
    events: str
    fills: str
    orders: str
    line: int


@dataclass
class Scenario:
    """One scenario as it is written. `alone`: why it runs through the test driver only, or empty."""

    title: str
    file: str
    line: int
    alone: str = ""
    books: dict[str, Sides] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    then: dict[str, str] = field(default_factory=dict)
    then_lines: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.file}: {self.title}"


HEADERS = {
    ("venue", "bids", "asks"): "books",
    ("account", "has"): "given",
    ("command", "events", "fills", "orders"): "steps",
    ("account", "has in the end"): "then",
}
ALONE = "Driver only: "


def scenarios(folder: Path = FOLDER) -> list[Scenario]:
    """All scenarios of all files, in the order of names and lines."""
    return [one for path in sorted(folder.glob("*.md")) if path.name != "README.md" for one in read(path)]


def read(path: Path) -> Iterator[Scenario]:
    """The scenarios of a file."""
    one: Scenario | None = None
    table = ""
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        line, where = raw.strip(), f"{path.name}:{number}"
        if line.startswith("## "):
            if one is not None:
                yield _whole(one)
            one, table = Scenario(line[3:], path.name, number), ""
        elif not line.startswith("|"):
            table = ""
            if one is not None and line.startswith(ALONE):
                one.alone = line.removeprefix(ALONE)
        elif one is not None and not set(line) <= set("|-: "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not table:
                assert tuple(cells) in HEADERS, f"{where}: no such table: {cells}"
                table = HEADERS[tuple(cells)]
            else:
                _row(one, table, cells, number, where)
    if one is not None:
        yield _whole(one)


def _whole(one: Scenario) -> Scenario:
    assert one.steps and one.then, f"{one.name}: a scenario has steps and an end"
    return one


def _row(one: Scenario, table: str, cells: list[str], number: int, where: str) -> None:
    if table == "books":
        assert cells[0] in FEES, f"{where}: no such venue"
        one.books[cells[0]] = levels(cells[1]), levels(cells[2])
    elif table == "given":
        one.given[cells[0]] = cells[1]
    elif table == "then":
        one.then[cells[0]], one.then_lines[cells[0]] = cells[1], number
    else:
        command, events, fills, orders = cells
        one.steps.append(Step(command, events, fills, orders, number))


def levels(text: str) -> tuple[Level, ...]:
    """`2 @ 59990, 3 @ 59980` as (price, quantity)."""
    pairs = [one.split("@") for one in text.split(",") if one.strip()]
    return tuple((units(price.strip()), units(quantity.strip())) for quantity, price in pairs)


def amounts(text: str) -> list[tuple[int, str]]:
    """`1000 USDT, 2 BTC` as (units, asset)."""
    pairs = [one.split() for one in text.split(",") if one.strip()]
    return [(units(amount), asset) for amount, asset in pairs]


# ---- names


class Names:
    """What the trader's names are where a scenario runs. Here they are what they are; a subclass may say otherwise."""

    def account(self, name: str) -> str:
        return name

    def asset(self, name: str) -> str:
        return name

    def venue(self, name: str) -> str:
        return name

    def symbol(self, name: str) -> str:
        return "/".join(self.asset(one) for one in name.split("/"))

    def read(self, name: str) -> str:
        """The trader's word for a name of there."""
        return name


# ---- commands


@dataclass(frozen=True)
class Send:
    """Publish a record: a client's or an operator's command."""

    topic: str
    key: str
    record: Record


@dataclass(frozen=True)
class Book:
    """What a venue displays from now on."""

    venue: str
    sides: Sides


@dataclass(frozen=True)
class Print:
    """Others trade at a venue; `side` is the taker's."""

    venue: str
    price: int
    quantity: int
    side: Side


@dataclass(frozen=True)
class Fault:
    """A venue's mishap: `kind` is of `FAULTS`."""

    venue: str
    kind: str


@dataclass(frozen=True)
class Wait:
    """Time goes by."""

    seconds: float


@dataclass(frozen=True)
class Crash:
    """Both agents lose their memory."""


@dataclass(frozen=True)
class Close:
    """A venue closes the symbol."""

    venue: str


Action = Send | Book | Print | Fault | Wait | Crash | Close
FAULTS = {
    "refuses the next order": "refuse",
    "refuses the next cancel": "refuse cancels",
    "says everything twice": "double",
    "takes fees in BNB": "bnb",  # at 600 USDT
    "hangs": "hang",  # acts, and says nothing
    "goes down": "down",
    "is back": "ok",
    "loses the next answer": "lose answer",  # acts, and answers with an error page
    "loses the next order": "lose order",  # does not act, and answers with an error page
}


def whose(command: str) -> tuple[str, str]:
    """Who commands, and what."""
    found = re.match(r"(\w+): ", command)
    return (found[1], command[found.end() :]) if found else (WHO, command)


def about(command: str) -> str:
    """The order that a command is about, or its account."""
    who, what = whose(command)
    found = re.search(r" as (\w+)", what) or re.match(r"(?:cancel|modify) (?!all\b)(\w+)", what)
    return found[1] if found and not re.match("|".join(MONEY), what) else who


def action(command: str, names: Names, now: int, number: int) -> Action:
    """What a command does, given at `now`; `number` is that of its step."""
    who, what = whose(command)
    account, words = names.account(who), what.split()
    market = _market(what, names, now)
    if market is not None:
        return market
    if words[0] in MONEY:
        name = words[4] if len(words) > 4 else f"t{number}"
        return _transfer(account, name, MONEY[words[0]], units(words[1]), names.asset(words[2]), now)
    if words[0] in ("buy", "sell"):
        return Send("orders.commands", account, _place(account, what, names, now))
    if words[:2] == ["cancel", "all"]:
        symbol = names.symbol(words[2]) if len(words) > 2 else None
        return Send("orders.commands", account, CancelAll(account_id=account, symbol=symbol, sent_at=now))
    if words[0] == "cancel":
        cancel = CancelOrder(account_id=account, client_order_id=words[1], sent_at=now)
        return Send("orders.commands", account, cancel)
    if words[0] == "modify":
        return Send("orders.commands", account, _modify(account, words[1], words[2:], now))
    if words[0] == "limits":
        return Send("account.limits", account, _limits(account, f"limits-{number}", words[1:], names, now))
    if words[:2] == ["everybody", "limits"]:
        return Send("risk.defaults", "*", _limits("*", f"limits-{number}", words[2:], names, now))
    raise ValueError(f"no such command: {command}")


def _market(what: str, names: Names, now: int) -> Action | None:
    words = what.split()
    if words[0] == "wait":
        return Wait(float(words[1]))
    if words[0] == "crash":
        return Crash()
    if words[0] == "close":
        return Close(words[1])
    if found := re.fullmatch(r"book (\w+) bids (.*?) asks (.*)", what):
        return Book(found[1], (levels(found[2]), levels(found[3])))
    if found := re.fullmatch(r"trade (\w+) (buy|sell) (\S+) @ (\S+)", what):
        return Print(found[1], units(found[4]), units(found[3]), Side(found[2].upper()))
    if words[0] in FEES:
        return Fault(words[0], FAULTS[" ".join(words[1:])])
    if words[0] == "state":
        scope = "system" if words[1] == "system" else f"symbol|{names.symbol(words[1])}"
        state = TradingState(
            scope=scope,
            state=TradingStatus(words[2]),
            reason="",
            actor="operator",
            at=now,
            market_only=words[3:] == ["market"] or None,
        )
        return Send("trading.states", scope, state)
    return None


def _transfer(account: str, name: str, kind: TransferKind, amount: int, asset: str, now: int) -> Send:
    record = Transfer(transfer_id=name, account_id=account, kind=kind, asset=asset, amount=amount, sent_at=now)
    return Send("account.transfers", account, record)


def gifts(one: Scenario, names: Names, now: int) -> list[Send]:
    """What gives each account what it has in the beginning."""
    rows = [(who, *pair) for who, text in one.given.items() for pair in amounts(text)]
    return [
        _transfer(names.account(who), f"given-{asset}", TransferKind.DEPOSIT, amount, names.asset(asset), now)
        for who, amount, asset in rows
    ]


def _place(account: str, what: str, names: Names, now: int) -> PlaceOrder:
    found = re.fullmatch(r"(buy|sell) (for )?(\S+)(?: of (\S+))? (?:@ (\S+)|market) as (\w+)(.*)", what)
    assert found, f"no such order: {what}"
    price, amount = units(found[5]) if found[5] else None, units(found[3])
    values: dict[str, Any] = {
        "order_type": OrderType.MARKET if price is None else OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "quantity": 0 if found[2] else amount,
        "quote_amount": amount if found[2] else None,
    }
    return PlaceOrder(
        account_id=account,
        client_order_id=found[6],
        symbol=names.symbol(found[4] or SYMBOL),
        side=Side(found[1].upper()),
        price=price,
        sent_at=now,
        **{**values, **_options(found[7].split(), price, now)},
    )


def _options(words: list[str], price: int | None, now: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while words:
        match words.pop(0):
            case "ioc" | "fok" as tif:
                found["time_in_force"] = TimeInForce(tif.upper())
            case "post":
                found["post_only"] = True
            case "reduce":
                found["reduce_only"] = True
            case "stop":
                found["stop_price"] = units(words.pop(0))
                found["order_type"] = OrderType.STOP if price is None else OrderType.STOP_LIMIT
            case "until":
                found |= {"expires_at": _later(words.pop(0), now), "time_in_force": TimeInForce.GTD}
            case "at":
                found["scheduled_at"] = _later(words.pop(0), now)
            case "twap":
                found |= {"algo": Algo.TWAP, "slices": int(words.pop(0)), "window_us": _later(words.pop(1), 0)}
                words.pop(0)
            case "iceberg":
                found |= {"algo": Algo.ICEBERG, "visible": units(words.pop(0))}
            case other:
                raise ValueError(f"no such option: {other}")
    return found


def _later(text: str, now: int) -> int:
    return now + int(Decimal(text) * 1_000_000)


def _modify(account: str, name: str, words: list[str], now: int) -> ModifyOrder:
    values: dict[str, Any] = {}
    for key, value in zip(words[::2], words[1::2], strict=True):
        if key in ("at", "until"):
            values["scheduled_at" if key == "at" else "expires_at"] = _later(value, now)
        else:
            values[{"quantity": "quantity", "price": "price", "stop": "stop_price"}[key]] = units(value)
    return ModifyOrder(account_id=account, client_order_id=name, sent_at=now, **values)


def _limits(account: str, name: str, words: list[str], names: Names, now: int) -> SetLimits:
    values: dict[str, Any] = {}
    for key, value in zip(words[::2], words[1::2], strict=True):
        if key == "state":
            values[key] = TradingStatus(value)
        elif key == "sanctioned":
            values[key] = value == "yes"
        elif key == "unset":
            values[key] = tuple(value.split(","))
        elif key.startswith("position:"):
            one = AssetAmount(asset=names.asset(key.partition(":")[2]), amount=units(value))
            values["max_positions"] = (*values.get("max_positions", ()), one)
        else:
            values[key] = int(value) if key in COUNTS else units(value)
    return SetLimits(account_id=account, command_id=name, sent_at=now, **values)
