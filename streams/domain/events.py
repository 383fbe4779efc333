"""Identities and the hash chain of the event log: what makes a replay give the same log, and tampering show.

Rules:

* an order's key follows from its account and client order id, so that a repeat finds the first order; it is 20 characters of `[a-z2-7]`. The
  order's id begins with its key. When orders are forgotten after their retention, their partition enters a new era, whose number the ids of
  later orders end with: a client order id that is used again names another order, with other children at the venues, for good;
* ids are short enough that a child's id made from one fits every venue's client order id;
* an event's hash is SHA-256 over the previous event's hash and the event's own Avro body with `hash` empty; the body comes
  from the caller, so that this module knows no codec.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from schemas.records import OrderEvent

Body = Callable[[OrderEvent], bytes]
"""The Avro body of an event, without the registry's frame."""


def _short(kind: str, account_id: str, key: str) -> str:
    # The length says where the account ends: no two pairs give one text.
    text = f"{kind}:{len(account_id)}:{account_id}{key}"
    digits = int.from_bytes(hashlib.sha256(text.encode()).digest()[:13], "big") >> 4  # 100 bits: ten times ten
    # Written out, in halves that fit a machine word: every order pays for it.
    a, b, two = digits >> 50, digits & _HALF, _TWO
    return (
        f"{two[a >> 40]}{two[a >> 30 & 1023]}{two[a >> 20 & 1023]}{two[a >> 10 & 1023]}{two[a & 1023]}"
        f"{two[b >> 40]}{two[b >> 30 & 1023]}{two[b >> 20 & 1023]}{two[b >> 10 & 1023]}{two[b & 1023]}"
    )


_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_TWO = tuple(a + b for a in _ALPHABET for b in _ALPHABET)  # base 32, two digits at once
_KEY = 20
_HALF = (1 << 50) - 1


@lru_cache(maxsize=1 << 14)  # asked for the same order by each who looks at its command
def _key_of(account_id: str, client_order_id: str) -> str:
    return _short("order", account_id, client_order_id)


def order_id_of(account_id: str, client_order_id: str, era: int = 0) -> str:
    """The id of the order that `account_id` calls `client_order_id`, placed in this era. In era 0 it is the order's key."""
    key = _key_of(account_id, client_order_id)
    return key + _digits(era) if era else key


def order_key(order_id: str) -> str:
    """The key of an order: what it is kept under, and found by its client order id."""
    return order_id[:_KEY]


def _digits(number: int) -> str:
    found = ""
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        found = _ALPHABET[digit] + found
    return found


def transfer_key(account_id: str, transfer_id: str) -> str:
    """The key under which a transfer is remembered."""
    return _short("transfer", account_id, transfer_id)


def fill_id(venue: str, symbol: str, trade_id: str) -> str:
    """The name of a venue's trade."""
    return f"{venue}:{symbol}:{trade_id}"


def chain_hash(previous: bytes, body: bytes) -> bytes:
    """The hash of an event whose body with `hash` empty is `body`."""
    return hashlib.sha256(previous + body).digest()


def sealed(event: OrderEvent, body: Body) -> tuple[bytes, bytes]:
    """The event's hash, and its body with that. `event.hash` must be empty."""
    empty = body(event)
    digest = chain_hash(event.previous_hash, empty)
    if event.stop_price is event.scheduled_at is event.expires_at is None:
        # The hash is followed by these three, a zero byte each: no need to write everything else a second time.
        return digest, b"".join((empty[:-4], _DIGEST, digest, _NOTHING))
    return digest, body(msgspec.structs.replace(event, hash=digest))


_DIGEST, _NOTHING = b"\x40", b"\0\0\0"  # the length of a hash, in Avro; three absent fields


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
