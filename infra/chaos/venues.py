"""`bestex chaos venues`: child orders through the execution connector to four venues of four dialects, while everything there goes wrong.

Requests and stream events meet mishaps at random (those of `connectors.simulator.mishaps`), whole venues hang, answer with pages, slow down,
refuse, lose their clock or their connections (`connectors.simulator.faults`), the venues' own process is killed, and the connector is killed with
SIGKILL again and again. When all is quiet the connector's reports are held against the venues' own books:

* lost: a child of which nothing was reported;
* duplicated: a child that its venue accepted twice, or a trade that was reported twice;
* unresolved: a child whose end is not known 60 s after the last fault;
* violations: a report that the venue's books do not bear out, a trade of which there is no report, a balance that is not what the
  reports make of the first one, to the last digit; an alert about an order or a balance, for there is nobody here but the connector.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Producer

from connectors.venues.exchanges import DIALECTS
from infra.bench.engine.timing import reader
from infra.kafka_log import read_to_end
from infra.settings import Addresses, Settings
from infra.stack.process import free_ports
from infra.stack.stack import Stack
from infra.topics import ensure, table
from schemas.codec import Codec
from schemas.records import (
    ChildCancel,
    ChildOrder,
    ExecutionKind,
    ExecutionReport,
    OrderType,
    RoutePlan,
    RouteStatus,
    Side,
    TimeInForce,
    VenueAlert,
    VenueAlertKind,
    VenueAlertState,
)
from schemas.registry import ConfluentRegistry

SCALE = 100_000_000
SYMBOLS, MIDS = ("BTC/USDT", "ETH/USDT"), {"BTC/USDT": 60_000, "ETH/USDT": 3_000}
VENUES = {"bin": "binance", "coi": "coinbase", "kra": "kraken", "okx": "okx"}
FUNDS = 10**9
# alerts that faults bring about by right: streams are made silent, and venues mute for longer than a minute
TRUE_IN_FAULTS = (VenueAlertKind.STREAM_SILENT, VenueAlertKind.UNRESOLVED_CHILD)
WHOLE = ("hang", "503", "slow", "reject", "skew", "down")  # faults of a whole venue
ENDED = {ExecutionKind.REJECTED, ExecutionKind.NOT_SENT, ExecutionKind.CANCELLED, ExecutionKind.EXPIRED}
READY_SECONDS = 60.0
# Kraken's secrets are base64, which the others take as any text
KEY, SECRET, PASSWORD = "chaos-key", "Y2hhb3Mtc2VjcmV0LW9mLWEtdmVudWU=", "chaos"
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. `rate`: of requests and events that meet a mishap; `pause`: seconds between two faults of whole venues."""

    orders: int = 20_000
    kills: int = 20
    venue_kills: int = 2
    rate: float = 0.03
    pause: tuple[float, float] = (1.0, 3.0)
    orders_per_s: float = 90.0
    seed: int = 1
    reconcile: bool = True
    resolve_seconds: float = 60.0


@dataclass(slots=True)
class Told:
    """What was reported of a child."""

    kinds: list[ExecutionKind] = field(default_factory=list)
    trades: list[ExecutionReport] = field(default_factory=list)
    cumulative: int | None = None

    def ended(self, order: ChildOrder) -> bool:
        """Whether it ended and all its fills are here."""
        filled = sum(t.quantity or 0 for t in self.trades)
        if filled >= order.quantity:
            return True
        return any(k in ENDED for k in self.kinds) and (self.cumulative is None or filled >= self.cumulative)


class Chaos:
    """One run in `home`."""

    def __init__(self, plan: Plan, addresses: Addresses, home: Path, tell: Tell) -> None:
        self.plan, self._home, self._tell = plan, home, tell
        self._kafka: dict[str, str | int | float | bool] = {"bootstrap.servers": addresses.kafka}
        self._addresses = addresses
        self._codec = Codec(ConfluentRegistry(addresses.registry))
        self._random = random.Random(plan.seed)
        self._ports = free_ports(list(VENUES))
        self.faults: Counter[str] = Counter()
        self.orders: dict[str, ChildOrder] = {}
        self.told: dict[str, Told] = defaultdict(Told)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._over, self._fed = threading.Event(), 0
        self.violations: list[str] = []
        self._missed: list[str] = []
        self._out = Producer(
            {**self._kafka, "linger.ms": 5, "partitioner": "murmur2_random", "enable.idempotence": True}
        )

    # ---- its processes

    def _configure(self) -> None:
        rows, clients = [], []
        for name, exchange in VENUES.items():
            url = f"127.0.0.1:{self._ports[name]}"
            rows.append(
                {
                    "name": name,
                    "dialect": exchange,
                    "port": self._ports[name],
                    "maker_fee": "0.0008",
                    "taker_fee": "0.001",
                    "latency_ms": 2,
                    "symbols": [{"symbol": s, "min_notional": "1"} for s in SYMBOLS],
                    "accounts": [
                        {
                            "api_key": KEY,
                            "secret": SECRET,
                            "balances": dict.fromkeys(("USDT", "BTC", "ETH"), str(FUNDS)),
                        }
                    ],
                    "books": {
                        "kind": "generated",
                        "mid": {s: str(m) for s, m in MIDS.items()},
                        "levels": 50,
                        "updates_per_s": 5,
                    },
                }
            )
            clients.append(
                {
                    "name": name,
                    "exchange": exchange,
                    "rest_url": f"http://{url}",
                    "ws_url": f"ws://{url}",
                    "api_key": KEY,
                    "secret": SECRET,
                    "password": PASSWORD,
                    "timeout": 1.0,
                    "recv_window_ms": 2000,
                    "stream_silence": 5.0,
                }
            )
        settings = {
            "poll": 2.0,
            "claim_ttl": 2.0,
            "breaker_failures": 10,
            "breaker_seconds": 1.0,
            "instance": "chaos",
            "session_timeout_ms": 6000,
            "reconcile": self.plan.reconcile,
            "audit": 1.0,
        }
        simulator = {"seed": self.plan.seed, "speed": 1.0, "venues": rows, "state": "books"}
        execution = {
            "kafka": self._kafka,
            "registry": self._addresses.registry,
            "venues": clients,
            "settings": settings,
        }
        for name, config in (("simulator", simulator), ("execution", execution)):
            (self._home / f"{name}.json").write_text(json.dumps(config))

    def _start(self, name: str) -> None:
        with (self._home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"connectors.{name}", "--config", str(self._home / f"{name}.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _kill(self, name: str) -> None:
        process = self._processes[name]
        process.send_signal(signal.SIGKILL)
        process.wait()

    def _revive(self) -> None:
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                self._start(name)

    def _audits(self) -> dict[str, dict[str, Any]]:
        found = {}
        for name in VENUES:
            answer = httpx.get(f"http://127.0.0.1:{self._ports[name]}/sim/audit", timeout=30)
            found[name] = answer.json()
        return found

    def _serving(self) -> None:
        """Wait until the venues serve. Raises `RuntimeError`."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                self._audits()
            except httpx.HTTPError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError("the venues do not serve") from error
                time.sleep(0.1)  # between two looks at a process that starts
            else:
                return

    def _working(self) -> None:
        """Wait until the connector has read every venue's instruments. Raises `RuntimeError`."""
        consumer, seen = reader(self._addresses, "instruments", partitions=1), set[bytes]()
        deadline = time.monotonic() + READY_SECONDS
        while len(seen) < len(VENUES) * len(SYMBOLS):
            seen |= {bytes(m.key() or b"") for m in consumer.consume(100, 0.2) if m.error() is None}
            if time.monotonic() > deadline:
                raise RuntimeError(f"the connector knows {len(seen)} instruments")
        consumer.close()

    # ---- what goes in

    def _feed(self) -> None:
        chance, began = random.Random(self.plan.seed + 1), time.monotonic()
        later: list[ChildOrder] = []
        for n in range(self.plan.orders):
            wait = n / self.plan.orders_per_s - (time.monotonic() - began)
            if wait > 0:
                self._out.poll(0)
                time.sleep(wait)  # the pace of the load
            order = self._order(chance, n)
            self.orders[order.child_id] = order
            self._send(order.venue, order)
            if chance.random() < 0.2:
                later.append(order)
            if len(later) > 20:
                self._cancel(later.pop(0))
            self._fed = n + 1
        self._out.flush(60)

    def _order(self, chance: random.Random, n: int) -> ChildOrder:
        venue, symbol = chance.choice(tuple(VENUES)), chance.choice(SYMBOLS)
        side, tif = chance.choice((Side.BUY, Side.SELL)), chance.choice((TimeInForce.GTC, TimeInForce.IOC))
        away = chance.randrange(-30, 31)  # basis points beyond the mid, into the market or away from it
        sign = 1 if side is Side.BUY else -1
        price = MIDS[symbol] * (10_000 + sign * away) // 10_000
        return ChildOrder(
            child_id=f"x{self.plan.seed}n{n:06d}",
            order_id=f"o{n:06d}",
            account_id="chaos",
            venue=venue,
            symbol=symbol,
            side=side,
            order_type=OrderType.LIMIT,
            time_in_force=tif,
            quantity=chance.randrange(1, 50) * SCALE // 1000,
            price=price * SCALE,
            created_at=time.time_ns() // 1000,
        )

    def _cancel(self, order: ChildOrder) -> None:
        cancel = ChildCancel(
            child_id=order.child_id,
            order_id=order.order_id,
            account_id=order.account_id,
            venue=order.venue,
            symbol=order.symbol,
            created_at=time.time_ns() // 1000,
        )
        self._send(order.venue, cancel)

    def _send(self, venue: str, record: ChildOrder | ChildCancel) -> None:
        self._out.produce("venue.orders", self._codec.encode(record), venue.encode())

    # ---- what goes wrong

    def _command(self, venue: str, **fault: Any) -> bool:
        try:
            url = f"http://127.0.0.1:{self._ports[venue]}/sim/fault"
            return httpx.post(url, json={"venue": venue, **fault}, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False  # it is down already

    def _shake(self, venue: str) -> None:
        self._command(venue, kind="shaken", rate=self.plan.rate, seed=self._random.randrange(1 << 30), hang=2.0)

    def _met(self) -> Counter[str]:
        return sum((Counter(one["faults"]) for one in self._audits().values()), Counter())

    def _torment(self) -> None:
        """Faults spread over the time in which orders are fed."""
        before: Counter[str] = Counter()  # mishaps of venue processes that were killed
        for venue in VENUES:
            self._shake(venue)
        kills = [("execution", (n + 1) / (self.plan.kills + 1)) for n in range(self.plan.kills)]
        kills += [("simulator", (n + 0.5) / (self.plan.venue_kills + 0.5)) for n in range(self.plan.venue_kills)]
        kills.sort(key=lambda kill: kill[1])
        longest = time.monotonic() + 10 * self.plan.orders / self.plan.orders_per_s + READY_SECONDS
        heard = 0  # orders of which something had been reported when a process was killed last
        # As long as there is work on its way, it meets faults.
        most = 0.95 * self.plan.orders
        while (self._fed < self.plan.orders or len(self.told) < most or kills) and time.monotonic() < longest:
            self._over.wait(self._random.uniform(*self.plan.pause))
            due = kills and len(self.told) >= kills[0][1] * self.plan.orders
            if due and (len(self.told) > heard + 20 or len(self.told) >= most):  # it had come to work again
                heard = len(self.told)
                name = kills.pop(0)[0]
                if name == "simulator":
                    before += self._met()
                self._kill(name)
                self._start(name)
                self.faults[f"kill {name}"] += 1
                self._tell(f"{self._fed:,} fed, {name} killed, {self.faults.total():,} faults of whole processes")
                if name == "simulator":
                    self._serving()
                    for venue in VENUES:
                        self._shake(venue)
                continue
            self._revive()
            venue, kind = self._random.choice(tuple(VENUES)), self._random.choice(WHOLE)
            seconds = self._random.uniform(0.3, 1.5)
            if self._command(venue, kind=kind, seconds=seconds, skew_ms=30_000, latency_ms=1500):
                self.faults[kind] += 1
                self._over.wait(seconds + 0.1)
                self._shake(venue)
        self._missed = [f"{name} was not killed: there was no time left" for name, _ in kills]
        for venue in VENUES:
            self._command(venue, kind="ok")
        self.faults += before + self._met()

    # ---- what comes out

    def _listen(self) -> None:
        consumer = reader(self._addresses, "exchange.acks")
        while not self._over.is_set():
            for message in consumer.consume(2000, 0.2):
                if message.error() is not None:
                    continue
                found = self._codec.decode(message.value(), ExecutionReport, RoutePlan, RouteStatus)
                if not isinstance(found, ExecutionReport):
                    continue
                told = self.told[found.child_id]
                told.kinds.append(found.kind)
                if found.kind is ExecutionKind.FILL:
                    told.trades.append(found)
                elif found.cumulative_quantity is not None and found.kind in ENDED:
                    told.cumulative = found.cumulative_quantity
        consumer.close()

    def _open(self) -> list[ChildOrder]:
        return [o for child_id, o in self.orders.items() if not self.told[child_id].ended(o)]

    def run(self) -> dict[str, Any]:
        """Everything, and what was found."""
        began = time.monotonic()
        ensure(self._kafka, table())
        self._configure()
        self._start("simulator")
        self._serving()
        self._start("execution")
        self._working()
        threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._feed)]
        try:
            for thread in threads:
                thread.start()
            self._torment()
            threads[1].join()
            self._tell(f"{len(self.orders):,} orders, {self.faults.total():,} faults; waiting for what is open")
            unresolved = self._settle()
            audits = self._audits()
        finally:
            self._over.set()
            threads[0].join(10)
            for name in self._processes:
                self._kill(name)
        self._alarmed()
        lost, duplicated = self._judge(audits, {o.child_id for o in unresolved})
        return {
            "orders": len(self.orders),
            "faults": dict(self.faults),
            "lost": lost,
            "duplicated": duplicated,
            "violations": len(self.violations),
            "first_violations": self.violations[:10],
            "unresolved": len(unresolved) + len(self._missed),
            "first_unresolved": [
                *(f"{o.venue} {o.child_id}: {self.told[o.child_id].kinds}" for o in unresolved[:10]),
                *self._missed[:10],
            ],
            "reconciled": self.plan.reconcile,
            "seed": self.plan.seed,
            "seconds": round(time.monotonic() - began, 1),
        }

    def _doubtful(self) -> list[ChildOrder]:
        """Those of which nothing is known, or only that it is not known."""
        doubts: tuple[list[ExecutionKind], ...] = ([], [ExecutionKind.UNKNOWN])
        return [o for child_id, o in self.orders.items() if self.told[child_id].kinds[-1:] in doubts]

    def _settle(self) -> list[ChildOrder]:
        """Wait until no child is in doubt, ask for the end of all that rests, and wait until everything has ended; what has not by then."""
        quiet = time.monotonic()
        while (left := self._doubtful()) and time.monotonic() - quiet < self.plan.resolve_seconds:
            self._revive()
            time.sleep(0.25)  # between two looks at what was heard
        self._tell(f"in doubt after {time.monotonic() - quiet:.1f} s: {len(left)}")
        if left:
            return left
        quiet = time.monotonic()
        asked: set[str] = set()
        # Thousands may rest; to end them is work, not doubt.
        while (left := self._open()) and time.monotonic() - quiet < self.plan.resolve_seconds + len(asked) / 20:
            self._revive()
            for order in left:
                if order.child_id not in asked:
                    asked.add(order.child_id)
                    self._cancel(order)
            self._out.poll(0)
            time.sleep(0.25)  # between two looks at what was heard
        self._tell(f"quiet after {time.monotonic() - quiet:.1f} s, {len(left)} open")
        return left

    # ---- the proof

    def _alarmed(self) -> None:
        """Every alert is a false one, but of kinds that are brought about on purpose."""
        for message in read_to_end(self._kafka, ["venue.alerts"]):
            alert = self._codec.decode(message.value(), VenueAlert)
            if alert.kind not in TRUE_IN_FAULTS and alert.state is VenueAlertState.RAISED:
                about = alert.asset or alert.child_id or alert.client_order_id
                self.violations.append(f"{alert.venue}: {alert.kind} of {about} raised: {alert.detail}")

    def _judge(self, audits: Mapping[str, Mapping[str, Any]], unresolved: set[str]) -> tuple[int, int]:
        ours = {(o.venue, wire_id(VENUES[o.venue], o.child_id)): o for o in self.orders.values()}
        lost = sum(1 for child_id in self.orders if not self.told[child_id].kinds)
        duplicated = 0
        for venue, audit in audits.items():
            if not audit["conserved"]:
                self.violations.append(f"{venue}: the venue's own money does not add up")
            theirs: dict[str, set[tuple[str, int, int, int, str]]] = defaultdict(set)
            for t in audit["trades"]:
                amounts = (_units(t["price"]), _units(t["quantity"]), _units(t["fee"]))
                theirs[t["client_order_id"]].add((t["trade_id"], *amounts, t["fee_asset"]))
            for client_id, times in audit["accepted"].items():
                duplicated += times > 1
                if (venue, client_id) not in ours:
                    self.violations.append(f"{venue} accepted {client_id}, which nobody sent")
            money: Counter[str] = Counter()
            for (where, client_id), order in ours.items():
                if where == venue:
                    duplicated += self._compare(order, theirs[client_id], audit["accepted"].get(client_id, 0), money)
            for asset, held in audit["balances"]["account-1"].items():
                expected = FUNDS * SCALE + money[asset]
                found = _units(held["free"]) + _units(held["locked"])
                if found != expected:
                    self.violations.append(f"{venue}: {asset} is {found} there, the reports make it {expected}")
        return lost, duplicated

    def _compare(
        self, order: ChildOrder, theirs: set[tuple[str, int, int, int, str]], accepted: int, money: Counter[str]
    ) -> int:
        """Hold a child's reports against its venue's trades, and book them; how many trades were reported twice."""
        told = self.told[order.child_id]
        rows = [(t.trade_id or "", t.price or 0, t.quantity or 0, t.fee or 0, t.fee_asset or "") for t in told.trades]
        missing, invented = theirs - set(rows), set(rows) - theirs
        if missing:
            self.violations.append(f"{order.venue} {order.child_id}: not reported: {sorted(missing)[:3]}")
        if invented:
            self.violations.append(f"{order.venue} {order.child_id}: not the venue's: {sorted(invented)[:3]}")
        refused = {ExecutionKind.REJECTED, ExecutionKind.NOT_SENT} & set(told.kinds)
        if refused and accepted:
            self.violations.append(f"{order.venue} {order.child_id}: reported {refused.pop()}, and was accepted")
        base, quote = order.symbol.split("/")
        sign = 1 if order.side is Side.BUY else -1
        for _, price, quantity, fee, fee_asset in set(rows):
            money[base] += sign * quantity
            money[quote] -= sign * (price * quantity // SCALE)
            money[fee_asset] -= fee
        return len(rows) - len(set(rows))


def wire_id(exchange: str, child_id: str) -> str:
    """A child's id as its exchange is told it."""
    dialect = DIALECTS.get(exchange)
    return child_id if dialect is None else dialect.client_ids.of(child_id)


def _units(text: str) -> int:
    return int(Decimal(text) * SCALE)


def run(plan: Plan, home: Path, tell: Tell) -> dict[str, Any]:
    """A broker and a registry of its own, the run, and what was found, as `commands.md` shapes it."""
    settings = Settings(home=home / "stack", valkey="redis://none", clickhouse="http://none")
    with Stack(settings.home, settings, lambda part, state: tell(f"{part}: {state}"), brief=True) as stack:
        chaos = Chaos(plan, stack.addresses, home, tell)
        return chaos.run()
