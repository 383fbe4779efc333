"""One venue and the process of several: servers, drivers, and the beats that push depth."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from connectors.simulator.access import Access
from connectors.simulator.budget import Budget
from connectors.simulator.config import Settings, VenueSettings
from connectors.simulator.dialects import FOREIGN, ForeignStreams
from connectors.simulator.drivers import Clock, drivers
from connectors.simulator.exchange import Exchange
from connectors.simulator.faults import Fault, Faults, Handler, Spared
from connectors.simulator.memory import Memory
from connectors.simulator.rest import Rest, SetFault
from connectors.simulator.sockets import Sockets
from connectors.simulator.streams import Streams
from connectors.simulator.voice import VOICES

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
BEAT = 0.1  # seconds between depth events
SLOW_BEATS = 10  # of these make the slow cadence


def now_ms() -> int:
    """The venues' clock, milliseconds."""
    return time.time_ns() // 1_000_000


class Venue:
    """One venue's exchange behind its server."""

    def __init__(self, settings: VenueSettings, set_fault: SetFault, first: int, state: Path | None = None) -> None:
        self.settings = settings
        dialect = FOREIGN.get(settings.dialect)
        self.streams: Streams | ForeignStreams = Streams(self.now) if dialect is None else dialect[1](self.now)
        self.exchange = Exchange(
            settings.symbols,
            settings.maker_fee,
            settings.taker_fee,
            self.streams,
            first,
            settings.fees_in_quote,
            settings.ids_by_end,
        )
        deposits = {(a.name, asset): amount for a in settings.accounts for asset, amount in a.balances.items()}
        self._memory: Memory | None = None
        if state is not None:
            self._memory = Memory(state / f"{settings.name}.jsonl")
            if known := self._memory.restore(self.exchange, deposits):
                log.info("%s: %d events remembered, %d orders open", settings.name, known, len(self.exchange.open))
        else:
            for key, amount in deposits.items():
                self.exchange.ledger.deposit(*key, amount)
            self.exchange.ledger.touched.clear()  # nobody listens yet
        access = Access(settings.accounts)
        voice = VOICES[settings.dialect]
        self.budget = Budget(settings.limits, voice)
        self.faults = Faults(settings.name, self._fault, voice, self.exchange.overtake)
        rest = Rest(
            settings.name,
            self.exchange,
            access,
            settings.latency,
            self.now,
            self._named(set_fault),
            self.budget,
            self.faults,
        )
        app = web.Application(middlewares=[self._middleware])
        self._ends: Sockets | ForeignStreams
        if isinstance(self.streams, Streams):
            self._ends = Sockets(self.exchange, access, self.streams, self.faults, self.now)
            app.add_routes([*rest.routes(), *self._ends.routes()])
        else:
            foreign = FOREIGN[settings.dialect][0](self.exchange, settings.accounts, settings.latency, self.now)
            self.streams.bind(foreign, self.faults)
            self._ends = self.streams
            app.add_routes([*foreign.routes(), *self._ends.routes(), *rest.control()])
        app.on_shutdown.append(lambda _: self._ends.close())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._site: web.TCPSite | None = None
        self.port = settings.port

    def now(self) -> int:
        """The venue's clock, which may go ahead of ours."""
        return now_ms() + self.faults.clock_ms

    def _named(self, set_fault: SetFault) -> SetFault:
        async def named(venue: str | None, fault: Fault, spared: Spared) -> None:
            await set_fault(venue or self.settings.name, fault, spared)

        return named

    @property
    def rest_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    async def start(self) -> None:
        """Serve. Raises `OSError` when the port is taken."""
        await self._runner.setup()
        await self._listen()

    async def stop(self) -> None:
        """Close all streams and the server."""
        await self._runner.cleanup()
        if self._memory is not None:
            self._memory.close()
            self.exchange.remember = self._memory = None

    async def beat(self, slow: bool) -> None:
        """Push what changed in the depth."""
        for market in self.exchange.markets.values():
            self.streams.flush(market, slow)
        if slow:
            self.streams.heart()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return self.budget.ask(request, time.monotonic()) or await self.faults.answer(request, handler)

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, HOST, self.port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def _fault(self, fault: Fault, spared: Spared) -> None:
        """Close the port when the venue goes down, and open it when it comes back."""
        if fault.kind == "down" and self._site is not None:
            await self._site.stop()
            self._site = None
            server = self._runner.server
            for connection in list(server.connections) if server is not None else []:
                if connection.transport is not None and connection.transport is not spared:
                    connection.transport.abort()
        elif fault.kind != "down" and self._site is None:
            await self._listen()


class Simulator:
    """All venues of a process. `run` moves the books until it is cancelled; `first`: see `Exchange`."""

    def __init__(self, settings: Settings, first: int = 1) -> None:
        self.venues = {v.name: Venue(v, self._set_fault, first, settings.state) for v in settings.venues}
        self._clock = Clock(settings.speed)
        exchanges = {name: venue.exchange for name, venue in self.venues.items()}
        self.drivers = drivers(settings, exchanges, now_ms)

    async def start(self) -> Mapping[str, Mapping[str, str]]:
        """Serve; where each venue is."""
        for venue in self.venues.values():
            await venue.start()
        return {name: {"rest_url": v.rest_url, "ws_url": v.ws_url} for name, v in self.venues.items()}

    async def run(self) -> None:
        """Start the clock and move the books, for ever."""
        self._clock.start()
        async with asyncio.TaskGroup() as group:
            for driver in self.drivers.values():
                group.create_task(driver.run(self._clock))
            group.create_task(self._beat())

    async def stop(self) -> None:
        await asyncio.gather(*(venue.stop() for venue in self.venues.values()))

    async def _beat(self) -> None:
        loop, beats = asyncio.get_running_loop(), 0
        due = loop.time()
        while True:
            due = max(due + BEAT, loop.time())
            await asyncio.sleep(due - loop.time())
            beats += 1
            for venue in self.venues.values():
                await venue.beat(beats % SLOW_BEATS == 0)

    async def _set_fault(self, venue: str | None, fault: Fault, spared: Spared) -> None:
        if venue not in self.venues:
            raise ValueError(f"no venue {venue!r} here")
        if fault.kind == "down" and fault.seconds is None and len(self.venues) == 1:
            raise ValueError("the only venue of a process goes down for `seconds`, or nobody could call it back")
        await self.venues[venue].faults.set(fault, spared)
