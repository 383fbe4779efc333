"""Every fill, end and refusal is told once: in the file exactly, at the webhook by its key."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sink_bench import Log, SinkProcess, World

from schemas.records import EventKind, OrderEvent
from schemas.status import public_status
from sinks.amounts import decimal
from sinks.base import Later, Row
from sinks.notifier import FileNotifier

ACCOUNTS = [f"acct {i}" for i in range(9)]
TOPICS = ("orders.events", "venue.alerts")
TOLD = {"DENIED", "FILL", "CLOSED", "CANCEL_DENIED", "MODIFY_DENIED", "TRANSFER_DENIED"}


def notifier(log: Log, folder: Path, **config: Any) -> SinkProcess:
    return SinkProcess(log, "notifier", folder, settings={"rows": 40, "linger": 0.005, "backoff": 0.05}, **config)


def expected(log: Log) -> list[OrderEvent]:
    return [e for e in log.of("orders.events").values() if e.kind in TOLD]


def assert_told_as_logged(told: list[dict[str, Any]], events: list[OrderEvent]) -> None:
    """The same notices as events, each once, an account's in their order, saying what the events say; alerts apart."""
    notices = [n for n in told if n["account_id"] is not None]
    assert Counter(n["key"] for n in notices) == Counter(f"{e.account_id}:{e.account_seq}" for e in events)
    by_key = {f"{e.account_id}:{e.account_seq}": e for e in events}
    last: dict[str, int] = {}
    for n in notices:
        e = by_key[n["key"]]
        assert n["account_seq"] > last.get(n["account_id"], 0)
        last[n["account_id"]] = n["account_seq"]
        assert (n["account_id"], n["account_seq"], n["kind"]) == (e.account_id, e.account_seq, e.kind)
        assert (n["order_id"], n["filled"], n["at"]) == (e.order_id, decimal(e.filled), e.at)
        assert n["status"] == public_status(e.state, e.filled)
        assert e.client_order_id in n["text"]
    assert len(notices) > 20


def assert_alerts_told(told: list[dict[str, Any]], log: Log) -> None:
    """Every alert once, each raised before it is cleared."""
    notices = [n for n in told if n["account_id"] is None]
    alerts = {f"{a.id}:{a.state.value}": a for a in log.of("venue.alerts").values()}
    assert len(alerts) > 10 and Counter(n["key"] for n in notices) == Counter(list(alerts))
    for n in notices:
        a = alerts[n["key"]]
        assert (n["venue"], n["kind"], n["state"], n["asset"], n["at"]) == (a.venue, a.kind, a.state, a.asset, a.at)
        assert n["found"] == (None if a.found is None else decimal(a.found))
        assert a.venue in n["text"] and a.kind.value in n["text"] and a.detail in n["text"]
    keys = [n["key"] for n in notices]
    ends = [key for key in keys if key.endswith(":CLEARED")]
    assert all(keys.index(end.replace(":CLEARED", ":RAISED")) < keys.index(end) for end in ends)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def whole_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_file_has_each_notice_once_through_kills(log: Log, tmp_path: Path) -> None:
    log.write_much(World(41, ACCOUNTS), 2_000)
    path = tmp_path / "told" / "notices.jsonl"
    process = notifier(log, tmp_path, file=str(path))
    process.storm(6, lambda: whole_lines(path), len(expected(log)), random.Random(41))
    process.start().until_carried(TOPICS)
    process.end()
    assert_told_as_logged(lines(path), expected(log))
    assert_alerts_told(lines(path), log)
    places = [(n["partition"], n["offset"]) for n in lines(path) if n["topic"] == "orders.events"]
    assert sorted(places) == sorted(p for p, e in log.of("orders.events").items() if e.kind in TOLD)


def test_a_torn_line_is_cut_off_and_written_again(tmp_path: Path) -> None:
    events = [r for r in World(42, ACCOUNTS).some(200) if isinstance(r, OrderEvent)]
    rows: list[Any] = [Row("orders.events", 0, n, 0, e, None) for n, e in enumerate(events)]  # type: ignore[arg-type]
    place = ("orders.events", 0)
    path = tmp_path / "notices.jsonl"
    whole = FileNotifier(path)
    whole.setup()
    assert whole.resume({place: 3}) == {}
    whole.write(rows)
    whole.close()
    complete = path.read_bytes()
    chance = random.Random(42)
    for size in [0, 1, len(complete) - 1, len(complete), *(chance.randrange(len(complete)) for _ in range(30))]:
        path.write_bytes(complete[:size])
        again = FileNotifier(path)
        again.setup()
        start = again.resume({place: 0}).get(place, 0)
        again.write(rows[start:])
        again.write(rows[: chance.randrange(len(rows))])  # seen before: changes nothing
        again.close()
        assert path.read_bytes() == complete
        assert again.resume({place: 10**6}) == {
            place: 10**6
        }  # where the group is further, what came between was told elsewhere


def test_a_file_has_one_writer(tmp_path: Path) -> None:
    first, second = FileNotifier(tmp_path / "f"), FileNotifier(tmp_path / "f")
    first.setup()
    with pytest.raises(Later):
        second.setup()
    first.close()
    second.setup()
    second.close()


def test_console(log: Log, tmp_path: Path) -> None:
    log.write_much(World(43, ACCOUNTS), 300)
    process = notifier(log, tmp_path).start()
    process.until_carried(TOPICS)
    process.end()
    assert_told_as_logged(lines(tmp_path / "stdout"), expected(log))


class Receiver:
    """A webhook. `answer` decides the status of each post by its key; `taken` are those answered with 200, in order."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.posts: Counter[str] = Counter()
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.answer: Callable[[str, int], int | None] = lambda key, times: 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = receiver.take(self.headers["Idempotency-Key"], body)
                if status is None:
                    self.close_connection = True  # no answer at all
                    return
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"no")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://user:hush@127.0.0.1:{self.server.server_address[1]}/hook?token=hush"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, key: str, body: dict[str, Any]) -> int | None:
        with self.lock:
            self.posts[key] += 1
            status = self.answer(key, self.posts[key])
            if status == 200:
                self.taken.append((key, body))
            return status

    def honoured(self) -> list[dict[str, Any]]:
        """What a receiver that honours the keys has: the first of each."""
        with self.lock:
            first: dict[str, dict[str, Any]] = {}
            for key, body in self.taken:
                first.setdefault(key, body)
            return list(first.values())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_webhook_once_by_key_through_kills_and_faults(log: Log, receiver: Receiver, tmp_path: Path) -> None:
    """Some posts are taken and the answer is lost, some get 503, 408, 429; the process is killed again and again."""
    chance = random.Random(44)

    def answer(key: str, times: int) -> int | None:
        fault = chance.random()
        if times > 1 or fault > 0.04:
            return 200
        return [None, 503, 408, 429][int(fault * 100)]

    receiver.answer = answer
    log.write_much(World(44, ACCOUNTS), 700)
    process = notifier(log, tmp_path, webhook=receiver.url)
    process.storm(4, lambda: len(receiver.posts), len(expected(log)), chance)
    process.start().until_carried(TOPICS)
    process.end()
    assert_told_as_logged(receiver.honoured(), expected(log))
    assert_alerts_told(receiver.honoured(), log)
    assert "hush" not in process.stderr.read_text()
    assert not log.dead_letters("orders.events", 0)


def test_webhook_refusals_are_dead_lettered_and_the_rest_goes_on(log: Log, receiver: Receiver, tmp_path: Path) -> None:
    log.write_much(World(45, ACCOUNTS), 400)
    refused = {f"{e.account_id}:{e.account_seq}": e for e in expected(log)[::10]}
    receiver.answer = lambda key, times: 422 if key in refused_keys else 200
    refused_keys = {key.replace(" ", "%20") for key in refused}
    log.write_bytes("orders.events", "a", b"garbage")
    process = notifier(log, tmp_path, webhook=receiver.url).start()
    process.until_carried(TOPICS)
    process.end()
    letters = log.dead_letters("orders.events", len(refused) + 1)
    assert Counter(x.cause for x in letters) == {"WEBHOOK_422": len(refused), "NOT_AVRO_FRAMED": 1}
    of_refused = {log.codec.decode(x.value, OrderEvent).hash for x in letters if x.cause == "WEBHOOK_422"}
    assert of_refused == {e.hash for e in refused.values()}
    others = [e for e in expected(log) if f"{e.account_id}:{e.account_seq}" not in refused]
    assert_told_as_logged(receiver.honoured(), others)
    assert all(times == 1 for times in receiver.posts.values())


def test_webhook_that_is_silent_is_waited_for_as_long_as_it_asks(log: Log, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer = lambda key, times: 429 if times < 3 else 200
    world = World(46, ["one"])
    log.write([e for e in world.some(90) if isinstance(e, OrderEvent)])
    process = notifier(log, tmp_path, webhook=receiver.url).start()
    process.until(lambda: max(receiver.posts.values(), default=0) >= 2, "a second attempt")
    assert not log.carried(process.group, TOPICS)
    receiver.answer = lambda key, times: 200
    process.until_carried(TOPICS)
    process.end()
    assert "again in 1.0 s" in process.stderr.read_text()
    assert_told_as_logged(receiver.honoured(), expected(log))


def test_every_kind_is_decided() -> None:
    silent = {
        "ACCEPTED",
        "DUPLICATE",
        "ROUTED",
        "WORKING",
        "CANCEL_REQUESTED",
        "CHILD_CLOSED",
        "CHILD_UNKNOWN",
        "TRANSFERRED",
    }
    assert {k.value for k in EventKind} >= TOLD
    assert silent & TOLD == set()
    assert silent <= {k.value for k in EventKind}
