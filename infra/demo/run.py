"""The demo from begin to end: servers, venues, pipeline, orders of an outside client, rest, proof, report, and everything ended.

Each step waits for what it needs by asking for it; each wait is bounded and says what it waited for. What fails leaves its logs.
"""

from __future__ import annotations

import heapq
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from infra import marks, topics
from infra.demo.faults import VenueFault, VenueFaults
from infra.demo.intents import LASTING, PAUPER, UNREADABLE, Intent, Kind, intents, price_of, quantity_of, stop_of
from infra.demo.outside import Outside
from infra.demo.report import Summary, summarise
from infra.demo.tracker import Key, Tracker
from infra.demo.world import World, followed, generated, recorded
from infra.pipeline import FOLDER, SINKS, WORKERS, Pipeline, Running, end, launch
from infra.settings import Addresses, Settings
from infra.stack import process
from infra.stack.stack import Stack
from infra.supervisor import PipelineError
from infra.verify.run import Targets, verify
from infra.verify.targets import clickhouse_rows
from schemas.registry import ConfluentRegistry

PARTITIONS = 2  # fewer than by default: so few orders make larger transactions of fewer tasks, and most of a demo is the broker's work
UNIT = 10**8
FUNDS_QUOTE = 5_000_000  # of the quote asset, and as much worth of each base asset
KILLS: Mapping[str, tuple[str, ...]] = {
    "worker": WORKERS,
    "execute": ("execute",),
    "sink": tuple(f"sink-{name}" for name in SINKS),
    "feed": ("feed",),
}
FUNDED_SECONDS = QUOTED_SECONDS = 60.0
ENDED_SECONDS, SILENCE_SECONDS = 240.0, 60.0
SETTLE_SECONDS = 60.0
CANCEL_AFTER = 2.0  # a resting order that its client gives up, is given up so long after it was placed
CHANGE_AFTER = 1.0  # and one that is changed, changed
ASK_AGAIN = 20.0
UNDER_WAY = 96  # orders that are to end by themselves and have not: more are not sent


class DemoFailed(RuntimeError):
    """The demo did not come to its end; the message says at what."""


class Reporter(Protocol):
    """Shows how far the demo is."""

    def step(self, part: str, text: str) -> None:
        """A part did something."""

    def phase(self, text: str, total: int | None = None) -> None:
        """A new phase begins, of `total` things."""

    def done(self, count: int) -> None:
        """So many of the phase's things are done."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. `rate` in orders per second."""

    orders: int = 5_000
    rate: float = 200.0
    accounts: int = 100
    replay: Sequence[str] = ()
    speed: float = 1.0
    kill: str | None = None
    venue_faults: Sequence[VenueFault] = ()
    keep: bool = False
    seed: int = 7
    home: Path | None = None
    live: Sequence[Mapping[str, Any]] = ()  # the feed's rows of real venues


@dataclass(frozen=True, slots=True)
class Live:
    """A running system: how to kill a part, how often parts were restarted, and whether it still can go on."""

    kill: Callable[[str], None]
    restarts: Callable[[], dict[str, int]]
    check: Callable[[], None]
    notices: Path


def run(options: Options, tell: Reporter) -> Summary:
    """Everything. Raises `DemoFailed`, `PipelineError`, `StackError`; in any case everything is ended, unless it is to be kept."""
    begun = time.monotonic()
    trading = options.orders / options.rate
    for fault in options.venue_faults:
        if fault.at >= trading:
            raise ValueError(f"{fault.venue}={fault.kind}@{fault.at:g}: all orders may be through after {trading:g} s")
    if options.home is not None and options.home.exists() and any(options.home.iterdir()):
        raise DemoFailed(f"{options.home} is not empty: the demo counts from nothing, so give it a new folder")
    home = options.home or Path(tempfile.mkdtemp(prefix="bestex-demo-"))
    kept = options.keep or options.home is not None
    try:
        summary = _run(options, home, tell, begun)
    except BaseException:
        tell.step("demo", f"logs are in {home}")
        raise
    if not kept:
        shutil.rmtree(home)
    return summary


def _world(options: Options) -> World:
    if options.live:
        return followed(options.live, options.seed)
    return recorded(options.replay, options.seed, options.speed) if options.replay else generated(options.seed)


def _run(options: Options, home: Path, tell: Reporter, begun: float) -> Summary:
    world = _world(options)
    settings = Settings(home=home)
    tell.phase("starting the servers")
    with ExitStack() as held:
        stack = Stack(home, settings, tell.step, detached=options.keep, brief=not options.keep)
        held.enter_context(stack)
        kept = held.enter_context(ExitStack())  # what is to stay ends all the same when the demo fails
        if options.keep:
            kept.callback(stack.stop)
            kept.callback(end, home)
        addresses = stack.addresses
        kafka = settings.kafka_client(addresses.kafka)
        topics.create(kafka, PARTITIONS)
        topics.register(ConfluentRegistry(addresses.registry))
        tell.phase("starting the pipeline")
        live = held.enter_context(_system(options, home, addresses, world, settings, tell))
        tracker = held.enter_context(Tracker(kafka, addresses.registry))
        clients = Outside(kafka, addresses.registry, options.seed)
        market = Market(kafka, addresses.registry, tracker, world.symbols)
        accounts = [f"trader-{n:03d}" for n in range(options.accounts)]
        _fund(clients, tracker, accounts, market, tell)
        with VenueFaults(options.venue_faults, world.rest_urls(), kafka, addresses.registry) as faults:
            placed = _trade(options, clients, tracker, market, accounts, live, tell)
            _end(clients, tracker, placed, live, tell)
        tell.phase("proving that nothing was lost or doubled")
        targets = Targets(addresses.clickhouse, addresses.valkey, live.notices, world.rest_urls())
        report = verify(kafka, addresses.registry, targets, SETTLE_SECONDS, lambda text: tell.step("verify", text))
        summary = summarise(
            report.log,
            report,
            orders=len(placed.orders) + placed.unreadable,
            clickhouse_rows=clickhouse_rows(addresses.clickhouse),
            restarts=live.restarts(),
            seconds=time.monotonic() - begun,
            venue_faults=faults.report(),
        )
        kept.pop_all()
        tell.phase(f"left running in {home}" if options.keep else "ending everything")
    return summary


@contextmanager
def _system(
    options: Options, home: Path, addresses: Addresses, world: World, settings: Settings, tell: Reporter
) -> Iterator[Live]:
    """The pipeline: within this process, or in the background where it is to be kept."""
    if options.keep:
        launch(home, addresses, world, settings, tell.step)

        def parts() -> dict[str, dict[str, object]]:
            now = Running.load(home)
            if now is None or not now.owner.alive():
                raise PipelineError("the pipeline has ended")
            return now.parts

        def check() -> None:
            parts()

        def kill(name: str) -> None:
            pid = parts()[name]["pid"]
            if isinstance(pid, int):
                process.kill(marks.process_of(pid))
                tell.step(name, "killed")

        yield Live(
            kill,
            lambda: {name: int(str(p["restarts"])) for name, p in parts().items()},
            check,
            home.resolve() / FOLDER / "notices.jsonl",
        )
        return
    with Pipeline(home, addresses, world, settings=settings, progress=tell.step) as pipeline:
        pipeline.start()
        supervisor = pipeline.supervisor
        yield Live(supervisor.kill, supervisor.restarts, supervisor.check, pipeline.notices)


class Market:
    """What a client knows of the market: live quotes, and each symbol's tick and lot."""

    def __init__(self, kafka: Mapping[str, str], registry: str, tracker: Tracker, symbols: Sequence[str]) -> None:
        self._tracker, self.symbols = tracker, symbols
        self.ticks: dict[str, int] = {}
        self.lots: dict[str, int] = {}
        for i in marks.instruments(kafka, registry).values():
            self.ticks[i.symbol] = max(self.ticks.get(i.symbol, 1), i.tick)
            self.lots[i.symbol] = max(self.lots.get(i.symbol, 1), i.lot)

    def quoted(self) -> bool:
        """Whether every symbol has both sides."""
        found = [self._tracker.quotes.get(s) for s in self.symbols]
        return all(q is not None and q.bid is not None and q.ask is not None for q in found)

    def terms(self, intent: Intent) -> tuple[int, int | None]:
        """(quantity, price) of an order now; the last quote that had both sides serves while one is missing."""
        symbol = intent.symbol if intent.symbol in self.symbols else self.symbols[0]
        quote = self._tracker.quotes[symbol]
        if quote.bid is None or quote.ask is None:
            self._tracker.wait(self.quoted, QUOTED_SECONDS)
            quote = self._tracker.quotes[symbol]
        assert quote.ask is not None
        price = price_of(intent, quote, self.ticks[symbol])
        return quantity_of(intent, price or quote.ask, self.lots[symbol]), price

    def stop(self, intent: Intent) -> int | None:
        """The stop price of an order that has one."""
        if intent.kind is not Kind.STOP:
            return None
        return stop_of(self._tracker.quotes[intent.symbol], intent.buy, self.ticks[intent.symbol])

    def taking(self, intent: Intent) -> int:
        """A price at which the order takes now."""
        quote, tick = self._tracker.quotes[intent.symbol], self.ticks[intent.symbol]
        touch = (quote.ask if intent.buy else quote.bid) or self.mid(intent.symbol)
        return max(tick, (touch + (touch // 500 if intent.buy else -touch // 500)) // tick * tick)

    def mid(self, symbol: str) -> int:
        """A rough price."""
        quote = self._tracker.quotes[symbol]
        return ((quote.bid or 0) + (quote.ask or 0)) // 2


def _fund(clients: Outside, tracker: Tracker, accounts: Sequence[str], market: Market, tell: Reporter) -> None:
    """Deposits for every trader in every asset, and a little for the one who wants too much."""
    if not tracker.wait(market.quoted, QUOTED_SECONDS):
        raise DemoFailed(f"no quotes of {', '.join(market.symbols)} within {QUOTED_SECONDS:.0f} s")
    amounts: dict[str, int] = {}
    for symbol in market.symbols:
        base, quote = symbol.split("/")
        amounts[quote] = FUNDS_QUOTE * UNIT
        amounts[base] = FUNDS_QUOTE * UNIT * UNIT // market.mid(symbol) // UNIT * UNIT + UNIT
    expected = len(accounts) * len(amounts) + 1
    tell.phase("funding the accounts", expected)
    for account in accounts:
        for asset, amount in amounts.items():
            clients.transfer(account, f"fund-{asset}", asset, amount)
    clients.transfer(PAUPER, "fund", market.symbols[0].split("/")[1], UNIT)
    clients.flush()

    def funded() -> bool:
        tell.done(tracker.transfers)
        return tracker.transfers >= expected

    if not tracker.wait(funded, FUNDED_SECONDS):
        raise DemoFailed(f"{tracker.transfers} of {expected} deposits were answered within {FUNDED_SECONDS:.0f} s")


class Placed:
    """What the clients sent. `orders`: readable ones, by key; `unreadable`: how many records no schema describes."""

    def __init__(self) -> None:
        self.orders: dict[Key, Intent] = {}
        self.unreadable = 0
        self.letters: set[tuple[int, int]] = set()  # where the unreadable ones lie


def _trade(
    options: Options,
    clients: Outside,
    tracker: Tracker,
    market: Market,
    accounts: Sequence[str],
    live: Live,
    tell: Reporter,
) -> Placed:
    """Publish the orders at their rate, cancel some that rest, and kill what is to be killed in the middle."""
    placed = Placed()
    giving_up: list[tuple[float, Key]] = []
    changing: list[tuple[float, Key]] = []
    victims = list(KILLS[options.kill]) if options.kill else []
    kill_at = {options.orders * (k + 1) // (len(victims) + 1): name for k, name in enumerate(victims)}
    tell.phase("trading", options.orders)
    taking: dict[Key, None] = {}  # what is under way and will end by itself
    begun = time.monotonic()
    for intent in intents(options.orders, accounts, market.symbols, options.seed):
        due = begun + intent.number / options.rate
        while (now := time.monotonic()) < due:
            time.sleep(min(0.01, due - now))  # the clients' own pace
        quantity, price = market.terms(intent)
        key = (intent.account, intent.client_order_id)
        if intent.kind in UNREADABLE:
            placed.unreadable += 1
            clients.place(intent, quantity, price, lambda p, o: placed.letters.add((p, o)))
        else:
            placed.orders[key] = intent
            clients.place(intent, quantity, price, stop=market.stop(intent))
            if intent.kind not in LASTING:
                taking[key] = None
        if len(taking) >= UNDER_WAY:
            taking = _room(taking, tracker, live)
        # Two producers of one account race each other: what the stranger sends is cancelled only at the end.
        if intent.kind in LASTING and not intent.stranger and intent.number % 2:
            heapq.heappush(giving_up, (now + CANCEL_AFTER, key))
        if intent.kind is Kind.CHANGED and not intent.stranger:
            heapq.heappush(changing, (now + CHANGE_AFTER, key))
        while giving_up and giving_up[0][0] <= now:
            clients.cancel(*heapq.heappop(giving_up)[1])
        while changing and changing[0][0] <= now:
            _, key = heapq.heappop(changing)
            clients.modify(*key, market.taking(placed.orders[key]))
        if victim := kill_at.get(intent.number):
            live.kill(victim)
        if intent.number % 50 == 49:
            live.check()
            tell.done(intent.number + 1)
    for _, key in changing:
        clients.modify(*key, market.taking(placed.orders[key]))
    for _, key in giving_up:
        clients.cancel(*key)
    clients.flush()
    tell.done(options.orders)
    return placed


def _room(taking: dict[Key, None], tracker: Tracker, live: Live) -> dict[Key, None]:
    """What is still under way, once that is little enough for more. Clients of a slow machine wait for their answers."""
    left = taking

    def less() -> bool:
        nonlocal left
        live.check()
        left = {key: None for key in left if not tracker.ended(key)}
        return len(left) < UNDER_WAY * 3 // 4

    if not tracker.wait(less, ENDED_SECONDS, SILENCE_SECONDS):
        raise DemoFailed(_stuck(list(left), tracker))
    return left


def _stuck(keys: Sequence[Key], tracker: Tracker) -> str:
    named = ", ".join(f"{a}/{c} {tracker.states.get((a, c), 'unanswered')}" for a, c in keys[:10])
    return f"{len(keys)} orders did not end: {named}"


def _end(clients: Outside, tracker: Tracker, placed: Placed, live: Live, tell: Reporter) -> None:
    """Wait for every answer, cancel what rests, and wait until every order has ended. Raises `DemoFailed`, naming what is stuck."""
    tell.phase("waiting until every order has ended", len(placed.orders))
    asked: dict[Key, float] = defaultdict(float)

    def ended() -> bool:
        now, left = time.monotonic(), 0
        live.check()
        for key, intent in placed.orders.items():
            if tracker.ended(key):
                continue
            left += 1
            if intent.kind in LASTING and key in tracker.states and now - asked[key] > ASK_AGAIN:
                asked[key] = now
                clients.cancel(*key)
        tell.done(len(placed.orders) - left)
        return not left and placed.letters <= tracker.letters

    if not tracker.wait(ended, ENDED_SECONDS, SILENCE_SECONDS):
        stuck = [key for key in placed.orders if not tracker.ended(key)]
        unanswered = len(placed.letters - tracker.letters)
        raise DemoFailed(f"{_stuck(stuck, tracker)}; {unanswered} unreadable records were not dead-lettered")
    clients.flush()
