"""Both agents in memory with a clock that stands still, and venues beside them: a whole house, as far as a scenario can tell.

commands ─► accounts ─► orders.routable ─► router ─► venue.orders ─► venues ─► reports, books, trades ─► accounts, router
"""

from __future__ import annotations

from typing import Any

from schemas.codec import Codec, LocalRegistry
from schemas.records import Fill, InstrumentStatus, OrderEvent, Quote
from streams.agents.accounts import accounts_agent
from streams.agents.router import router_agent
from streams.engine.driver import Driver
from tests.agents.scenario import instrument
from tests.scenarios import told
from tests.scenarios.language import (
    FEES,
    SYMBOL,
    Action,
    Book,
    Close,
    Crash,
    Fault,
    Names,
    Print,
    Scenario,
    Send,
    Step,
    Wait,
    action,
    gifts,
    units,
)
from tests.scenarios.venue import VenueTwin

START = 1_700_000_000_000_000
TICK = 50_000  # microseconds between looks at what is due, in a wait
SNAPSHOT = 5_000_000
ROUNDS = 10_000


class House:
    """One scenario's. `step` does a row of it, `has` is what its accounts have by now."""

    def __init__(self, one: Scenario) -> None:
        codec = Codec(LocalRegistry())
        self.accounts = Driver(accounts_agent(), now=START, codec=codec)
        self.router = Driver(router_agent(), now=START, codec=codec)
        self.venues = {name: VenueTwin(name, START) for name in one.books}
        self._seen: dict[tuple[Driver, str], int] = {}
        self._told, self._filled, self._number = 0, 0, 0
        self._snapshots = START
        for name in one.books:
            self._instrument(name, InstrumentStatus.OPEN)
        for name, sides in one.books.items():
            self.venues[name].show(sides)
            self.venues[name].snapshot()
        self._flow()
        for gift in gifts(one, Names(), START):
            self._do(gift)
        self.take()

    @property
    def now(self) -> int:
        return self.accounts.now

    def step(self, step: Step) -> told.Cells:
        """Do a row; its cells as they came."""
        self._number += 1
        self._do(action(step.command, Names(), self.now, self._number))
        return told.cells(step, *self.take(), Names())

    def take(self) -> tuple[list[OrderEvent], list[Fill]]:
        """The events and fills since the last call."""
        events, fills = self.accounts.records("orders.events"), self.accounts.records("fills")
        fresh = events[self._told :], fills[self._filled :]
        self._told, self._filled = len(events), len(fills)
        return fresh

    def has(self) -> dict[str, str]:
        return told.balances(self.accounts.records("orders.events"), Names())

    def quote(self) -> Quote | None:
        """The router's last word on the market."""
        return next(reversed(self.router.records("market.quotes")), None)

    def book(self, venue: str) -> tuple[dict[int, int], dict[int, int]]:
        """What a venue's feed shows."""
        return self.venues[venue].told

    # ---- doing

    def _do(self, what: Action) -> None:
        match what:
            case Send():
                self.accounts.feed(what.topic, what.key, what.record)
            case Book():
                self.venues[what.venue].show(what.sides)
            case Print():
                self.venues[what.venue].print(what.price, what.quantity, what.side)
            case Fault():
                self.venues[what.venue].goes_wrong(what.kind)
            case Close():
                self._instrument(what.venue, InstrumentStatus.CLOSED)
            case Crash():
                self.accounts.crash()
                self.router.crash()
            case Wait():
                self._wait(round(what.seconds * 1e6))
        self._flow()

    def _instrument(self, venue: str, status: InstrumentStatus) -> None:
        maker, taker = FEES[venue]
        one = instrument(venue, maker_fee=units(maker), taker_fee=units(taker), status=status)
        for driver in (self.accounts, self.router):
            driver.feed("instruments", f"{venue}|{SYMBOL}", one)

    def _wait(self, microseconds: int) -> None:
        until = self.now + microseconds
        while self.now < until:
            self.accounts.now = self.router.now = min(until, self.now + TICK)
            if self.now - self._snapshots >= SNAPSHOT:
                self._snapshots = self.now
                for venue in self.venues.values():
                    if venue.fault != "down":
                        venue.now = self.now
                        venue.snapshot()
            self._flow()

    # ---- what goes from one to the other

    def _flow(self) -> None:
        """Carry records around until nobody has anything to say."""
        for _ in range(ROUNDS):
            for venue in self.venues.values():
                venue.now = self.now
            moved = self.router.run() + self.accounts.run()
            for driver in (self.accounts, self.router):
                for order in self._fresh(driver, "venue.orders"):
                    venue = self.venues[order.venue]
                    venue.place(order) if hasattr(order, "quantity") else venue.cancel(order)
                    moved += 1
            for source, topic, target in (
                (self.accounts, "orders.routable", self.router),
                (self.router, "exchange.acks", self.accounts),
                (self.router, "market.quotes", self.accounts),
            ):
                for record in self._fresh(source, topic):
                    target.feed(topic, SYMBOL if topic == "market.quotes" else _key(record), record)
                    moved += 1
            for venue in self.venues.values():
                out, venue.out = venue.out, []
                for topic, record in out:
                    target = self.accounts if topic == "exchange.acks" else self.router
                    target.feed(topic, _key(record), record)
                moved += len(out)
            if not moved:
                return
        raise AssertionError("it does not come to rest")

    def _fresh(self, driver: Driver, topic: str) -> list[Any]:
        """The records of an output since the last call."""
        found = driver.records(topic)
        at = self._seen.get((driver, topic), 0)
        self._seen[driver, topic] = len(found)
        return found[at:]


def _key(record: Any) -> str:
    return str(getattr(record, "account_id", None) or record.symbol)
