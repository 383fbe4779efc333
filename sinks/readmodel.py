"""What users ask for in a millisecond, in Valkey (or Redis): an order by its id, an account's open orders and balances.

A fold of orders.events and fills, never a source: wipe it and it is built again from the log. Keys, under a prefix (`bestex:` unless
configured), all text; amounts are decimal strings, times microseconds UTC:

    order:<order id>      hash   account_id, client_order_id, symbol, side, order_type, time_in_force, quantity, price, stop_price,
                                 scheduled_at, expires_at, filled, filled_quote, state, status (schemas.status), reason_code,
                                 reason, order_seq, account_seq, sent_at, opened_at, updated_at; a field that the order has not
                                 is absent
    client:<account>      hash   client order id -> order id
    open:<account>        set    ids of the orders that are pending or partial
    balances:<account>    hash   asset -> available, locked, held and owed, joined by blanks (held and owed may be missing: nothing)
    account:<account>     hash   seq (account_seq of the last event taken), updated_at
    fills:<order id>      hash   fill id -> JSON of the fill
    offsets               hash   topic/partition -> the next offset that this model needs
    orders:<account>      pub/sub channel: JSON of each order update, as it is taken

A batch is one script, so it is taken whole or not at all, and its offsets with it: reading goes on where the model is, whatever was
killed or restored. All of an account's events come from one partition in the order of account_seq; an event that is not newer than the
account's `seq` changes and announces nothing. A field that a version adds comes to an order or a balance with its next event; to have it of all at
once, delete the prefix's keys. If the model turns out to lack what was written to it, it is read again from there.
The script touches keys that follow from its argument: one server (with replicas, if you like), not a cluster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import redis

from schemas.records import Fill, OrderEvent
from schemas.status import OPEN, Status, public_status
from sinks.amounts import decimal, units
from sinks.base import Later, Place, Rewind, Row, Settings, Sink

PREFIX = "bestex:"
_TAKE = """
local prefix, batch = ARGV[1], cmsgpack.unpack(ARGV[2])
local offsets = prefix .. 'offsets'
for _, place in ipairs(batch.places) do
    local has = tonumber(redis.call('HGET', offsets, place.name) or '0')
    if has < tonumber(place.expected) then return place.name end
end
for _, account in ipairs(batch.accounts) do
    local key = prefix .. 'account:' .. account.id
    local seq = tonumber(redis.call('HGET', key, 'seq') or '0')
    if tonumber(account.seq) > seq then
        redis.call('HSET', key, 'seq', account.seq, 'updated_at', account.at)
        for _, order in ipairs(account.orders) do
            redis.call('HSET', prefix .. 'order:' .. order.id, unpack(order.fields))
            if order.client_id ~= '' then
                redis.call('HSET', prefix .. 'client:' .. account.id, order.client_id, order.id)
            end
            redis.call(order.open and 'SADD' or 'SREM', prefix .. 'open:' .. account.id, order.id)
        end
        if #account.balances > 0 then
            redis.call('HSET', prefix .. 'balances:' .. account.id, unpack(account.balances))
        end
        for _, message in ipairs(account.messages) do
            if tonumber(message.seq) > seq then
                redis.call('PUBLISH', prefix .. 'orders:' .. account.id, message.text)
            end
        end
    end
end
for _, fill in ipairs(batch.fills) do
    redis.call('HSET', prefix .. 'fills:' .. fill.order_id, fill.id, fill.text)
end
for _, place in ipairs(batch.places) do
    if tonumber(place.next) > tonumber(redis.call('HGET', offsets, place.name) or '0') then
        redis.call('HSET', offsets, place.name, place.next)
    end
end
return ''
"""
_PASSING = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,  # a replica, till the failover is through
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.TryAgainError,
)
_pack = msgspec.msgpack.Encoder().encode


class Balance(msgspec.Struct, frozen=True):
    """Funds of one asset, in units of 1e-8."""

    available: int
    locked: int
    held: int = 0
    owed: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stands. Amounts are in units of 1e-8, times in microseconds; `None` is what the order has not."""

    order_id: str
    account_id: str
    client_order_id: str
    symbol: str
    side: str | None
    order_type: str | None
    time_in_force: str | None
    quantity: int | None
    price: int | None
    filled: int
    filled_quote: int
    state: str
    status: Status
    reason_code: str
    reason: str
    order_seq: int
    account_seq: int
    sent_at: int | None
    opened_at: int | None
    updated_at: int
    stop_price: int | None = None
    scheduled_at: int | None = None
    expires_at: int | None = None

    @property
    def average_price(self) -> int | None:
        """Of what is filled, rounded down to a unit; `None` without fills."""
        return self.filled_quote * 10**8 // self.filled if self.filled else None


class ReadModel:
    """Reads the model. `client` answers in text (`decode_responses=True`), as `connect` makes it."""

    def __init__(self, client: Any, prefix: str = PREFIX) -> None:
        self._client, self._prefix = client, prefix

    @classmethod
    def connect(cls, url: str, prefix: str = PREFIX) -> ReadModel:
        """Of a `redis://` URL."""
        return cls(_client(url), prefix)

    def order(self, order_id: str) -> Order | None:
        """An order by its id."""
        return self.orders([order_id])[0]

    def orders(self, order_ids: Sequence[str]) -> list[Order | None]:
        """Orders by their ids, in one round trip."""
        with self._client.pipeline(transaction=False) as pipeline:
            for order_id in order_ids:
                pipeline.hgetall(f"{self._prefix}order:{order_id}")
            return [_order(i, found) if found else None for i, found in zip(order_ids, pipeline.execute(), strict=True)]

    def order_by_client_id(self, account_id: str, client_order_id: str) -> Order | None:
        """An order by the id that its client gave it."""
        order_id = self._client.hget(f"{self._prefix}client:{account_id}", client_order_id)
        return None if order_id is None else self.order(order_id)

    def open_orders(self, account_id: str) -> list[Order]:
        """The account's orders that are pending or partial, oldest first."""
        found = self.orders(sorted(self._client.smembers(f"{self._prefix}open:{account_id}")))
        # One that closed between the two questions is not open any more.
        return sorted(
            (o for o in found if o is not None and o.status in OPEN), key=lambda o: (o.opened_at or 0, o.order_id)
        )

    def balances(self, account_id: str) -> dict[str, Balance]:
        """The account's funds by asset."""
        found = self._client.hgetall(f"{self._prefix}balances:{account_id}")
        return {asset: Balance(*map(units, text.split(" "))) for asset, text in sorted(found.items())}

    def account_seq(self, account_id: str) -> int:
        """`account_seq` of the last event taken; 0 for an account that there is none of."""
        return int(self._client.hget(f"{self._prefix}account:{account_id}", "seq") or 0)

    def fills(self, order_id: str) -> list[dict[str, Any]]:
        """The order's fills, in the order of their times: fields of `Fill`, amounts as decimal strings."""
        found = [json.loads(text) for text in self._client.hvals(f"{self._prefix}fills:{order_id}")]
        return sorted(found, key=lambda f: (f["at"], f["fill_id"]))


class ReadModelSink(Sink):
    """`url`: `redis://[user:password@]host:port/db`."""

    topics: ClassVar = {"orders.events": (OrderEvent,), "fills": (Fill,)}
    settings = Settings(rows=2_000, linger=0.005)

    def __init__(self, url: str, prefix: str = PREFIX) -> None:
        self._client, self._prefix = _client(url), prefix
        self._take = self._client.register_script(_TAKE)
        self._next: dict[Place, int] = {}

    def setup(self) -> None:
        """See that the server answers."""
        try:
            self._client.ping()
        except _PASSING as error:
            raise Later(f"Valkey: {error}") from error

    def resume(self, committed: Mapping[Place, int]) -> Mapping[Place, int]:
        """Where the model is; an empty one is built from the log's beginning."""
        places = list(committed)
        try:
            found = self._client.hmget(f"{self._prefix}offsets", [_name(p) for p in places])
        except _PASSING as error:
            raise Later(f"Valkey: {error}") from error
        self._next = {place: int(offset or 0) for place, offset in zip(places, found, strict=True)}
        return self._next

    def write(self, batch: Sequence[Row]) -> None:
        """Fold the batch and take it in one script. Raises `Rewind`, `Later`."""
        after = {(row.topic, row.partition): row.offset + 1 for row in batch}
        argument = fold(batch) | {
            "places": [{"name": _name(p), "expected": str(self._next[p]), "next": str(n)} for p, n in after.items()]
        }
        try:
            behind = self._take(args=[self._prefix, _pack(argument)])
        except _PASSING as error:
            raise Later(f"Valkey: {error}") from error
        if behind:
            raise Rewind(f"the model lacks records of {behind}")
        self._next |= after

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def build(config: Mapping[str, Any]) -> ReadModelSink:
    """The sink of a configuration: `valkey` (URL), `valkey_prefix` (default `bestex:`)."""
    return ReadModelSink(config["valkey"], config.get("valkey_prefix", PREFIX))


def fold(batch: Sequence[Row]) -> dict[str, Any]:
    """What a batch leaves: of each account the last state of what it touched. Events carry where things stand, not only how they moved."""
    accounts: dict[str, dict[str, Any]] = {}
    fills = []
    for row in batch:
        record = row.record
        if isinstance(record, Fill):
            fills.append({"order_id": record.order_id, "id": record.fill_id, "text": json.dumps(_fill(record))})
            continue
        e: OrderEvent = record
        account = accounts.setdefault(e.account_id, {"orders": {}, "balances": {}, "messages": []})
        account["seq"], account["at"] = str(e.account_seq), str(e.at)
        for change in e.balances:
            account["balances"][change.asset] = " ".join(
                decimal(n) for n in (change.available, change.locked, change.held or 0, change.owed or 0)
            )
        if e.order_id:
            fields = _fields(e)
            account["messages"].append({"seq": str(e.account_seq), "text": _message(e, fields)})
            order = account["orders"].setdefault(e.order_id, {"fields": {}})
            order["fields"] |= fields
            order["client_id"], order["open"] = e.client_order_id, fields["status"] in OPEN
    return {
        "accounts": [
            {
                "id": account_id,
                "seq": a["seq"],
                "at": a["at"],
                "orders": [{"id": i, **o, "fields": _flat(o["fields"])} for i, o in a["orders"].items()],
                "balances": _flat(a["balances"]),
                "messages": a["messages"],
            }
            for account_id, a in accounts.items()
        ],
        "fills": fills,
    }


def _fields(e: OrderEvent) -> dict[str, str]:
    """What an event says about its order; what it does not say stays as it was."""
    said: dict[str, str | None] = {
        "account_id": e.account_id,
        "client_order_id": e.client_order_id,
        "symbol": e.symbol or None,
        "side": e.side,
        "order_type": e.order_type,
        "time_in_force": e.time_in_force,
        "quantity": None if e.quantity is None else decimal(e.quantity),
        "price": None if e.price is None else decimal(e.price),
        "stop_price": None if e.stop_price is None else decimal(e.stop_price),
        "scheduled_at": None if e.scheduled_at is None else str(e.scheduled_at),
        "expires_at": None if e.expires_at is None else str(e.expires_at),
        "filled": decimal(e.filled),
        "filled_quote": decimal(e.filled_quote),
        "state": e.state,
        "status": public_status(e.state, e.filled),
        "order_seq": str(e.order_seq),
        "account_seq": str(e.account_seq),
        "updated_at": str(e.at),
    }
    if e.reason_code:
        said |= {"reason_code": e.reason_code, "reason": e.reason}
    if e.order_seq == 1:
        said |= {"opened_at": str(e.at), "sent_at": None if e.sent_at is None else str(e.sent_at)}
    return {name: value for name, value in said.items() if value is not None}


def _message(e: OrderEvent, fields: Mapping[str, str]) -> str:
    return json.dumps({"order_id": e.order_id, "kind": e.kind, **fields, "venue": e.venue, "trade_id": e.trade_id})


def _fill(f: Fill) -> dict[str, Any]:
    money = ("price", "quantity", "fee", "arrival_mid", "best_single_price")
    text = {n: None if (v := getattr(f, n)) is None else decimal(v) for n in money}
    return {n: getattr(f, n) for n in f.__struct_fields__} | text


def _order(order_id: str, h: Mapping[str, str]) -> Order:
    def amount(name: str) -> int | None:
        return units(h[name]) if name in h else None

    def number(name: str) -> int | None:
        return int(h[name]) if name in h else None

    return Order(
        order_id=order_id,
        account_id=h["account_id"],
        client_order_id=h["client_order_id"],
        symbol=h.get("symbol", ""),
        side=h.get("side"),
        order_type=h.get("order_type"),
        time_in_force=h.get("time_in_force"),
        quantity=amount("quantity"),
        price=amount("price"),
        filled=units(h["filled"]),
        filled_quote=units(h["filled_quote"]),
        state=h["state"],
        status=h["status"],  # type: ignore[arg-type]  # written from `public_status`
        reason_code=h.get("reason_code", ""),
        reason=h.get("reason", ""),
        order_seq=int(h["order_seq"]),
        account_seq=int(h["account_seq"]),
        sent_at=number("sent_at"),
        opened_at=number("opened_at"),
        updated_at=int(h["updated_at"]),
        stop_price=amount("stop_price"),
        scheduled_at=number("scheduled_at"),
        expires_at=number("expires_at"),
    )


def _flat(pairs: Mapping[str, str]) -> list[str]:
    return [x for pair in pairs.items() for x in pair]


def _name(place: Place) -> str:
    return f"{place[0]}/{place[1]}"


def _client(url: str) -> Any:
    return redis.Redis.from_url(url, decode_responses=True, socket_connect_timeout=5, socket_timeout=15)
