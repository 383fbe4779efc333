"""The exchange proper: accounts, orders, fees and trades over the books of all symbols of one venue.

No I/O, no clock: times (milliseconds) are handed in, and what others must hear of is told to a `Listener` as it happens. Rules:

* What an order may cost at most is locked before it is accepted; what it did not need is released when it ends.
* A fee is taken from what its payer receives, truncated to 1e-8.
* A client order id is accepted once for ever per account. (Binance itself lets an id be used again after its order has ended.)
* Whatever happens, the ledger conserves each asset, and what is locked is the sum over open orders (`conserved`).
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from connectors.simulator.amounts import SCALE, notional
from connectors.simulator.ledger import InsufficientFunds, Ledger
from connectors.simulator.matching import Book, Direction, Fill, Level, Resting
from connectors.simulator.rules import DUPLICATE, INSUFFICIENT, Refusal, Rules

OrderKind = Literal["LIMIT", "MARKET", "LIMIT_MAKER"]
Validity = Literal["GTC", "IOC", "FOK"]
Status = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"]
OPEN = frozenset({"NEW", "PARTIALLY_FILLED"})


class NewOrder(NamedTuple):
    """What a client asks for. `symbol` is the dialect's id; `limit` is None for a market order."""

    symbol: str
    client_id: str
    side: Direction
    kind: OrderKind
    validity: Validity
    quantity: int
    limit: int | None


class Trade(NamedTuple):
    """One client's end of a trade; both ends of a trade between two clients carry the same id."""

    trade_id: int
    order: int
    client_id: str
    side: Direction
    price: int
    quantity: int
    quote: int
    fee: int
    fee_asset: str
    maker: bool
    at: int


class Print(NamedTuple):
    """A public trade."""

    trade_id: int
    price: int
    quantity: int
    taker_side: Direction
    at: int


@dataclass(slots=True)
class Order:
    """An order of a client. `locked` is what is still set aside for it, in quote (buy) or base (sell)."""

    number: int
    account: str
    asked: NewOrder
    rules: Rules
    locked: int
    created: int
    updated: int
    status: Status = "NEW"
    filled: int = 0
    quote: int = 0
    trades: list[Trade] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return self.status in OPEN

    @property
    def locked_asset(self) -> str:
        return self.rules.quote if self.asked.side == "BUY" else self.rules.base


@dataclass(slots=True)
class Market:
    """A symbol's book and its public record. `update_id` counts the changes of levels from `first` on, so it never has a gap."""

    rules: Rules
    first: int
    numbers: Callable[[], int]
    book: Book = field(default_factory=Book)
    prints: list[Print] = field(default_factory=list)

    @property
    def update_id(self) -> int:
        return self.first + self.book.bids.changes + self.book.asks.changes


class Listener(Protocol):
    """Who hears of what happens, in the order it happens."""

    def report(self, order: Order, what: str, trade: Trade | None, cancel_id: str) -> None:
        """An order became NEW, had a TRADE, was CANCELED (by `cancel_id`) or EXPIRED; `order` stands as of then."""

    def balances(self, account: str, changed: Mapping[str, tuple[int, int]], at: int) -> None:
        """After all reports of one event: asset -> (free, locked)."""

    def printed(self, market: Market, public: Print) -> None:
        """A public trade."""

    def moved(self, market: Market) -> None:
        """The book changed."""


MAX_PRINTS = 1000


class Exchange:
    """One venue. Fees are rates in 1e-8. Requests raise `Refusal`, and then nothing happened.

    Orders, trades and updates are numbered from `first` on: a venue that starts again must not give numbers a second time.
    """

    def __init__(
        self, rules: Iterable[Rules], maker_fee: int, taker_fee: int, listener: Listener, first: int = 1
    ) -> None:
        self.maker_fee, self.taker_fee = maker_fee, taker_fee
        self.markets = {r.id: Market(r, first, itertools.count(first).__next__) for r in rules}
        self.ledger = Ledger()
        self.orders: dict[int, Order] = {}
        self.accepted: Counter[str] = Counter()
        self.open: dict[int, Order] = {}
        self._by_client: dict[tuple[str, str], Order] = {}
        self._by_account: dict[str, list[Order]] = defaultdict(list)
        self._numbers = itertools.count(first)
        self._listener = listener

    def market(self, symbol: str) -> Market:
        """The market of the dialect's id."""
        found = self.markets.get(symbol)
        if found is None:
            raise Refusal(-1121, "Invalid symbol.")
        return found

    # ---- what clients ask

    def place(self, account: str, asked: NewOrder, at: int) -> Order:
        """Accept an order, match it, and rest or end what remains."""
        market = self.market(asked.symbol)
        book, rules = market.book, market.rules
        best = book.against(asked.side).best()
        rules.check(asked.limit, asked.quantity, best[0] if best else None)
        if (account, asked.client_id) in self._by_client:
            raise Refusal(-2010, DUPLICATE)
        if asked.kind == "LIMIT_MAKER" and asked.limit is not None and book.would_take(asked.side, asked.limit):
            raise Refusal(-2010, "Order would immediately match and take.")
        kill = asked.validity == "FOK" and book.available(asked.side, asked.limit, asked.quantity) < asked.quantity
        order = Order(next(self._numbers), account, asked, rules, self._cost(book, asked), at, at)
        try:
            self.ledger.lock(account, order.locked_asset, order.locked)
        except InsufficientFunds:
            raise Refusal(-2010, INSUFFICIENT) from None
        self.accepted[asked.client_id] += 1
        self.orders[order.number] = self.open[order.number] = self._by_client[account, asked.client_id] = order
        self._by_account[account].append(order)
        self._listener.report(order, "NEW", None, "")
        incoming = Resting(order.number, asked.side, asked.limit, asked.quantity)
        if not kill:
            self._settle(market, book.take(incoming), at)
        if incoming.quantity:
            if asked.kind != "MARKET" and asked.validity == "GTC":
                book.rest(incoming)
            else:
                self._end(order, "EXPIRED", at)
        self._tell(market, at)
        return order

    def cancel(self, order: Order, cancel_id: str, at: int) -> None:
        """Take an open order out of the book."""
        if not order.open:
            raise Refusal(-2011, "Unknown order sent.")
        market = self.markets[order.rules.id]
        market.book.cancel(order.number)
        self._end(order, "CANCELED", at, cancel_id)
        self._tell(market, at)

    def find(self, account: str, symbol: str, number: int | None, client_id: str | None) -> Order | None:
        """An order of the account by its number or its client id; both, when both are given."""
        self.market(symbol)
        order = self.orders.get(number) if number is not None else self._by_client.get((account, client_id or ""))
        if order is None or order.account != account or order.rules.id != symbol:
            return None
        return None if client_id and order.asked.client_id != client_id else order

    def orders_of(self, account: str, symbol: str | None = None) -> list[Order]:
        """All orders of the account, oldest first."""
        return [o for o in self._by_account[account] if symbol is None or o.rules.id == symbol]

    def open_of(self, account: str, symbol: str | None = None) -> list[Order]:
        """The open ones, oldest first."""
        return [o for o in self.open.values() if o.account == account and (symbol is None or o.rules.id == symbol)]

    # ---- what the world does

    def show(self, market: Market, bids: Iterable[Level], asks: Iterable[Level], at: int, whole: bool = False) -> None:
        """Displayed levels change (0 removes one), or are replaced when `whole`."""
        fills = (market.book.show_all if whole else market.book.show)(bids, asks)
        self._settle(market, fills, at)
        self._tell(market, at)

    def printed(self, market: Market, price: int, quantity: int, taker_side: Direction, at: int) -> None:
        """A trade outside: what our clients' orders do not take of it is printed as it is."""
        fills = market.book.printed(price, quantity, taker_side)
        self._settle(market, fills, at)
        if rest := quantity - sum(f.quantity for f in fills):
            self._print(market, Print(market.numbers(), price, rest, taker_side, at))
        if fills:
            self._tell(market, at)

    # ---- the books' keeping

    def _cost(self, book: Book, asked: NewOrder) -> int:
        """What an order can cost at most."""
        if asked.side == "SELL":
            return asked.quantity
        if asked.limit is not None:
            return notional(asked.limit, asked.quantity)
        return sum(notional(price, part) for price, part in book.plan("BUY", None, asked.quantity))

    def _settle(self, market: Market, fills: Iterable[Fill], at: int) -> None:
        """Move money for fills that the book has made, and say so."""
        ledger, rules = self.ledger, market.rules
        for fill in fills:
            trade_id, quote = market.numbers(), notional(fill.price, fill.quantity)
            taker = None if fill.taker is None else self.orders[fill.taker]
            maker = None if fill.maker is None else self.orders[fill.maker]
            buyer, seller = (taker, maker) if fill.taker_side == "BUY" else (maker, taker)
            ledger.pay(buyer.account if buyer else None, rules.quote, quote)
            ledger.pay(seller.account if seller else None, rules.base, fill.quantity)
            for order, paid, asset, gained in (
                (buyer, quote, rules.base, fill.quantity),
                (seller, fill.quantity, rules.quote, quote),
            ):
                if order is None:
                    ledger.receive(None, asset, gained, 0)
                    continue
                is_maker = order is maker
                fee = gained * (self.maker_fee if is_maker else self.taker_fee) // SCALE
                ledger.receive(order.account, asset, gained, fee)
                order.locked -= paid
                side: Direction = "BUY" if order is buyer else "SELL"
                client_id, price, quantity = order.asked.client_id, fill.price, fill.quantity
                self._filled(
                    order,
                    Trade(trade_id, order.number, client_id, side, price, quantity, quote, fee, asset, is_maker, at),
                )
            self._print(market, Print(trade_id, fill.price, fill.quantity, fill.taker_side, at))

    def _filled(self, order: Order, trade: Trade) -> None:
        order.trades.append(trade)
        order.filled += trade.quantity
        order.quote += trade.quote
        order.updated = trade.at
        order.status = "FILLED" if order.filled == order.asked.quantity else "PARTIALLY_FILLED"
        if order.status == "FILLED":
            self._close(order)
        self._listener.report(order, "TRADE", trade, "")

    def _end(self, order: Order, status: Literal["CANCELED", "EXPIRED"], at: int, cancel_id: str = "") -> None:
        order.status, order.updated = status, at
        self._close(order)
        self._listener.report(order, status, None, cancel_id)

    def _close(self, order: Order) -> None:
        self.ledger.release(order.account, order.locked_asset, order.locked)
        order.locked = 0
        del self.open[order.number]

    def _print(self, market: Market, public: Print) -> None:
        market.prints.append(public)
        if len(market.prints) > 2 * MAX_PRINTS:
            del market.prints[:-MAX_PRINTS]
        self._listener.printed(market, public)

    def _tell(self, market: Market, at: int) -> None:
        ledger = self.ledger
        if ledger.touched:
            changed: dict[str, dict[str, tuple[int, int]]] = {}
            for account, asset in sorted(ledger.touched):
                key = account, asset
                changed.setdefault(account, {})[asset] = (ledger.free[key], ledger.locked[key])
            ledger.touched.clear()
            for account, assets in changed.items():
                self._listener.balances(account, assets, at)
        self._listener.moved(market)

    def conserved(self) -> bool:
        """Whether all money is accounted for, and what is locked is what open orders need."""
        needed: dict[tuple[str, str], int] = defaultdict(int)
        for order in self.open.values():
            needed[order.account, order.locked_asset] += order.locked
        ledger = self.ledger
        return (
            ledger.conserved()
            and all(amount >= 0 for amount in ledger.free.values())
            and all(amount == needed[key] for key, amount in ledger.locked.items())
            and all(amount == ledger.locked[key] for key, amount in list(needed.items()))
        )
