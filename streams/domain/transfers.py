"""Money in and out of an account, money set aside in it, and its limits. Each command is answered by exactly one event.

    Transfer   TRANSFERRED | TRANSFER_DENIED
    SetLimits  LIMITS_SET | LIMITS_DENIED

Rules:

* a transfer id is used once, also by what was denied: a repeat is answered and does nothing. There is no transfer without an id;
* an account exists once money has come in; one that owes something or is under sanctions gives nothing out and sets nothing aside;
* a hold takes from what is available; a release gives back what is held, never more;
* of limits, a command changes those that it names; all others stay what they were, a sanction too. What it names as `unset` is
  everybody's again.
"""

from __future__ import annotations

import msgspec

from schemas.records import ClientId, EventKind, SetLimits, Transfer, TransferKind
from streams.domain import risk
from streams.domain.decision import Step
from streams.domain.limits import EVERYBODY, INVALID_LIMITS, SANCTIONED, standing
from streams.domain.money import MAX
from streams.domain.risk import Denial, show

DUPLICATE_TRANSFER = "DUPLICATE_TRANSFER"
INVALID_AMOUNT = "INVALID_AMOUNT"
INVALID_ASSET = "INVALID_ASSET"
INVALID_TRANSFER_ID = "INVALID_TRANSFER_ID"
NOT_HELD = "NOT_HELD"
POSITION = "position."  # and the asset: how `unset` names one of `max_positions`
LIMITS = tuple(f for f in SetLimits.__struct_fields__ if f not in ("account_id", "command_id", "sent_at", "unset"))


def transfer(step: Step, command: Transfer) -> None:
    """Money in or out, or aside and back."""
    amount = command.amount if abs(command.amount) < MAX else 0
    if not command.transfer_id:
        denial: Denial | None = Denial(INVALID_TRANSFER_ID, "a transfer has an id, by which a repeat is known")
    elif step.before.taken is not None:
        denial = Denial(DUPLICATE_TRANSFER, f"transfer {command.transfer_id} was answered before")
    else:
        step.taken = ClientId(order_id=command.transfer_id)
        denial = _transfer(step, command)
    kind = EventKind.TRANSFERRED if denial is None else EventKind.TRANSFER_DENIED
    code, reason = (denial.code, denial.reason) if denial is not None else ("", "")
    step.tell(kind, code, reason, outcome=True, client_order_id=command.transfer_id, amount=amount)


def _transfer(step: Step, command: Transfer) -> Denial | None:
    amount, funds, asset = command.amount, step.funds, command.asset
    if not 0 < amount < MAX:
        return Denial(INVALID_AMOUNT, "the amount must be positive and fit a decimal(20,8)")
    if not asset:
        return Denial(INVALID_ASSET, "the asset has no name")
    balances = step.before.account.balances if step.before.account else ()
    if command.kind is TransferKind.DEPOSIT:
        if funds.total(asset) + amount >= MAX:
            return Denial(INVALID_AMOUNT, "the balance would not fit a decimal(20,8)")
        funds.credit(asset, amount)
        return None
    if not balances:
        return Denial(risk.UNKNOWN_ACCOUNT, f"account {command.account_id} has had no transfer")
    if command.kind is TransferKind.RELEASE:
        if not funds.release(asset, amount):
            return Denial(NOT_HELD, f"less than {show(amount)} {asset} is held")
        return None
    if any(b.owed for b in balances):
        return Denial(risk.FUNDS_OWED, "the account owes money")
    if standing(step).sanctioned:
        return Denial(SANCTIONED, "the account is under sanctions")
    if funds.available(asset) < amount:
        return Denial(risk.INSUFFICIENT_FUNDS, f"{show(funds.available(asset))} {asset} is available")
    if command.kind is TransferKind.HOLD:
        funds.hold(asset, amount)
    else:
        funds.debit(asset, amount)
    return None


def set_limits(step: Step, command: SetLimits) -> None:
    """Of an account's limits, these change."""
    to_all = command.account_id == EVERYBODY
    problem = "everybody's limits go to risk.defaults" if to_all else wrong(command)
    if problem:
        step.tell(EventKind.LIMITS_DENIED, INVALID_LIMITS, problem, outcome=True, client_order_id=command.command_id)
        return
    step.limits = merged(standing(step).own, command)
    step.tell(EventKind.LIMITS_SET, outcome=True, client_order_id=command.command_id)


def merged(before: SetLimits | None, command: SetLimits) -> SetLimits:
    """An account's or everybody's limits after a command: of those it says nothing of, what was. Positions are kept asset by asset."""
    unset = set(command.unset or ())
    most = {} if before is None else {m.asset: m for m in before.max_positions or ()}
    most |= {m.asset: m for m in command.max_positions or ()}
    kept = () if "max_positions" in unset else [m for asset, m in most.items() if POSITION + asset not in unset]
    values: dict[str, object] = {
        name: None if name in unset else getattr(before if getattr(command, name) is None else command, name, None)
        for name in LIMITS
    }
    values["max_positions"] = tuple(kept) or None
    return msgspec.structs.replace(command, unset=None, **values)


def wrong(command: SetLimits) -> str:
    """What is wrong with what a command says, empty where nothing is."""
    amounts = (
        command.max_quantity,
        command.max_notional,
        command.collar,
        command.max_open_orders,
        command.max_day_notional,
        command.max_account_position,
        command.order_rate,
        command.modify_rate,
        *(m.amount for m in command.max_positions or ()),
    )
    if any(a is not None and a < 0 for a in amounts):
        return "a limit is below zero"
    said = {name for name in LIMITS if getattr(command, name) is not None}
    said |= {POSITION + m.asset for m in command.max_positions or ()}
    for name in command.unset or ():
        if name not in LIMITS and not (name.startswith(POSITION) and len(name) > len(POSITION)):
            return f"there is no limit {name!r}"
        if name in said:
            return f"{name} is set and unset"
    return ""
