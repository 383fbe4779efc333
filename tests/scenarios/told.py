"""What came of a scenario, in the words of its tables: from the records of the log to the cells, and cells compared.

Rules:

* ids and times are not shown; amounts are, exactly;
* venues answer side by side, so a step's events are compared order by order, and within an order those of each child by themselves, in their
  own order; which child was first is left open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.records import Fill, Liquidity, OrderEvent
from tests.scenarios.language import FEES, Names, Scenario, Step, about, shown

ACCOUNT_WIDE = ("TRANSFERRED", "TRANSFER_DENIED", "LIMITS_SET", "LIMITS_DENIED", "ALL_CANCELLED")
OWN = (0, 0)  # in place of a child's attempt and number: the order itself
Cells = tuple[str, str, str]
Groups = dict[str, tuple[list[str], list[str]]]


def cells(step: Step, events: Sequence[OrderEvent], fills: Sequence[Fill], names: Names) -> Cells:
    """A step's events, fills and orders as its row writes them."""
    mine = about(step.command)
    return _events(events, mine, names), _fills(fills, mine, names), _orders(events)


def _child(child_id: str) -> tuple[int, int]:
    attempt, number = child_id.split("-")[-2:]
    return int(attempt), int(number)


def _events(events: Iterable[OrderEvent], mine: str, names: Names) -> str:
    groups: dict[str, list[tuple[tuple[int, int], str]]] = {}
    for e in events:
        label = names.read(e.account_id) if e.kind in ACCOUNT_WIDE else e.client_order_id
        words = [names.read(e.venue)] if e.venue else []
        words += [e.kind.value, *([e.reason_code] if e.reason_code else [])]
        groups.setdefault(label, []).append((_child(e.child_id) if e.child_id else OWN, " ".join(words)))
    return "; ".join(_labelled(label, mine, ", ".join(_grouped(groups[label]))) for label in _ordered(groups, mine))


def _grouped(items: list[tuple[tuple[int, int], str]]) -> list[str]:
    """The order's own events as they came, and between them each child's together, the children by their numbers."""
    own = [text for child, text in items if child == OWN]
    children: dict[tuple[int, int], list[str]] = {}
    place: dict[tuple[int, int], int] = {}  # how many of the order's own events were before the child's first
    so_far = 0
    for child, text in items:
        if child == OWN:
            so_far += 1
        else:
            children.setdefault(child, []).append(text)
            place.setdefault(child, so_far)
    out: list[str] = []
    at = 0
    for child in sorted(children):
        out += own[at : max(at, place[child])]
        at = max(at, place[child])
        out += children[child]
    return out + own[at:]


def _ordered(labels: Iterable[str], mine: str) -> list[str]:
    return sorted(labels, key=lambda label: (label != mine, label))


def _labelled(label: str, mine: str, text: str) -> str:
    return text if label == mine else f"{label}: {text}"


def _fills(fills: Iterable[Fill], mine: str, names: Names) -> str:
    groups: dict[str, list[tuple[tuple[int, int], str]]] = {}
    for f in fills:
        how = " maker" if f.liquidity is Liquidity.MAKER else ""
        fee = f"fee {shown(f.fee)} {names.read(f.fee_asset)}"
        text = f"{names.read(f.venue)} {shown(f.quantity)} @ {shown(f.price)} {fee}{how}"
        groups.setdefault(f.client_order_id, []).append((_child(f.child_id), text))
    found = {label: [text for _, text in sorted(items, key=lambda i: i[0])] for label, items in groups.items()}
    return "; ".join(_labelled(label, mine, ", ".join(found[label])) for label in _ordered(found, mine))


def _orders(events: Iterable[OrderEvent]) -> str:
    last = {e.client_order_id: e for e in events if e.order_id}
    rows = [
        f"{name} {e.state.value} {shown(e.filled)}" + (f" of {shown(e.quantity)}" if e.quantity else "")
        for name, e in sorted(last.items())
    ]
    return ", ".join(rows)


def balances(events: Iterable[OrderEvent], names: Names) -> dict[str, str]:
    """Account -> what it has after all events, as the last table writes it."""
    held: dict[str, dict[str, str]] = {}
    for e in events:
        mine = held.setdefault(names.read(e.account_id), {})
        for b in e.balances:
            parts = [(b.locked, "locked"), (b.held or 0, "held"), (b.owed or 0, "owed")]
            more = "".join(f" + {shown(n)} {word}" for n, word in parts if n)
            there = bool(b.available or more)
            mine[names.read(b.asset)] = f"{shown(b.available)} {names.read(b.asset)}{more}" if there else ""
    return {who: ", ".join(text for _, text in sorted(mine.items()) if text) for who, mine in held.items()}


# ---- comparing


def _groups(text: str, mine: str) -> Groups:
    found: Groups = {}
    for group in filter(None, (part.strip() for part in text.split(";"))):
        label, colon, items = group.rpartition(": ")
        own, children = found.setdefault(label if colon else mine, ([], []))
        for item in (part.strip() for part in items.split(",")):
            (children if item.split()[0] in FEES else own).append(item)
    return found


def differences(one: Scenario, step: Step, came: Cells) -> list[str]:
    """What is otherwise than a row says."""
    mine, where = about(step.command), f"{one.file}:{step.line} {step.command}"
    wrong = []
    if _groups(step.events, mine) != _groups(came[0], mine):
        wrong.append(f"{where}\n  events: {came[0]}\n  not     {step.events}")
    if _groups(step.fills, mine) != _groups(came[1], mine):
        wrong.append(f"{where}\n  fills:  {came[1]}\n  not     {step.fills}")
    if step.orders != came[2]:
        wrong.append(f"{where}\n  orders: {came[2]}\n  not     {step.orders}")
    return wrong


def ends(one: Scenario, has: dict[str, str]) -> list[str]:
    """What is otherwise than the last table says."""
    return [
        f"{one.file}:{one.then_lines[who]} {who} has {has.get(who, '')}\n  not {text}"
        for who, text in one.then.items()
        if has.get(who, "") != text
    ] + [f"{one.name}: nothing is said of what {who} has" for who in has.keys() - one.then.keys() if has[who]]
