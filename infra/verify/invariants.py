"""What must hold of a log, one function an invariant: the log in, one sentence for each violation out. Pure: no I/O, no clock.

Numbers are ints of 1e-8. The state table is written here a second time, by state before and after, from what an order's life means
rather than from the code that moves it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256

import msgspec

from infra.verify.log import (
    ACCOUNTS,
    ACKS,
    CHILDREN,
    COMMANDS,
    LIMITS,
    ORDERS,
    POSITIONS,
    REQUESTS,
    TRANSFERS,
    Log,
)
from schemas.records import (
    AccountState,
    BalanceChange,
    ChildOrder,
    EventKind,
    ExecutionKind,
    Fill,
    OrderEvent,
    OrderRecord,
    OrderState,
    Position,
    RoutePlan,
    RouteRequest,
    RouteStatus,
    Side,
    Transfer,
    TransferKind,
)

UNIT = 10**8
GRACE_US = 60_000_000  # what is younger may be on its way
Body = Callable[[OrderEvent], bytes]

ENDED = frozenset({OrderState.DENIED, OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED})
_LIVE_ENDS = {OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED}
# state before -> states it may be followed by; None is before the first event
_S = OrderState
FOLLOWS: Mapping[OrderState | None, frozenset[OrderState]] = {
    None: frozenset({_S.DENIED, _S.SCHEDULED, _S.ARMED, _S.ROUTING}),
    # what waits has nothing at a venue: it starts, is given up, or its time shows that it cannot start
    _S.SCHEDULED: frozenset({_S.SCHEDULED, _S.ARMED, _S.ROUTING, _S.PENDING_CANCEL, _S.DENIED}),
    _S.ARMED: frozenset({_S.ARMED, _S.TRIGGERED, _S.PENDING_CANCEL}),
    _S.TRIGGERED: frozenset({_S.TRIGGERED, _S.ROUTING, _S.PENDING_CANCEL, _S.PENDING_MODIFY, _S.DENIED}),
    _S.ROUTING: frozenset(
        {_S.ROUTING, _S.WORKING, _S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.PENDING_MODIFY, *_LIVE_ENDS}
    ),
    _S.WORKING: frozenset({_S.WORKING, _S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.PENDING_MODIFY, *_LIVE_ENDS}),
    # what has a fill was not refused
    _S.PARTIALLY_FILLED: frozenset(
        {_S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.PENDING_MODIFY, *_LIVE_ENDS} - {_S.REJECTED}
    ),
    # a venue may refuse the cancel, and the order is again what it was; or its time was over
    _S.PENDING_CANCEL: frozenset(
        {_S.PENDING_CANCEL, _S.ROUTING, _S.WORKING, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.EXPIRED}
    ),
    # it becomes what it was asked to be, or again what it was, or ends; a cancel wins
    _S.PENDING_MODIFY: frozenset(
        {
            _S.PENDING_MODIFY,
            _S.PENDING_CANCEL,
            _S.ROUTING,
            _S.WORKING,
            _S.PARTIALLY_FILLED,
            _S.FILLED,
            _S.CANCELLED,
            _S.EXPIRED,
        }
    ),
    # a fill that crossed the end is legal, nothing else moves what has ended
    _S.CANCELLED: frozenset({_S.CANCELLED, _S.FILLED}),
    _S.EXPIRED: frozenset({_S.EXPIRED, _S.FILLED}),
    _S.FILLED: frozenset({_S.FILLED}),
    _S.DENIED: frozenset({_S.DENIED}),
    _S.REJECTED: frozenset({_S.REJECTED}),
}
Held = tuple[int, int, int, int]  # available, locked, owed, set aside by command
FIRST = frozenset({EventKind.ACCEPTED, EventKind.DENIED})


def commands_answered_once(log: Log) -> Iterator[str]:
    """Every command has exactly one outcome in the log, an event or a dead letter; and every outcome answers a command.

    A command whose producer put it into another partition than its key's is moved by the pipeline: the copy is what counts, and
    there must be one.
    """
    answers: Counter[tuple[str, int, int]] = Counter()
    outcome: dict[tuple[str, int, int], OrderEvent] = {}
    for _, event in log.events():
        if event.is_outcome:
            cause = (event.cause_topic, event.cause_partition, event.cause_offset)
            answers[cause] += 1
            outcome[cause] = event
    for topic in (COMMANDS, TRANSFERS, LIMITS):
        for letter in log.letters(topic):
            answers[letter.origin_topic, letter.origin_partition, letter.origin_offset] += 1
        moved: Counter[bytes] = Counter()
        here: Counter[bytes] = Counter()
        for entry in log.entries.get(topic, ()):
            record = entry.record
            if record is not None and log.misplaced(topic, entry.partition, record.account_id):
                moved[entry.value] += 1
                if count := answers.pop(entry.place, 0):
                    yield f"{entry} lies in another partition than its key's and was answered {count} times there"
                continue
            here[entry.value] += 1
            count = answers.pop(entry.place, 0)
            if count != 1:
                yield f"{entry} ({_name(record)}) was answered {count} times"
            elif record is not None and entry.place in outcome:
                yield from _answers(entry, record, outcome[entry.place])
        for value, count in moved.items():
            if here[value] < count:
                yield f"a command of {topic} in another partition than its key's was not moved ({value[:40].hex()}…)"
    for (topic, partition, offset), count in answers.items():
        if offset >= log.begins.get((topic, partition), 0):
            yield f"{topic}/{partition}@{offset} is no command and was answered {count} times"


def _answers(entry: object, record: object, event: OrderEvent) -> Iterator[str]:
    client_order_id = getattr(record, "client_order_id", event.client_order_id)
    if (record.account_id, client_order_id) != (event.account_id, event.client_order_id):  # type: ignore[attr-defined]
        yield f"{entry} ({_name(record)}) was answered by an event of {event.account_id} {event.client_order_id}"


def _name(record: object) -> str:
    if record is None:
        return "unreadable"
    about = getattr(record, "client_order_id", None) or getattr(record, "transfer_id", "")
    return f"{type(record).__name__} {record.account_id} {about}"  # type: ignore[attr-defined]


def transitions_legal(log: Log) -> Iterator[str]:
    """Every order moves as the state table allows, is filled only by fills and never beyond its quantity."""
    before: dict[str, OrderEvent] = {}
    for entry, e in log.events():
        if not e.order_id:
            continue
        last = before.get(e.order_id)
        before[e.order_id] = e
        where = f"{entry} order {e.order_id}: {e.kind}"
        state = last.state if last else None
        if e.state not in FOLLOWS.get(state, ()):
            yield f"{where} takes it from {state} to {e.state}"
        if (last is None) is not (e.kind in FIRST):
            yield f"{where} {'is its first event' if last is None else 'comes after its first event'}"
        if state in ENDED and e.state is not state and e.kind is not EventKind.FILL:
            yield f"{where} moves an order that was {state}"
        if e.kind is EventKind.CLOSED and e.state not in ENDED:
            yield f"{where} leaves it {e.state}"
        filled = last.filled if last else 0
        if (e.filled > filled) is not (e.kind is EventKind.FILL) or e.filled < filled:
            yield f"{where} changes what is filled from {filled} to {e.filled}"
        quantity = e.quantity if e.quantity is not None else 0
        if e.quantity is not None and e.state is not OrderState.DENIED:
            if e.filled > quantity:
                yield f"{where} has {e.filled} of {quantity} filled"
            if (e.filled == quantity) is not (e.state is OrderState.FILLED):
                yield f"{where} is {e.state} with {e.filled} of {quantity} filled"


def sequences_without_gap(log: Log) -> Iterator[str]:
    """An account's events are numbered 1, 2, 3 … and so are each order's."""
    accounts: dict[str, int] = defaultdict(int)
    orders: dict[str, int] = defaultdict(int)
    for entry, e in log.events():
        if e.account_seq != accounts[e.account_id] + 1:
            yield f"{entry} account {e.account_id}: #{accounts[e.account_id]} is followed by #{e.account_seq}"
        accounts[e.account_id] = e.account_seq
        if not e.order_id:
            if e.order_seq != 0:
                yield f"{entry}: number {e.order_seq} of no order"
            continue
        if e.order_seq != orders[e.order_id] + 1:
            yield f"{entry} order {e.order_id}: {orders[e.order_id]} is followed by {e.order_seq}"
        orders[e.order_id] = e.order_seq


def hash_chain(log: Log, body: Body) -> Iterator[str]:
    """Each event's hash is SHA-256 over the hash before it and its own Avro body with `hash` empty."""
    last: dict[str, bytes] = defaultdict(bytes)
    for entry, e in log.events():
        if e.previous_hash != last[e.account_id]:
            yield f"{entry} account {e.account_id} #{e.account_seq} does not continue the chain"
        if sha256(e.previous_hash + body(msgspec.structs.replace(e, hash=b""))).digest() != e.hash:
            yield f"{entry} account {e.account_id} #{e.account_seq} is not what was hashed"
        last[e.account_id] = e.hash


def state_equals_log(log: Log) -> Iterator[str]:
    """The accounts agent's own tables are where the log leads: so nothing is missing at the log's end either.

    A chain of hashes shows what was taken out of the middle; only the state that was written with the last event shows the end.
    """
    last: dict[str, OrderEvent] = {}
    held: dict[str, dict[str, Held]] = defaultdict(dict)
    orders: dict[str, OrderEvent] = {}
    for _, e in log.events():
        last[e.account_id] = e
        for b in e.balances:
            held[e.account_id][b.asset] = (b.available, b.locked, b.owed or 0, b.held or 0)
        if e.order_id:
            orders[e.order_id] = e
    accounts = log.table(ACCOUNTS, AccountState)
    for account_id in accounts.keys() | last.keys():
        state, event = accounts.get(account_id), last.get(account_id)
        if state is None or event is None or (state.seq, state.hash) != (event.account_seq, event.hash):
            at = f"#{state.seq}" if state else "nowhere"
            yield f"account {account_id} stands at {at}, its log ends at {f'#{event.account_seq}' if event else 'nothing'}"
        elif {a: h for a, h in held[account_id].items() if any(h)} != {
            b.asset: h for b in state.balances if any(h := (b.available, b.locked, b.owed or 0, b.held or 0))
        }:
            yield f"account {account_id} holds {state.balances}, its log says {held[account_id]}"
    table = {order.order_id: order for order in log.table(ORDERS, OrderRecord).values()}
    for order_id in table.keys() | orders.keys():
        order, event = table.get(order_id), orders.get(order_id)
        if order is None and event is not None and event.state in ENDED:
            continue  # its retention was over: see `infra.verify.accounts`
        ours = (order.state, order.filled, order.filled_quote, order.seq) if order else None
        theirs = (event.state, event.filled, event.filled_quote, event.order_seq) if event else None
        if ours != theirs:
            yield f"order {order_id} is {ours} in the table, {theirs} in the log"


def money_conserved(log: Log) -> Iterator[str]:
    """Balances move by transfers and fills alone, to the last unit; what is locked is locked by open orders.

    Of each account and asset available + locked + held - owed is what was deposited, less what was withdrawn, plus and minus fills and fees;
    nothing is negative; an order that has ended locks nothing.
    """
    causes = {entry.place: transfer for entry, transfer in log.transfers()}
    fills = {(f.order_id, f.child_id, f.fill_id): f for _, f in log.fills()}
    held: dict[tuple[str, str], Held] = {}
    locks: dict[tuple[str, str], int] = defaultdict(int)  # order, asset
    state: dict[str, OrderState] = {}
    for entry, e in log.events():
        where = f"{entry} account {e.account_id} #{e.account_seq} {e.kind}"
        moved: dict[str, int] = {}
        for b in e.balances:
            yield from _continues(where, held.get((e.account_id, b.asset), (0, 0, 0, 0)), b)
            held[e.account_id, b.asset] = (b.available, b.locked, b.owed or 0, b.held or 0)
            moved[b.asset] = b.available_delta + b.locked_delta + (b.held_delta or 0) - (b.owed_delta or 0)
            locks[e.order_id, b.asset] += b.locked_delta
            if locks[e.order_id, b.asset] < 0:
                yield f"{where}: order {e.order_id or 'none'} locks {locks[e.order_id, b.asset]} of {b.asset}"
        due: dict[str, int] = {}
        if e.kind is EventKind.TRANSFERRED:
            transfer = causes.get((e.cause_topic, e.cause_partition, e.cause_offset))
            if transfer is not None:
                due = _transferred(transfer)
            elif e.cause_offset >= log.begins.get((e.cause_topic, e.cause_partition), 0):
                yield f"{where}: no transfer caused it"
            else:
                due = dict(moved)  # the command is past its retention
        elif e.kind is EventKind.FILL:
            fill = fills.get((e.order_id, e.child_id or "", f"{e.venue}:{e.symbol}:{e.trade_id}"))
            if fill is None:
                yield f"{where}: trade {e.trade_id} at {e.venue} is not in fills"
                continue
            due = _traded(fill)
        if (moved := {a: m for a, m in moved.items() if m}) != (due := {a: m for a, m in due.items() if m}):
            yield f"{where}: moved {moved}, due was {due}"
        if e.order_id:
            state[e.order_id] = e.state
    for (order_id, asset), amount in locks.items():
        if amount and (not order_id or state.get(order_id) in ENDED):
            yield f"order {order_id or 'none'} has ended and locks {amount} of {asset}"
    total: dict[tuple[str, str], int] = defaultdict(int)
    for _, e in log.events():
        for b in e.balances:
            total[e.account_id, b.asset] += b.locked_delta
    for key, (_, locked, _, _) in held.items():
        if total[key] != locked:
            yield f"account {key[0]}: {locked} of {key[1]} is locked, its orders lock {total[key]}"


def _continues(where: str, before: Held, b: BalanceChange) -> Iterator[str]:
    after = (b.available, b.locked, b.owed or 0, b.held or 0)
    deltas = (b.available_delta, b.locked_delta, b.owed_delta or 0, b.held_delta or 0)
    if tuple(x + d for x, d in zip(before, deltas, strict=True)) != after:
        yield f"{where}: {b.asset} was {before}, moved {deltas}, is {after}"
    if min(after) < 0 or (after[0] > 0 and after[2] > 0):
        yield f"{where}: {b.asset} is {after} (available, locked, owed, held)"


def _transferred(t: Transfer) -> dict[str, int]:
    sign = {TransferKind.DEPOSIT: 1, TransferKind.WITHDRAWAL: -1}.get(t.kind, 0)  # a hold or a release moves within
    return {t.asset: sign * t.amount}


def _traded(f: Fill) -> dict[str, int]:
    base, _, quote = f.symbol.partition("/")
    sign = 1 if f.side is Side.BUY else -1
    found: dict[str, int] = defaultdict(int)
    found[base] += sign * f.quantity
    found[quote.partition(":")[0]] -= sign * (f.price * f.quantity // UNIT)
    found[f.fee_asset] -= f.fee
    return found


def fills_equal_parents(log: Log) -> Iterator[str]:
    """The fills of an order add up to what it says is filled, in quantity and value; each was reported by a venue, and taken once.

    A fill belongs to a child that was sent, is no worse than the child's price, and a child's fills are no more than its quantity.
    """
    children: dict[str, ChildOrder] = {c.child_id: c for _, c in log.children()}
    whole = all(
        log.begins.get((t, p), 0) == 0
        for t in ("venue.orders", "exchange.acks")
        for p in range(log.partitions.get(t, 0))
    )
    seen: set[tuple[str, str]] = set()
    filled: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    by_child: dict[str, int] = defaultdict(int)
    for entry, f in log.fills():
        if (f.fill_id, f.order_id) in seen:
            yield f"{entry}: {f.fill_id} is there twice"
        seen.add((f.fill_id, f.order_id))
        filled[f.order_id][0] += f.quantity
        filled[f.order_id][1] += f.price * f.quantity // UNIT
        by_child[f.child_id] += f.quantity
        child = children.get(f.child_id)
        if child is None:
            if whole:
                yield f"{entry}: child {f.child_id} was never sent"
            continue
        if (child.order_id, child.venue, child.symbol, child.side) != (f.order_id, f.venue, f.symbol, f.side):
            yield f"{entry}: {f.fill_id} does not belong to child {f.child_id}"
        if by_child[f.child_id] > child.quantity:
            yield f"{entry}: child {f.child_id} has {by_child[f.child_id]} of {child.quantity} filled"
        if f.price > child.price if f.side is Side.BUY else f.price < child.price:
            yield f"{entry}: {f.side} at {f.price}, child {f.child_id} asked for {child.price}"
    last = {e.order_id: e for _, e in log.events() if e.order_id}
    for order_id, e in last.items():
        quantity, value = filled.pop(order_id, [0, 0])
        if (quantity, value) != (e.filled, e.filled_quote):
            yield f"order {order_id}: fills of {quantity} worth {value}, the log says {e.filled} worth {e.filled_quote}"
    for order_id in filled:
        yield f"fills of an order that is not in the log: {order_id}"
    told = {
        (f"{r.venue}:{r.symbol}:{r.trade_id}", r.order_id) for _, r in log.reports() if r.kind is ExecutionKind.FILL
    }
    letters = {(x.origin_partition, x.origin_offset) for x in log.letters("exchange.acks")}
    lost = told - seen
    for entry, r in log.reports():
        key = (f"{r.venue}:{r.symbol}:{r.trade_id}", r.order_id)
        if r.kind is ExecutionKind.FILL and key in lost and (entry.partition, entry.offset) not in letters:
            lost.discard(key)
            yield f"{entry}: the venue reported {key[0]}, no fill came of it"
    if whole:
        for name, order_id in seen - told:
            yield f"fill {name} of order {order_id}: no venue reported it"


def positions_equal_fills(log: Log) -> Iterator[str]:
    """The table of positions is what the fills add up to: quantity, money and fees, in all and venue by venue.

    What a position cost less what closing it earned is what was paid less what was got, whatever the average was in between.
    """
    due: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    fees: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for _, f in log.fills():
        key, sign = f"{f.account_id}|{f.symbol}", 1 if f.side is Side.BUY else -1
        for part in ("", f.venue):
            due[key][part][0] += sign * f.quantity
            due[key][part][1] += sign * (f.price * f.quantity // UNIT)
        fees[key][f.fee_asset] += f.fee
    table = log.table(POSITIONS, Position)
    for key in table.keys() | due.keys():
        p = table.get(key)
        if p is None:
            yield f"position {key} is missing"
            continue
        ours = {"": [p.quantity, p.cost - p.realised], **{v.venue: [v.quantity, v.cost - v.realised] for v in p.venues}}
        if ours != dict(due[key]):
            yield f"position {key} is {ours}, its fills add up to {dict(due[key])}"
        if {a.asset: a.amount for a in p.fees} != {a: n for a, n in fees[key].items() if n}:
            yield f"position {key} has fees {p.fees}, its fills {dict(fees[key])}"
        if p.quantity == 0 and p.cost:
            yield f"position {key} is closed and costs {p.cost}"


def nothing_left_behind(log: Log) -> Iterator[str]:
    """Every request to the router has its plan, or its order has ended or gone on without; every child order was reported on.

    What the pipeline says to itself is never dead-lettered. A stop waits at the router for its price, and what came in the last moments is not
    judged: its answer may be on its way.
    """
    for topic in (REQUESTS, CHILDREN, ACKS):
        ours = {(e.partition, e.offset): e for e in log.entries.get(topic, ()) if e.record is not None}
        for letter in log.letters(topic):
            if (entry := ours.get((letter.origin_partition, letter.origin_offset))) is not None:
                yield f"{entry} ({_name(entry.record)}) was put aside: {letter.cause}"
    whole = all(log.begins.get((ACKS, p), 0) == 0 for p in range(log.partitions.get(ACKS, 0)))
    if not whole:
        return
    last = {e.order_id: e for _, e in log.events() if e.order_id}
    newest = max((e.at for e in last.values()), default=0) - GRACE_US
    answered = {(p.order_id, p.attempt) for _, p in log.of(ACKS, RoutePlan)}
    answered |= {(s.order_id, s.attempt) for _, s in log.of(ACKS, RouteStatus)}
    attempts: dict[str, int] = {}
    requests = log.of(REQUESTS, RouteRequest)
    for _, r in requests:
        attempts[r.order_id] = max(attempts.get(r.order_id, 0), r.attempt)
    for entry, r in requests:
        event = last.get(r.order_id)
        waits = event is None or event.state not in ENDED
        current = r.attempt == attempts[r.order_id] and r.stop_price is None
        if waits and current and (r.order_id, r.attempt) not in answered and (event is None or event.at < newest):
            yield f"{entry}: order {r.order_id} waits for its route, attempt {r.attempt}"
    told = {r.child_id for _, r in log.reports()}
    for entry, c in log.children():
        if c.child_id not in told and c.created_at < newest:
            yield f"{entry}: nothing was reported of child {c.child_id}"
