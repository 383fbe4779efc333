"""One side of every venue's book of a symbol, as an order finds it, kept from one order to the next.

Most orders take a part of the best level of one venue, and between two orders few venues change. So what does not depend on the order is
worked out once a change: which venues may be routed to, the best level of each without what earlier plans count on, its all-in price, its
score but for liquidity, and how that is written. `Look` adds what one order needs. Rules:

* a column is only ever a shorter way to what `Lane` says: an order that is more than the best level of a venue holds, or near its limit
  there, is looked at by a `Lane`;
* what is kept is right for a `now` between that of its last look and `until`; `refresh` sees to that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from struct import Struct
from typing import NamedTuple, overload

from schemas.binary import money, str_
from streams.domain.book import Book, Depth, Ladder, Pair
from streams.domain.consolidated import Taken
from streams.domain.money import SCALE
from streams.domain.splitting import Lane
from streams.domain.terms import FOR_EVER, RoutingSettings, Terms, refusal

FAR = 1 << 80  # beyond any price


class Market(NamedTuple):
    """One venue as a request finds it. `net`: the side of its book that an order takes from, without what earlier plans count on."""

    terms: Terms
    book: Book | None
    net: Depth | None = None


class Fronts(Sequence[Market]):
    """The venues of a symbol, by name, to orders of one side.

    By venue: `terms`, `books`, `takens` (what plans took there; `None` where `nets` already says what is left), and `refused`, why no order may
    go there. By eligible venue: `at` is its number among all; `tops` the price of its best level, `holds` the quantity, or, where that is less
    than a lot of all, the price of the first level with which a lot is there, the quantity up to it, and in `gaps` how much less than at that
    price all up to it is worth (1e-16); `gapped`: those that have such a gap; `averages` the all-in price at the top, `keys` its effective
    price, the cheapest first; `rates` and `ranks` are one plus or minus fee, and fee and penalty, less than zero for a buy: what they are
    multiplied with is the better the larger. For an order that a venue takes whole `totals` is the score, when the best price is `scored`, and
    `pieces` the encoding of its `Candidate` up to the quantity; `heads`, `marks` and `tails` are what that is made of.
    `lot`: that of all, 0 where they differ; `roomy`: what all accept as one child; `tick`: the largest.
    """

    __slots__ = (
        "_now",
        "_number",
        "asks",
        "at",
        "averages",
        "bids",
        "books",
        "buy",
        "depths",
        "gapped",
        "gaps",
        "heads",
        "holds",
        "keys",
        "lot",
        "marks",
        "nets",
        "pieces",
        "ranks",
        "rates",
        "refused",
        "roomy",
        "scored",
        "settings",
        "slots",
        "tails",
        "takens",
        "terms",
        "tick",
        "tops",
        "totals",
        "until",
    )

    def __init__(self, buy: bool, settings: RoutingSettings) -> None:
        self.buy, self.settings = buy, settings
        self.terms: list[Terms] = []
        self.books: list[Book | None] = []
        self.takens: list[Taken | None] = []
        self.nets: list[Depth | None] = []
        self._number: dict[str, int] = {}
        self.until = self._now = 0
        self._line_up(0)

    @classmethod
    def of(cls, markets: Iterable[Market], buy: bool, settings: RoutingSettings, now: int) -> Fronts:
        """Of markets that nobody keeps."""
        if isinstance(markets, Fronts) and markets.buy is buy and markets.settings is settings:
            return markets
        made = cls(buy, settings)
        for market in markets:
            made.terms.append(market.terms)
            made.books.append(market.book)
            made.takens.append(None)
            made.nets.append(market.net)
        made._line_up(now)
        return made

    # ---- all venues

    def __len__(self) -> int:
        return len(self.terms)

    @overload
    def __getitem__(self, index: int) -> Market: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Market]: ...
    def __getitem__(self, index: int | slice) -> Market | Sequence[Market]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        return Market(self.terms[index], self.books[index], self.net(index))

    def __iter__(self) -> Iterator[Market]:
        return (self[n] for n in range(len(self.terms)))

    def net(self, n: int) -> Depth | None:
        """The side of venue `n` without what plans took, if they took anything."""
        taken, book = self.takens[n], self.books[n]
        if taken is None or book is None:
            return self.nets[n]
        return taken.net(book, self.buy, taken.gone) if taken.gone else None

    def depth(self, k: int) -> Depth:
        """Eligible venue `k`'s side, added up."""
        depth = self.depths[k]
        if depth is None:
            n = self.at[k]
            depth, book = self.net(n), self.books[n]
            if depth is None:
                depth = book.depth(self.buy) if book is not None else Depth(Ladder(bids=True))
            self.depths[k] = depth
        return depth

    def lane(self, k: int, wanted: int, limit: int) -> Lane:
        """What eligible venue `k` offers an order."""
        n = self.at[k]
        lane, book = Lane(self.terms[n], self.buy, limit), self.books[n]
        if book is not None:
            lane.offer(book, self.net(n), wanted)
        return lane

    # ---- changes

    def renew(
        self,
        venues: Iterable[str],
        terms: list[Terms],
        books: list[Book | None],
        takens: list[Taken | None],
        now: int,
    ) -> None:
        """All is looked at anew."""
        self._number = {name: n for n, name in enumerate(venues)}
        self.terms, self.books, self.takens, self.nets = terms, books, takens, [None] * len(terms)
        self._line_up(now)

    def refresh(self, changed: Collection[str], now: int) -> None:
        """The books of these venues changed, or what plans took there; and time went on."""
        if now > self.until or now < self._now:
            self._line_up(now)
            return
        self._now, age = now, self.settings.book_age_us
        for name in changed:
            n = self._number[name]
            book, slot = self.books[n], self.slots[n]
            if book is not None and now <= book.received_at + age < self.until:
                self.until = book.received_at + age
            if slot >= 0 and book is not None and book.live and not book.crossed and now <= book.received_at + age:
                self._measure(slot, n, book)
                continue
            self.refused[n] = refusal(self.terms[n], book, self.settings, now)
            if bool(self.refused[n]) is (slot >= 0):
                self._line_up(now)
                return

    def _line_up(self, now: int) -> None:
        """Which venues are eligible, and their columns."""
        self.refused = [refusal(of, book, self.settings, now) for of, book in zip(self.terms, self.books, strict=True)]
        self.at = [n for n, why in enumerate(self.refused) if not why]
        self.slots = [-1] * len(self.terms)
        for k, n in enumerate(self.at):
            self.slots[n] = k
        eligible = [self.terms[n] for n in self.at]
        lots = {of.lot for of in eligible}
        self.lot = lots.pop() if len(lots) == 1 else 0
        self.roomy = min((of.most for of in eligible), default=0)
        self.tick = max((of.tick for of in eligible), default=1)
        self._now = now
        # when one of them will be refused, or for another reason
        age = self.settings.book_age_us
        times = [of.until for of in self.terms] + [book.received_at + age for book in self.books if book is not None]
        self.until = min((time for time in times if time >= now), default=FOR_EVER)
        count, score = len(eligible), self.settings.score
        self.tops, self.holds, self.averages = [0] * count, [-2] * count, [0] * count
        self.gaps, self.gapped = [0] * count, set[int]()
        self.keys, self.bids, self.asks = [FAR] * count, [0] * count, [FAR] * count
        self.rates = [-of.buy_rate if self.buy else of.sell_rate for of in eligible]
        self.ranks = [-of.buy_ranked if self.buy else of.sell_ranked for of in eligible]
        self.heads = [str_(of.venue) + b"\1\0" for of in eligible]
        self.marks = [of.latency * score.latency + of.reliability * score.reliability for of in eligible]
        self.tails = [money(of.latency) + money(of.reliability) for of in eligible]
        self.scored = -1
        self.totals, self.pieces = [0] * count, [b""] * count
        self.depths: list[Depth | None] = [None] * count
        for k, n in enumerate(self.at):
            if (book := self.books[n]) is not None:
                self._measure(k, n, book)

    def _measure(self, k: int, n: int, book: Book) -> None:
        bid, ask = book.bid, book.ask
        self.bids[k], self.asks[k] = bid[0] if bid else 0, ask[0] if ask else FAR
        self.depths[k] = None
        best, taken = ask if self.buy else bid, self.takens[n]
        if best is None:
            top, there = 0, -1
        elif taken is not None and best[0] not in taken.gone:
            top, there = best
        else:
            top, there = self._left(k, best)
        if k in self.gapped:
            self.gaps[k] = 0
            self.gapped.remove(k)
        if 0 < there < self.lot:
            depth = self.depth(k)
            depth.cover(self.lot, FAR if self.buy else 0, self.buy)
            reach = depth.reach
            if reach[-1] >= self.lot:
                first = bisect_left(reach, self.lot)
                top, there = depth.prices[first], reach[first]
                self.gaps[k] = top * reach[first - 1] - depth.worth[first - 1]
                self.gapped.add(k)
        self.holds[k] = there
        if there <= 0:
            # it has nothing, so its price does not matter; no limit keeps others from being looked at for it
            self.tops[k], self.averages[k], self.keys[k] = 0 if self.buy else FAR, 0, FAR
        elif top != self.tops[k]:
            self.tops[k] = top
            self.averages[k] = abs(top * self.rates[k] // SCALE)
            self.keys[k] = -top * self.ranks[k]
            if self.scored >= 0:
                self._score(k)

    def _left(self, k: int, best: Pair) -> Pair:
        """The best level that plans left something of."""
        n, price = self.at[k], best[0]
        taken = self.takens[n]
        if taken is None:
            if self.nets[n] is None:
                return best
        elif (left := best[1] - taken.gone[price]) > 0:
            return price, left
        depth = self.depth(k)  # kept: orders that want more of the venue go on from there
        depth.cover(1, FAR if self.buy else 0, self.buy)
        return (depth.prices[0], depth.reach[0]) if depth.reach else (0, -1)

    # ---- scores

    def score(self, best: int) -> None:
        """The best all-in price is another now."""
        self.scored = best
        for k in range(len(self.at)):
            self._score(k)

    def _score(self, k: int) -> None:
        settings, price, best = self.settings.score, self.averages[k], self.scored
        near = best * settings.price_half
        p = near * SCALE // (near + abs(price - best) * SCALE) if price else 0
        self.totals[k] = total = (p * settings.price + self.marks[k] + SCALE * settings.liquidity) // SCALE
        self.pieces[k] = self.heads[k] + amounts(total, p) + self.tails[k] + _WHOLE + money(price)


# the score of a venue's liquidity to an order that it takes whole, and that a price follows
_WHOLE = money(SCALE) + b"\2"
_FOUR_BYTES = 1 << 23  # from here to 1 (and up to twenty times that) money is four bytes
_pair = Struct(">BIBI").pack


def amounts(one: int, other: int) -> bytes:
    """Two scores, encoded: as good as always four bytes each."""
    if one >= _FOUR_BYTES <= other:
        return _pair(8, one, 8, other)
    return money(one) + money(other)
