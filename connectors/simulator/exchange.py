"""The exchange proper: accounts, orders, fees and trades over the books of all symbols of one venue.

No I/O, no clock: times (milliseconds) are handed in, and what others must hear of is told to a `Listener` as it happens. Rules:

* What an order may cost at most is locked before it is accepted; what it did not need is released when it ends.
* A fee is taken from what its payer receives, or (`fees_in_quote`) in quote: then a buyer pays it beside the price, and it is locked
  with it. It is truncated to 1e-8.
* A client order id is accepted once for ever per account. (Binance itself lets an id be used again after its order has ended.)
* Whatever happens, the ledger conserves each asset, and what is locked is the sum over open orders (`conserved`).
* What has happened is told to `remember` as one row of facts before anybody else can hear of it (`connectors.simulator.memory`).
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """One client's end of a trade; both ends of a trade between two clients carry the same id, or each its own (`Exchange.ids_by_end`)."""

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
    def fees(self) -> int:
        """All that its trades were charged, in the asset that they name."""
        return sum(trade.fee for trade in self.trades)

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


Fact = tuple[str | int | None, ...]
Remember = Callable[[Sequence[Fact]], None]
MAX_PRINTS = 1000


class Exchange:
    """One venue. Fees are rates in 1e-8. Requests raise `Refusal`, and then nothing happened.

    Orders, trades and updates are numbered from `first` on: a venue that starts again must not give numbers a second time.
    """

    def __init__(
        self,
        rules: Iterable[Rules],
        maker_fee: int,
        taker_fee: int,
        listener: Listener,
        first: int = 1,
        fees_in_quote: bool = False,
        ids_by_end: bool = False,
    ) -> None:
        self.maker_fee, self.taker_fee, self.fees_in_quote = maker_fee, taker_fee, fees_in_quote
        # Each end of a trade between two clients has an id of its own then, the maker's the next one.
        self.ids_by_end = ids_by_end
        # Of all symbols: where trades are asked for by their ids alone, none has another's.
        trades = itertools.count(first).__next__
        self.markets = {r.id: Market(r, first, trades) for r in rules}
        self.ledger = Ledger()
        self.orders: dict[int, Order] = {}
        self.accepted: Counter[str] = Counter()
        self.open: dict[int, Order] = {}
        self._by_client: dict[tuple[str, str], Order] = {}
        self._by_account: dict[str, list[Order]] = defaultdict(list)
        self._numbers = itertools.count(first)
        self._listener = listener
        self._overtaken = False
        self._facts: list[Fact] = []
        self.remember: Remember | None = None

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
        if self._overtaken and asked.limit is not None:
            self._overtaken = False
            for price, quantity in book.outrun(asked.side, asked.limit, asked.quantity, rules.lot):
                self._print(market, Print(market.numbers(), price, quantity, asked.side, at))
        best = book.against(asked.side).best()
        rules.check(asked.limit, asked.quantity, best[0] if best else None)
        if (account, asked.client_id) in self._by_client:
            raise Refusal(-2010, DUPLICATE)
        if asked.kind == "LIMIT_MAKER" and asked.limit is not None and book.would_take(asked.side, asked.limit):
            raise Refusal(-2010, "Order would immediately match and take.")
        kill = asked.validity == "FOK" and book.available(asked.side, asked.limit, asked.quantity) < asked.quantity
        order = Order(next(self._numbers), account, asked, rules, self._cost(book, asked), at, at)
        try:
            self._accept(order)
        except InsufficientFunds:
            raise Refusal(-2010, INSUFFICIENT) from None
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

    def overtake(self) -> None:
        """The next order with a limit finds that another trader was faster: half of what it could have had is all that is left."""
        self._overtaken = True

    # ---- what the world does

    def fund(self, account: str, asset: str, amount: int, at: int) -> None:
        """Its owner brings money, or (negative) takes it out. Raises `InsufficientFunds`, and then nothing happened."""
        if amount < 0:
            self.ledger.withdraw(account, asset, -amount)
            self._note("withdrawal", account, asset, -amount)
        else:
            self.ledger.deposit(account, asset, amount)
            self._note("deposit", account, asset, amount)
        self._told(at)

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
            worth = notional(asked.limit, asked.quantity)
        else:
            worth = sum(notional(price, part) for price, part in book.plan("BUY", None, asked.quantity))
        return worth + (worth * max(self.maker_fee, self.taker_fee) // SCALE if self.fees_in_quote else 0)

    def _accept(self, order: Order) -> None:
        """Raises `InsufficientFunds`, and then nothing happened."""
        account, asked = order.account, order.asked
        self.ledger.lock(account, order.locked_asset, order.locked)
        self.accepted[asked.client_id] += 1
        self.orders[order.number] = self.open[order.number] = self._by_client[account, asked.client_id] = order
        self._by_account[account].append(order)
        self._note("order", order.number, account, *asked, order.locked, order.created)

    def _settle(self, market: Market, fills: Iterable[Fill], at: int) -> None:
        """Move money for fills that the book has made, and say so."""
        for fill in fills:
            quote = notional(fill.price, fill.quantity)
            taker_buys = fill.taker_side == "BUY"
            rates = (self.taker_fee, self.maker_fee) if taker_buys else (self.maker_fee, self.taker_fee)
            fees = (quote if self.fees_in_quote else fill.quantity) * rates[0] // SCALE, quote * rates[1] // SCALE
            trade_id = market.numbers()
            if self.ids_by_end and fill.taker is not None and fill.maker is not None:
                market.numbers()
            self._trade(market, fill, trade_id, fees, at)

    def _trade(self, market: Market, fill: Fill, trade_id: int, fees: tuple[int, int], at: int) -> None:
        """One fill; `fees` of buyer and seller, where they are clients."""
        ledger, rules, quote = self.ledger, market.rules, notional(fill.price, fill.quantity)
        self._note("trade", trade_id, rules.id, *fill, *fees, at)
        taker = None if fill.taker is None else self.orders[fill.taker]
        maker = None if fill.maker is None else self.orders[fill.maker]
        buyer, seller = (taker, maker) if fill.taker_side == "BUY" else (maker, taker)
        beside = fees[0] if self.fees_in_quote and buyer else 0  # what the buyer pays beside the price
        within = fees[0] - beside if buyer else 0
        ledger.pay(buyer.account if buyer else None, rules.quote, quote, beside)
        ledger.pay(seller.account if seller else None, rules.base, fill.quantity)
        ledger.receive(buyer.account if buyer else None, rules.base, fill.quantity, within)
        ledger.receive(seller.account if seller else None, rules.quote, quote, fees[1] if seller else 0)
        for order, paid, fee, asset in (
            (buyer, quote + beside, fees[0], rules.quote if self.fees_in_quote else rules.base),
            (seller, fill.quantity, fees[1], rules.quote),
        ):
            if order is not None:
                order.locked -= paid
                number, asked = order.number, order.asked
                mine = trade_id + (self.ids_by_end and order is maker and taker is not None)
                row = (mine, number, asked.client_id, asked.side, fill.price, fill.quantity, quote)
                self._filled(order, Trade(*row, fee, asset, order is maker, at))
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
        self._note("end", order.number, status, at)
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

    # ---- memory

    def recall(self, fact: Sequence[str | int | None]) -> None:
        """Let a fact have happened again, as it was; resting orders queue by their numbers. Raises `ValueError`, `KeyError`, `TypeError`."""
        match fact:
            case ["deposit", str(account), str(asset), int(amount)]:
                self.ledger.deposit(account, asset, amount)
            case ["withdrawal", str(account), str(asset), int(amount)]:
                self.ledger.withdraw(account, asset, amount)
            case ["order", int(number), str(account), *asked, int(locked), int(at)]:
                order = NewOrder(*asked)  # type: ignore[arg-type]  # as it was written
                accepted = Order(number, account, order, self.markets[order.symbol].rules, locked, at, at)
                self._accept(accepted)
            case ["trade", int(trade_id), str(symbol), *fill, int(bought), int(sold), int(at)]:
                self._trade(self.markets[symbol], Fill(*fill), trade_id, (bought, sold), at)  # type: ignore[arg-type]
            case ["end", int(number), ("CANCELED" | "EXPIRED") as status, int(at)]:
                self._end(self.orders[number], status, at)
            case _:
                raise ValueError(f"no fact: {fact!r:.200}")

    def resume(self) -> None:
        """After the last fact: what is open rests in the books again."""
        for order in self.open.values():
            asked = order.asked
            rest = Resting(order.number, asked.side, asked.limit, asked.quantity - order.filled)
            self.markets[asked.symbol].book.rest(rest)
        self.ledger.touched.clear()

    def _note(self, *fact: str | int | None) -> None:
        if self.remember is not None:
            self._facts.append(fact)

    def _tell(self, market: Market, at: int) -> None:
        self._told(at)
        self._listener.moved(market)

    def _told(self, at: int) -> None:
        ledger = self.ledger
        if self._facts and self.remember is not None:
            self.remember(self._facts)
            self._facts = []
        if ledger.touched:
            changed: dict[str, dict[str, tuple[int, int]]] = {}
            for account, asset in sorted(ledger.touched):
                key = account, asset
                changed.setdefault(account, {})[asset] = (ledger.free[key], ledger.locked[key])
            ledger.touched.clear()
            for account, assets in changed.items():
                self._listener.balances(account, assets, at)

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
