"""One connection to a venue's public streams, into Kafka: connects, follows every symbol's book, and starts over when anything is amiss.

    WebSocket ─► Exchange.parser ─► Followed.change ────┐
    REST ──────► Exchange.snapshot ─► Follower.snapshot ─► Publisher ─► market.books, market.trades

Rules:

* a socket that ended, says what cannot be read, or is silent for `silence_seconds` is broken: STALE for its symbols first, then a new
  connection after a pause that doubles, with jitter, and is short again once a stream has lived. Where books are joined, so is one that tells
  of no book for `quiet_seconds` while the venue's have moved (`Pulse`); a quiet market is neither;
* a book that is not right is asked for again: by REST where the exchange's books are joined, on the connection where its stream tells them
  whole, by a new connection where it cannot otherwise be had, or did not come;
* a snapshot that does not come by REST ends neither the stream nor the process, only that book stays unknown;
* every `snapshot_seconds` each book is published whole; every `check_seconds` a joined one is compared with the venue's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic

from connectors.feeds.follower import Follower
from connectors.feeds.market import Exchange, Followed, Print
from connectors.feeds.publisher import Publisher
from connectors.feeds.pulse import Look, Pulse
from connectors.feeds.rest import NoSnapshot, Snapshots
from connectors.feeds.socket import Ended, Socket, connect
from schemas.records import BookUpdate, Trade

log = logging.getLogger(__name__)

PINGS = 3  # asked so often in the time after which silence is the end
RENEW_SECONDS = 1.0  # a book is asked for again on its connection at most so often
Tap = Callable[[str, bytes], None]  # venue, a message as it came


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Seconds, unless named otherwise.

    `depth`: levels a side of a published snapshot; `snapshots`: REST snapshots at once, a venue; `prefix` is put before the topics' names.
    `general_silence_seconds`: for venues followed through ccxt, which tells of books and trades only. `per_connection`: symbols a connection, at most; 0 for as many as the exchange takes. Without `diffs` books are published whole every `snapshot_seconds`, and nothing in between:
    for readers that need no more.
    """

    snapshot_seconds: float = 5.0
    silence_seconds: float = 5.0
    quiet_seconds: float = 2.0
    general_silence_seconds: float = 30.0
    check_seconds: float = 300.0
    connect_seconds: float = 5.0
    backoff: float = 0.1
    backoff_max: float = 5.0
    drain_seconds: float = 10.0
    depth: int = 1000
    snapshots: int = 4
    prefix: str = ""
    per_connection: int = 0
    diffs: bool = True


@dataclass(frozen=True, slots=True)
class FeedVenue:
    """A venue to follow: its name, its protocol, where it is, and unified symbols."""

    name: str
    exchange: Exchange
    rest_url: str
    ws_url: str
    symbols: tuple[str, ...]


class Broken(Exception):
    """The stream cannot be followed any further."""


class Feed:
    """Follows symbols of one venue on one connection. `clock` gives int microseconds, `jitter` numbers in [0, 1).

    `snapshots`: for exchanges whose books are joined. `tap` is given each message as it came.
    """

    def __init__(
        self,
        venue: FeedVenue,
        publisher: Publisher,
        snapshots: Snapshots | None,
        clock: Callable[[], int],
        jitter: Callable[[], float],
        settings: FeedSettings,
        tap: Tap | None = None,
    ) -> None:
        self._venue, self._publisher, self._snapshots = venue, publisher, snapshots
        self._clock, self._jitter, self._settings, self._tap = clock, jitter, settings, tap
        exchange = venue.exchange
        self._followers = {s: exchange.follower(venue.name, s, settings.depth, settings.diffs) for s in venue.symbols}
        self._by_id: dict[str, Followed] = {}
        for nth in range(2):  # a second name counts where it is not another symbol's first
            for symbol, follower in self._followers.items():
                for name in exchange.names(symbol)[nth : nth + 1]:
                    self._by_id.setdefault(name, follower)
        self._parse = exchange.parser()
        self._asking: set[Followed] = set()
        self._again: set[Followed] = set()
        self._wrong: dict[Followed, int] = {}
        self._renewed: dict[Followed, float] = {}  # when a book was asked for on the connection, by the loop's clock
        self._unknown_since: dict[Followed, float] = {}
        self._wanted: set[Followed] = set()
        self._group: asyncio.TaskGroup | None = None
        self._heard = 0.0
        self._told = 0.0  # when a book was told of
        self._witness = next(iter(self._followers.values()), None)  # the book that was
        self._pulse = Pulse(settings.quiet_seconds)
        self.connections = self.messages = self.gaps = 0

    @property
    def live(self) -> int:
        """How many books are known."""
        return sum(follower.live for follower in self._followers.values())

    def follower(self, symbol: str) -> Followed:
        """The book of a unified symbol."""
        return self._followers[symbol]

    def lost(self, symbol: str) -> None:
        """Kafka did not take a record of the symbol's book: it must be told again."""
        self._again.add(self._followers[symbol])

    def stale(self) -> None:
        """Publish STALE for every symbol, whatever a predecessor left."""
        for follower in self._followers.values():
            self._publisher.book(follower.stale(self._clock()))

    def retell(self) -> None:
        """Publish each book of which something was lost, as it is now."""
        while self._again:
            follower = self._again.pop()
            self._publish(follower, follower.again(self._clock()) or [follower.stale(self._clock())])

    async def run(self) -> None:
        """Follow the venue until cancelled. STALE has then been given to the publisher for every book that was live."""
        pause = self._settings.backoff
        while True:
            began = monotonic()
            try:
                await self._session()
            except* (Ended, Broken) as errors:
                for error in errors.exceptions:
                    log.warning("%s: %s", self._venue.name, error)
            if monotonic() - began > 2 * self._settings.silence_seconds:
                pause = self._settings.backoff
            await asyncio.sleep(pause * (0.5 + self._jitter()))
            pause = min(pause * 2, self._settings.backoff_max)

    # --- one connection

    async def _session(self) -> None:
        """Connect and follow until the stream breaks, which raises."""
        venue, settings = self._venue, self._settings
        url = venue.exchange.stream_url(venue.ws_url, venue.symbols)
        self._parse = venue.exchange.parser()
        socket = await connect(url, self._take, settings.connect_seconds)
        self.connections += 1
        log.info("%s: connected to %s", venue.name, url)
        try:
            self._heard = now = monotonic()
            self._pulse.begin(now)
            self._unknown_since = dict.fromkeys(self._followers.values(), now)
            self._wanted.clear()
            for message in venue.exchange.hello(venue.symbols):
                socket.send(message)
            async with asyncio.TaskGroup() as group:
                self._group = group
                if self._snapshots is not None and not self._pulse.doubted:
                    for follower in self._followers.values():
                        self._ask(follower)
                group.create_task(self._rounds(socket))
                group.create_task(self._watch(socket))
                await socket.ended
        finally:
            self._group = None
            # First of all: closing may wait for a peer that is gone.
            for follower in self._followers.values():
                self._publish(follower, follower.broken(self._clock()))
            await socket.close()

    async def _watch(self, socket: Socket) -> None:
        """Ask a quiet venue whether it is there. Raises `Broken` when nothing comes."""
        silence, ping = self._settings.silence_seconds, self._venue.exchange.ping
        while True:
            await asyncio.sleep(silence / PINGS)
            if monotonic() - max(self._heard, socket.answered) > silence:
                raise Broken(f"nothing came for {silence} s")
            if ping is not None:
                socket.send(ping)
            elif self._snapshots is not None:  # the others without a ping are never silent
                socket.ping()

    def _take(self, data: bytes) -> None:
        """A message, as it arrives. Raises `Broken`."""
        at = self._clock()
        self._heard = monotonic()
        self.messages += 1
        if self._tap is not None:
            self._tap(self._venue.name, data)
        try:
            found = self._parse(data)
        except ValueError as error:
            raise Broken(f"{error} in {data[:200]!r}") from error
        for symbol_id, said in found:
            follower = self._by_id.get(symbol_id)
            if follower is None:
                raise Broken(f"{symbol_id} was not asked for")
            if isinstance(said, Print):
                self._trade(follower.symbol, said, at)
            else:
                self._change(follower, said, at)

    def _change(self, follower: Followed, said: object, at: int) -> None:
        self._told, self._witness = self._heard, follower
        live = follower.live
        updates = follower.change(said, at)
        if updates:
            self._publish(follower, updates)
        if live and not follower.live:
            self.gaps += 1
            log.warning("%s: a gap in %s", self._venue.name, follower.symbol)
            self._want(follower, self._heard)

    def _trade(self, symbol: str, said: Print, at: int) -> None:
        self._publisher.trade(
            Trade(
                venue=self._venue.name,
                symbol=symbol,
                trade_id=said.trade_id,
                price=said.price,
                quantity=said.quantity,
                side=said.side,
                venue_at=said.venue_at,
                received_at=at,
            )
        )

    def _publish(self, follower: Followed, updates: Iterable[BookUpdate]) -> None:
        for update in updates:
            self._publisher.book(update)
        if follower.mismatches > self._wrong.get(follower, 0):
            self._wrong[follower] = follower.mismatches
            log.error("%s: the book of %s was not the venue's", self._venue.name, follower.symbol)

    # --- whole books

    def _ask(self, follower: Followed) -> None:
        """Ask by REST for the whole book, unless that is under way."""
        if self._group is not None and follower not in self._asking and isinstance(follower, Follower):
            self._asking.add(follower)
            task = self._group.create_task(self._fetch(follower))
            task.add_done_callback(lambda _: self._asking.discard(follower))

    async def _fetch(self, follower: Follower) -> None:
        """Until the book is known; a check's snapshot is asked for once."""
        assert self._snapshots is not None
        pause = self._settings.backoff
        checking = follower.live
        while True:
            try:
                snapshot = await self._snapshots.get(follower.symbol)
            except NoSnapshot as error:
                log.warning("%s: no snapshot of %s: %s", self._venue.name, follower.symbol, error)
                follower.check_off()
            else:
                self._publish(follower, follower.snapshot(snapshot, self._clock()))
            if checking or follower.live:
                return
            await asyncio.sleep(pause * (0.5 + self._jitter()))
            pause = min(pause * 2, self._settings.backoff_max)

    def _feel(self, now: float) -> None:
        """Look whether a stream that says nothing of books is a quiet market's. Raises `Broken` when it is dead."""
        if self._told > self._pulse.last:
            self._pulse.data(self._told)
        look = self._pulse.look(now)
        if look is Look.DEAD:
            raise Broken("the venue's books move, and the stream does not tell")
        if look is Look.ASK and self._group is not None and isinstance(self._witness, Follower):
            self._group.create_task(self._prove(self._witness))

    async def _prove(self, follower: Follower) -> None:
        """Ask the venue where a book is, of which the stream has said nothing for a while."""
        assert self._snapshots is not None
        try:
            async with asyncio.timeout(self._settings.quiet_seconds):
                snapshot = await self._snapshots.get(follower.symbol)
        except (NoSnapshot, TimeoutError) as error:
            log.warning("%s: quiet, and gives no book: %s", self._venue.name, str(error) or "no answer")
            self._pulse.untold(monotonic())
        else:
            self._pulse.told(monotonic(), snapshot.last_id, follower.last_id)

    def _want(self, follower: Followed, now: float) -> None:
        """A book that was known is not any more. Raises `Broken` where only a new connection brings it back."""
        if self._snapshots is not None:
            self._ask(follower)
        elif self._venue.exchange.renew(follower.symbol):
            self._unknown_since[follower] = now
            self._wanted.add(follower)
        else:
            raise Broken(f"{follower.symbol} can be had again by a new connection only")

    def _renew(self, follower: Followed, socket: Socket, now: float) -> None:
        """Ask on the connection for a book that the stream tells whole. Raises `Broken` when it did not come."""
        if now - self._unknown_since[follower] > 2 * self._settings.connect_seconds:
            raise Broken(f"the book of {follower.symbol} did not come")
        if follower in self._wanted and now - self._renewed.get(follower, 0.0) >= RENEW_SECONDS:
            self._wanted.discard(follower)
            self._renewed[follower] = now
            for message in self._venue.exchange.renew(follower.symbol):
                socket.send(message)

    # --- what comes round

    async def _rounds(self, socket: Socket) -> None:
        """Whole books again, and checks, in time. Raises `Broken` when a check shows that the stream is dead."""
        settings = self._settings
        step = min(0.25, settings.snapshot_seconds / 5)
        whole = dict.fromkeys(self._followers.values(), monotonic())
        checked = dict(whole)
        while True:
            await asyncio.sleep(step)
            now = monotonic()
            if self._snapshots is not None:
                self._feel(now)
            for follower in self._followers.values():
                if follower.live and now - whole[follower] >= settings.snapshot_seconds - step:
                    whole[follower] = now
                    self._publish(follower, follower.again(self._clock()))
                    if not follower.live:
                        self._want(follower, now)
                if not isinstance(follower, Follower):
                    if not follower.live:
                        self._renew(follower, socket, now)
                elif not follower.live:
                    checked[follower] = now
                    if not self._pulse.doubted:
                        self._ask(follower)
                elif follower.behind:
                    if now - checked[follower] > settings.silence_seconds + settings.connect_seconds:
                        raise Broken(f"{follower.symbol} has changed, and the stream does not tell")
                elif now - checked[follower] >= settings.check_seconds:
                    checked[follower] = now
                    follower.check_on()
                    self._ask(follower)
