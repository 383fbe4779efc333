"""The scenarios end to end: real Kafka, the agents' workers, feed and execution connector as processes, simulators over HTTP and WebSocket.

All scenarios run at the same time in one pipeline. What keeps them apart: accounts and symbols of their own (BTC of scenario 7 is BTC07),
and venues of their own where a scenario has one go wrong. What keeps them in step without sleeping: each goes on when what its row says has
come and when feed and router show the market that the test driver showed at this point.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from infra import topics
from infra.client import Client
from infra.kafka_log import partitions, reader
from infra.marks import behind, codec, health
from infra.settings import Addresses
from infra.stack import process
from infra.supervisor import Spec, Supervisor
from infra.verify.log import load
from infra.verify.run import Targets, judge
from schemas.records import BookUpdate, BookUpdateKind, DeadLetter, Fill, OrderEvent, Quote, Record
from tests.scenarios import told
from tests.scenarios.house import House
from tests.scenarios.language import (
    FEES,
    SYMBOL,
    Action,
    Book,
    Fault,
    Names,
    Print,
    Scenario,
    Send,
    Sides,
    Step,
    Wait,
    action,
    gifts,
    shown,
    units,
    whose,
)

FUNDS = "1000000000"
PATIENCE = 60.0  # seconds for what a row says to come, beside the time that it waits itself
READY = 90.0
WATCHED = ("orders.events", "fills", "market.books", "market.quotes")
LETTERS = tuple(
    f"{t}.dlq" for t in ("orders.commands", "account.transfers", "exchange.acks", "orders.routable", "venue.orders")
)
PROBE = "probe"  # an account that asks what the agent knows
PATIENT = {"timeout": 30.0, "recv_window_ms": 59_000}  # of a venue that hangs for as long as its scenario needs
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "refuse": {"kind": "reject", "times": 1},
    "refuse cancels": {"kind": "reject", "times": 1, "cancels": True},
    "hang": {"kind": "hang", "accepts": True},
    "down": {"kind": "down"},
    "ok": {"kind": "ok"},
    # The stream is late too: it may otherwise tell of the order before the answer is missed, and then nothing was ever unclear.
    "lose answer": {
        "kind": "shaken",
        "kinds": ["page", "delay"],
        "times": 3,
        "latency": 2.0,
        "orders": True,
        "accepts": True,
        "status": 503,
    },
    "lose order": {"kind": "shaken", "kinds": ["page"], "times": 1, "orders": True, "accepts": False, "status": 503},
    "double": {"kind": "shaken", "kinds": ["double"]},
}


def now_us() -> int:
    return time.time_ns() // 1000


class Placed(Names):
    """The names of one scenario among others."""

    def __init__(self, number: int, one: Scenario) -> None:
        self._tail, self._back = f"{number:02d}", dict[str, str]()
        self._own = any(isinstance(action(s.command, Names(), 0, 0), Fault) for s in one.steps)

    def _as(self, there: str, name: str) -> str:
        self._back[there] = name
        return there

    def account(self, name: str) -> str:
        return self._as(f"s{self._tail}-{name}", name)

    def asset(self, name: str) -> str:
        return name if name == "USDT" else self._as(f"{name}{self._tail}", name)

    def venue(self, name: str) -> str:
        return self._as(f"{name}{self._tail}", name) if self._own else name

    def read(self, name: str) -> str:
        return self._back.get(name, name)


@dataclass(frozen=True)
class Market:
    """What must be seen before a scenario goes on: books by venue (those that are told of), and the quote."""

    books: Mapping[str, tuple[dict[int, int], dict[int, int]]]
    quote: Quote


def markets(one: Scenario) -> list[Market]:
    """The market before the first step and after each, as the test driver has it."""
    house = House(one)
    found = [_market(house)]
    for step in one.steps:
        house.step(step)
        found.append(_market(house))
    return found


def _market(house: House) -> Market:
    quote = house.quote()
    assert quote is not None
    silent = ("down", "hang")
    books = {name: house.book(name) for name, venue in house.venues.items() if venue.fault not in silent}
    return Market({name: (dict(bids), dict(asks)) for name, (bids, asks) in books.items()}, quote)


def same_market(one: Quote, other: Quote | None) -> bool:
    def of(q: Quote) -> tuple[Any, ...]:
        return q.bid, q.bid_quantity, q.ask, q.ask_quantity, q.venues

    return other is not None and of(one) == of(other)


class Stage:
    """One scenario as it runs. `wrong` is what was otherwise than written."""

    def __init__(self, number: int, one: Scenario, play: Play) -> None:
        self.one, self.names, self._play = one, Placed(number, one), play
        self.symbol = self.names.symbol(SYMBOL)
        self.accounts = {self.names.account(who) for who in {*one.given, *(whose(s.command)[0] for s in one.steps)}}
        self.probe = self.names.account(PROBE)
        self.venues = {self.names.venue(name): name for name in one.books}
        self.markets = markets(one)
        self.events: list[OrderEvent] = []
        self.fills: list[Fill] = []
        self.probed: list[OrderEvent] = []
        self.books: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
        self.quote: Quote | None = None
        self.changed = asyncio.Event()
        self.wrong: list[str] = []
        self._probes = 0

    # ---- what is told

    def hears(self, record: Record) -> None:
        """A record of this scenario came."""
        match record:
            case OrderEvent():
                (self.probed if record.account_id == self.probe else self.events).append(record)
            case Fill():
                self.fills.append(record)
            case Quote():
                self.quote = record
            case BookUpdate():
                self._book(record)
        self.changed.set()

    def _book(self, update: BookUpdate) -> None:
        if update.kind is not BookUpdateKind.DIFF:
            self.books[update.venue] = {}, {}
        if update.kind is BookUpdateKind.STALE:
            del self.books[update.venue]
        elif update.venue in self.books:
            for side, levels in zip(self.books[update.venue], (update.bids, update.asks), strict=True):
                for level in levels:
                    side[level.price] = level.quantity
                    if not level.quantity:
                        del side[level.price]

    # ---- the run

    async def run(self) -> None:
        """From the first gift to the last balance."""
        await self._know(self.markets[0], 0.0)
        for gift in (*gifts(self.one, self.names, now_us()), self._gift()):
            self._play.send(gift)
        gave = len(gifts(self.one, self.names, 0))
        await self._until(lambda: len(self.events) >= gave and bool(self.probed), PATIENCE)
        await self._knows(lambda code: code == "INSUFFICIENT_FUNDS", True)  # instrument and price are known
        done, filled = len(self.events), 0
        for number, step in enumerate(self.one.steps, 1):
            market = self.markets[number]
            what = action(step.command, self.names, now_us(), number)
            await self._do(what)
            seconds = PATIENCE + (what.seconds if isinstance(what, Wait) else 0.0)
            await self._until(lambda: not self._differences(step, done, filled), seconds)  # noqa: B023 - awaited here
            self.wrong += self._differences(step, done, filled)
            if self.wrong:
                return
            done, filled = done + count(step.events), filled + count(step.fills)
            await self._know(market, PATIENCE)
            if "ARMED" in step.orders:
                await asyncio.to_thread(self._play.routed)
            if market.quote.venues != self.markets[number - 1].quote.venues:
                await self._knows(
                    lambda code: code == "NO_PRICE", market.quote.bid is None and market.quote.ask is None
                )
            if isinstance(what, Send) and what.topic == "trading.states":
                halted = "HALTED" in step.command
                await self._knows(lambda code: code == "HALTED", halted, market="market" in step.command)

    def _differences(self, step: Step, done: int, filled: int) -> list[str]:
        # what came beyond that is for the next row to judge
        events = self.events[done : done + count(step.events)]
        fills = self.fills[filled : filled + count(step.fills)]
        came = told.cells(step, events, fills, self.names)
        return told.differences(self.one, step, came)

    def judge(self) -> list[str]:
        """What is otherwise than written, now that all is over: nothing may have come after the last row either."""
        if self.wrong:
            return self.wrong
        steps, gave = self.one.steps, len(gifts(self.one, self.names, 0))
        late = len(self.events) - gave - sum(count(s.events) for s in steps)
        has = told.balances(self.events, self.names)
        return told.ends(self.one, has) + ([f"{self.one.name}: {late} events too many"] if late else [])

    async def _until(self, true: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not true():
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), deadline - time.monotonic())
            except TimeoutError:
                return true()
        return True

    async def _know(self, market: Market, seconds: float) -> None:
        """Feed and router show this market."""

        def shown_there() -> bool:
            books = all(self.books.get(self.names.venue(v)) == book for v, book in market.books.items())
            return books and same_market(market.quote, self.quote)

        if not await self._until(shown_there, seconds or READY):
            self.wrong.append(f"{self.one.name}: the market is {self.quote}, {self.books}, not {market}")

    def _gift(self) -> Send:
        scenario = Scenario("", "", 0, given={PROBE: "1 USDT"})
        return gifts(scenario, self.names, now_us())[0]

    async def _knows(self, of: Callable[[str], bool], wanted: bool, market: bool = False) -> None:
        """The accounts agent has heard of it: an order that cannot be is refused for the reason that counts now."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            before = len(self.probed)
            self._probes += 1
            price = "market" if market else "@ 59900"
            self._play.send(action(f"{PROBE}: buy 1 {price} as p{self._probes}", self.names, now_us(), 0))
            came = await self._until(lambda: len(self.probed) > before, PATIENCE)  # noqa: B023 - awaited here
            if came and of(self.probed[-1].reason_code) is wanted:
                return
        self.wrong.append(f"{self.one.name}: the agent does not hear of it")

    async def _do(self, what: Action) -> None:
        match what:
            case Send():
                self._play.send(what)
            case Book():
                sides = {
                    n: [[shown(p), shown(q)] for p, q in side]
                    for n, side in zip(("bids", "asks"), what.sides, strict=True)
                }
                await self._play.tell(self.names.venue(what.venue), "book", {"symbol": self.symbol, **sides})
            case Print():
                trade = {"price": shown(what.price), "quantity": shown(what.quantity), "side": what.side.value}
                await self._play.tell(self.names.venue(what.venue), "trade", {"symbol": self.symbol, **trade})
            case Fault():
                venue = self.names.venue(what.venue)
                await self._play.tell(None, "fault", {**FAULTS[what.kind], "venue": venue})


def count(text: str) -> int:
    """How many events or fills a cell names."""
    return sum(len(group.split(",")) for group in text.split(";") if group.strip())


class Play:
    """All scenarios and the pipeline that they run in. Use `run`."""

    def __init__(self, stack: Addresses, kafka: str, folder: Path, all_: Sequence[Scenario]) -> None:
        self.kafka, self.registry = {"bootstrap.servers": kafka}, stack.registry
        self.stages = [Stage(number, one, self) for number, one in enumerate(all_)]
        self.seconds = 0.0
        self._folder = folder
        self._codec = codec(stack.registry)
        self._by_account = {a: s for s in self.stages for a in (*s.accounts, s.probe)}
        self._by_symbol = {s.symbol: s for s in self.stages}
        self.letters: list[DeadLetter] = []
        names = dict.fromkeys((*FEES, *(v for s in self.stages for v in s.venues)))
        self._ports = process.free_ports(names)
        self._client: Client

    # ---- the parts

    def _symbols(self, venue: str) -> dict[str, Sides]:
        """What a venue trades, with the book that it begins with."""
        found = {s.symbol: s.one.books[s.venues[venue]] for s in self.stages if venue in s.venues}
        return found or {SYMBOL: ((), ())}

    def _simulated(self, venue: str, key: str, secret: str) -> dict[str, Any]:
        maker, taker = FEES[venue.rstrip("0123456789")]
        books, assets = self._symbols(venue), {a for symbol in self._symbols(venue) for a in symbol.split("/")}
        sides = {
            symbol: {n: [[shown(p), shown(q)] for p, q in side] for n, side in zip(("bids", "asks"), book, strict=True)}
            for symbol, book in books.items()
        }
        rules = {
            "tick": "0.01",
            "lot": "0.00001",
            "min_quantity": "0.00001",
            "min_notional": "5",
            "max_quantity": "9000",
        }
        return {
            "name": venue,
            "port": self._ports[venue],
            "maker_fee": maker,
            "taker_fee": taker,
            "latency_ms": 2,
            "symbols": [{"symbol": symbol, **rules} for symbol in books],
            "accounts": [{"api_key": key, "secret": secret, "balances": dict.fromkeys(sorted(assets), FUNDS)}],
            "books": {"kind": "static", "books": sides},
        }

    def _specs(self) -> list[Spec]:
        base = {"kafka": self.kafka, "registry": self.registry}
        simulated, feeds, desks = [], [], []
        for venue, port in self._ports.items():
            key, secret = secrets.token_hex(16), secrets.token_hex(32)
            simulated.append(self._simulated(venue, key, secret))
            at = {"rest_url": f"http://127.0.0.1:{port}", "ws_url": f"ws://127.0.0.1:{port}"}
            one = {"name": venue, "exchange": "binance", **at, "symbols": list(self._symbols(venue))}
            feeds.append(one)
            maker, taker = (units(fee) for fee in FEES[venue.rstrip("0123456789")])
            hangs = any(
                s.markets and "hangs" in x.command for s in self.stages if venue in s.venues for x in s.one.steps
            )
            fees = {"maker_fee": maker, "taker_fee": taker}
            desks.append({**one, "api_key": key, "secret": secret, **fees, **(PATIENT if hangs else {})})
        feed = {"silence_seconds": 120.0, "check_seconds": 3600.0, "snapshot_seconds": 3.0}
        return [
            Spec("simulate", "connectors.simulator", {"seed": 1, "speed": 1.0, "venues": simulated}, wave=3),
            *(
                Spec(
                    name,
                    "streams.worker",
                    {**base, "home": str(self._folder / name), "instance": name},
                    (name,),
                    wave=1,
                )
                for name in ("accounts", "router")
            ),
            Spec("feed", "connectors.feeds", {**base, "venues": feeds, "settings": feed}, ready=lambda: True),
            Spec(
                "execute",
                "connectors.execution",
                {**base, "venues": desks, "settings": {"instance": "execute", "claim_ttl": 30.0}},
                wave=2,
                ready=lambda: (
                    set(self._ports)
                    <= {n for n, h in health(self.kafka, self.registry).items() if h.status == "ACTIVE"}
                ),
            ),
        ]

    # ---- what the stages ask for

    def send(self, what: Action) -> None:
        """Publish a command."""
        assert isinstance(what, Send)
        self._client.send(what.topic, what.key, what.record)

    def routed(self) -> None:
        """Return when the router has all that it was asked for: no event tells that it holds a stop."""
        deadline = time.monotonic() + PATIENCE
        while behind(self.kafka, "router", ("orders.routable",)):
            assert time.monotonic() < deadline, "the router does not take what it is asked for"

    async def tell(self, venue: str | None, what: str, body: Mapping[str, Any]) -> None:
        """Have a simulator do something; by way of any venue where `venue` is None."""
        url = f"http://127.0.0.1:{self._ports[venue or next(iter(FEES))]}/sim/{what}"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=PATIENCE).read())

    # ---- the run

    def run(self) -> None:
        """All scenarios from the beginning to the end."""
        topics.ensure(self.kafka, topics.table())
        self._client = Client(self.kafka, self.registry)
        with Supervisor(self._folder / "parts") as supervisor:
            specs = self._specs()
            for spec in specs:
                supervisor.start(spec)
            supervisor.await_ready([s.name for s in specs], READY)
            asyncio.run(self._all())
            began = time.monotonic()
            while behind(self.kafka, "accounts", ("exchange.acks", "orders.commands")):
                assert time.monotonic() - began < PATIENCE, "it does not come to rest"
            log = load(self.kafka, self._codec)
            urls = {name: f"http://127.0.0.1:{port}" for name, port in self._ports.items()}
            self.found = judge(log, self._codec, Targets(venues=urls))[0]
            self.restarts = supervisor.restarts()

    async def _all(self) -> None:
        stop, loop = threading.Event(), asyncio.get_running_loop()
        listening = threading.Thread(target=self._listen, args=(loop, stop), daemon=True)
        listening.start()
        began = time.monotonic()
        try:
            await asyncio.gather(*(stage.run() for stage in self.stages))
            self.seconds = time.monotonic() - began
            for venue in self._ports:  # the audit is asked for of each
                await self.tell(None, "fault", {"kind": "ok", "venue": venue})
        finally:
            stop.set()
            await asyncio.to_thread(listening.join)

    def _listen(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        consumer = reader(self.kafka)
        try:
            consumer.assign(partitions(consumer, [*WATCHED, *LETTERS]))
            while not stop.is_set():
                first = consumer.poll(0.1)
                batch = [] if first is None else [first, *consumer.consume(500, 0)]
                records = [r for m in batch if m.error() is None and (r := self._read(m)) is not None]
                if records:
                    loop.call_soon_threadsafe(self._tell, records)
        finally:
            consumer.close()

    def _read(self, message: Message) -> Record | None:
        value: Any = message.value()
        found: Record | None = self._codec.decode(value, OrderEvent, Fill, BookUpdate, Quote, DeadLetter)
        return found

    def _tell(self, records: Sequence[Record]) -> None:
        for record in records:
            stage: Stage | None = None
            match record:
                case DeadLetter():
                    self.letters.append(record)
                case OrderEvent() | Fill():
                    stage = self._by_account.get(record.account_id)
                case BookUpdate() | Quote():
                    stage = self._by_symbol.get(record.symbol)
            if stage is not None:
                stage.hears(record)
