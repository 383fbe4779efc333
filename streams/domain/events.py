"""Identities and the hash chain of the event log: what makes a replay give the same log, and tampering show.

Rules:

* an order's id follows from its account and client order id, so that a repeat finds the first order; it is 20 characters of
  `[a-z2-7]`, short enough that a child's id made from it fits every venue's client order id;
* an event's hash is SHA-256 over the previous event's hash and the event's own Avro body with `hash` empty; the body comes
  from the caller, so that this module knows no codec.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Callable, Iterable

import msgspec

from schemas.records import OrderEvent

Body = Callable[[OrderEvent], bytes]
"""The Avro body of an event, without the registry's frame."""


def _short(kind: str, account_id: str, key: str) -> str:
    # The length says where the account ends: no two pairs give one text.
    text = f"{kind}:{len(account_id)}:{account_id}{key}"
    return b32encode(hashlib.sha256(text.encode()).digest()[:13])[:20].decode().lower()


def order_id_of(account_id: str, client_order_id: str) -> str:
    """The id of the order that `account_id` calls `client_order_id`."""
    return _short("order", account_id, client_order_id)


def transfer_key(account_id: str, transfer_id: str) -> str:
    """The key under which a transfer is remembered."""
    return _short("transfer", account_id, transfer_id)


def fill_id(venue: str, symbol: str, trade_id: str) -> str:
    """The name of a venue's trade."""
    return f"{venue}:{symbol}:{trade_id}"


def chain_hash(previous: bytes, body: bytes) -> bytes:
    """The hash of an event whose body with `hash` empty is `body`."""
    return hashlib.sha256(previous + body).digest()


def sealed(event: OrderEvent, body: Body) -> OrderEvent:
    """The event with its hash. `event.hash` must be empty."""
    return msgspec.structs.replace(event, hash=chain_hash(event.previous_hash, body(event)))


def first_break(events: Iterable[OrderEvent], body: Body) -> str | None:
    """What is wrong with one account's events, oldest first: a gap, a broken chain or a changed record; `None` when nothing is."""
    previous, seq, orders = b"", 0, dict[str, int]()
    for event in events:
        where = f"{event.account_id} #{event.account_seq}"
        if event.account_seq != seq + 1:
            return f"{where}: follows #{seq}"
        if event.previous_hash != previous:
            return f"{where}: does not continue the chain"
        if chain_hash(previous, body(msgspec.structs.replace(event, hash=b""))) != event.hash:
            return f"{where}: is not what was hashed"
        if event.order_id:
            if event.order_seq != orders.get(event.order_id, 0) + 1:
                return f"{where}: order {event.order_id} goes from {orders.get(event.order_id, 0)} to {event.order_seq}"
            orders[event.order_id] = event.order_seq
        previous, seq = event.hash, event.account_seq
    return None
