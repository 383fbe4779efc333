"""What the accounts agent does beside deciding: it forgets what has been over for long, and takes a cancel of a symbol to every account.

Rules:

* an order and its client order id are kept for their retention after the order's end, a transfer id after the transfer. What ended in a batch
  is one page, the pages of a thousandth of the retention have one timer: so there are never more than a thousand timers. In a transaction at
  most `MOST` are forgotten;
* forgetting orders begins a new era where one of them may be of the present one: see `streams.domain.events`;
* the accounts that ever had an open order of a symbol are listed, so that a sweep finds them without looking at all others;
* a sweep is one command, passed on to every partition in the transaction that answers it. A partition goes through the symbol's accounts
  page by page, by timers: a restart goes on where it was, and no account is swept twice. What was accepted after the sweep
  came to the partition is not cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.records import CancelAll, ClientId, OpenOrders, OrderRecord
from streams.domain.events import order_key
from streams.domain.limits import EVERYBODY
from streams.engine.agent import Context, Message, Table

FORGET, SWEEP = "forget", "sweep"  # what the timers' keys begin with
SWEEPS = "orders.sweeps"
ORDER, TRANSFER = "order", "transfer"
TRADERS_PAGE = 256
MOST = 5_000

OVER = Table("over", OpenOrders)  # key: ORDER or TRANSFER, when it is forgotten, number
PAGES = Table(
    "over-pages", int
)  # the first two of these -> how many pages there are; with LAST, when the last was written
LAST = "last"
ERA = Table("era", int)  # NUMBER -> the era; SINCE -> when it began
TRADERS = Table("traders", OpenOrders)  # key: symbol, number; holds ids of accounts
TRADED = Table("traded", int)  # symbol -> how many accounts are listed
NUMBER, SINCE = "number", "since"


def era(ctx: Context) -> int:
    """The partition's era."""
    return ctx.table(ERA).get(NUMBER) or 0


# ---- retention


def over(ctx: Context, what: str, ids: Sequence[str], retention: int) -> None:
    """These ended now: forget them once their retention (microseconds) is over, or a thousandth of it later."""
    if not ids:
        return
    counts, grain = ctx.table(PAGES), max(retention // 1000, 1)
    bucket = f"{what}|{-(-(ctx.now + retention) // grain) * grain}"
    count = counts.get(bucket) or 0
    if not count:
        ctx.set_timer(f"{FORGET}|{bucket}", int(bucket.partition("|")[2]))
    ctx.table(OVER)[f"{bucket}|{count}"] = OpenOrders(order_ids=tuple(ids))
    counts[bucket], counts[f"{bucket}|{LAST}"] = count + 1, ctx.now


def forget(ctx: Context, key: str, room: int, orders: Table[OrderRecord], taken: Table[ClientId]) -> int:
    """Forget up to `room` of what the timer `key` is about; how many. The rest waits for the next transaction."""
    bucket = key.partition("|")[2]
    of_orders = bucket.partition("|")[0] == ORDER
    counts, pages = ctx.table(PAGES), ctx.table(OVER)
    count, done = counts.get(bucket) or 0, 0
    if of_orders:
        _new_era(ctx, counts.get(f"{bucket}|{LAST}") or 0)
    while count and done < room:
        page = pages.get(f"{bucket}|{count - 1}")
        ids = page.order_ids if page is not None else ()
        now, later = ids[: room - done], ids[room - done :]
        if of_orders:
            table = ctx.table(orders)
            for order_id in now:
                del table[order_key(order_id)]
        else:
            transfers = ctx.table(taken)
            for transfer in now:
                del transfers[transfer]
        done += len(now)
        if later:
            pages[f"{bucket}|{count - 1}"] = OpenOrders(order_ids=later)
        else:
            count -= 1
            del pages[f"{bucket}|{count}"]
    if count:
        counts[bucket] = count
        ctx.set_timer(key, ctx.now)
    else:
        del counts[bucket]
        del counts[f"{bucket}|{LAST}"]
    return done


def _new_era(ctx: Context, ended: int) -> None:
    eras = ctx.table(ERA)
    if (eras.get(SINCE) or 0) <= ended:  # an order that ended then may be of this era
        eras[NUMBER], eras[SINCE] = era(ctx) + 1, ctx.now


# ---- sweeps


def traders(ctx: Context, account_id: str, symbols: Sequence[str]) -> None:
    """The account trades these symbols too."""
    counts, pages = ctx.table(TRADED), ctx.table(TRADERS)
    for symbol in symbols:
        count = counts.get(symbol) or 0
        key = _page(symbol, count // TRADERS_PAGE)
        page = pages.get(key)
        pages[key] = OpenOrders(order_ids=(*(page.order_ids if page is not None else ()), account_id))
        counts[symbol] = count + 1


def pass_on(ctx: Context, command: CancelAll) -> None:
    """Send a sweep to every partition."""
    for partition in range(ctx.partitions(SWEEPS)):
        ctx.send(SWEEPS, command.symbol or "", command, partition=partition)


def begin(ctx: Context, message: Message) -> None:
    """A sweep has come to this partition."""
    command = message.record
    if command.account_id != EVERYBODY or not command.symbol:
        ctx.dead_letter(message, "NO_SWEEP", "a sweep is of one symbol and all accounts")
    elif ctx.table(TRADED).get(command.symbol):
        ctx.set_timer(f"{SWEEP}|{message.offset}|{ctx.now}|0|{command.symbol}", ctx.now)


def go_on(ctx: Context, key: str, sweep: Callable[[str, str, int, int], None]) -> None:
    """The next page of a sweep. `sweep` does one account: its id, the symbol, until when accepted, the offset of the sweep."""
    _, offset, by, number, symbol = key.split("|", 4)
    page = ctx.table(TRADERS).get(_page(symbol, int(number)))
    for account_id in page.order_ids if page is not None else ():
        sweep(account_id, symbol, int(by), int(offset))
    if (int(number) + 1) * TRADERS_PAGE < (ctx.table(TRADED).get(symbol) or 0):
        ctx.set_timer(f"{SWEEP}|{offset}|{by}|{int(number) + 1}|{symbol}", ctx.now)


def _page(symbol: str, number: int) -> str:
    return f"{symbol}|{number}"
