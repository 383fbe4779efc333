"""`bestex venues`: what people and machines read."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.venues.checkup import credentials
from infra import marks
from infra.cli import app
from infra.client import Client
from infra.settings import Addresses
from infra.topics import create_topic
from schemas.records import VenueAlert, VenueAlertKind, VenueAlertState

run = CliRunner().invoke
ORDER = {
    "symbol": "BTC/USDT",
    "side": "buy",
    "quantity": 0.5,
    "price": "30000",
    "key": "k",
    "secret": "s",
    "time": 1795491404841,
}


def last(output: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(output.splitlines()[-1])
    return found


def test_a_request_is_printed_and_not_sent() -> None:
    answer = run(app, ["venues", "request", "bybit", "create", json.dumps({**ORDER, "client_order_id": "c-1"})])
    assert answer.exit_code == 0
    found = last(answer.stdout)
    assert {"method", "url", "headers", "body"} <= set(found)
    assert json.loads(str(found["body"]))["orderLinkId"] == "c-1"


@pytest.mark.parametrize(
    ("name", "call", "given", "said"),
    [
        ("whitebit", "create", {**ORDER, "time_in_force": "FOK", "client_order_id": "c"}, "UNSUPPORTED_TIME_IN_FORCE"),
        ("okx", "balance", {"key": "k", "secret": "s"}, "NO_CREDENTIALS"),
        ("coinbase", "cancel", {"symbol": "BTC/USD", "key": "k", "secret": "s"}, "NO_ORDER_ID"),
        ("ftx", "create", ORDER, None),
        ("binance", "dance", ORDER, None),
    ],
)
def test_what_cannot_be_done_says_why(name: str, call: str, given: dict[str, object], said: str | None) -> None:
    answer = run(app, ["venues", "request", name, call, json.dumps(given), "--json"])
    assert answer.exit_code == 1
    told, code = last(answer.stdout), "UNKNOWN_EXCHANGE" if name == "ftx" else "INVALID_VALUE"
    assert told["error"] and told.get("refused") == said and told["code"] == ("REFUSED" if said else code)


def test_all_twenty_are_listed_and_shown() -> None:
    listed = run(app, ["venues", "list", "--json"])
    rows = last(listed.stdout)["venues"]
    assert isinstance(rows, list) and len(rows) == 20
    shown = run(app, ["venues", "show", "bitstamp", "--json"])
    assert last(shown.stdout)["client_order_id"] == {"parameter": "client_order_id", "accepts": "[A-Za-z0-9_-]{1,64}"}
    assert run(app, ["venues", "show", "ftx"]).exit_code == 1
    for text in (["venues", "list"], ["venues", "show", "okx"]):
        assert run(app, text).exit_code == 0


def test_credentials_come_from_the_environment_or_from_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hidden\n")
    found = credentials("okx", {"BESTEX_VENUE_OKX_API_KEY": "k", "BESTEX_VENUE_OKX_SECRET_FILE": str(file)})
    assert (found.api_key, found.secret, found.password) == ("k", "hidden", "")
    assert "hidden" not in repr(found)


def test_a_venue_that_cannot_be_reached_fails_the_check() -> None:
    answer = run(app, ["venues", "check", "gemini", "--rest-url", "http://127.0.0.1:1", "--timeout", "0.5", "--json"])
    assert answer.exit_code == 1
    assert last(answer.stdout)["failed"] == ["markets", "credentials"]


def alert(number: int, state: VenueAlertState) -> VenueAlert:
    return VenueAlert(
        id=f"test-{number}",
        venue="alpha",
        kind=VenueAlertKind.BALANCE_DRIFT,
        state=state,
        asset="USDT",
        expected=5 * 10**8,
        found=7 * 10**8,
        detail="+2 USDT that no fill of ours explains",
        raised_at=number,
        at=number,
    )


def test_alerts_that_stand_are_listed(stack: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kafka", "registry", "valkey", "clickhouse"):
        monkeypatch.setenv(f"BESTEX_{name.upper()}", getattr(stack, name))
    one, topic = 1_700_000_000_000_000, f"alerts-{uuid.uuid4().hex[:8]}"
    kafka = {"bootstrap.servers": stack.kafka}
    create_topic(kafka, topic, 1, retention_ms=-1)
    monkeypatch.setattr(marks, "ALERTS", topic)
    client = Client(kafka, stack.registry)
    for number, state in ((one, VenueAlertState.RAISED), (one + 1, VenueAlertState.RAISED)):
        client.send(topic, f"test-{number}", alert(number, state))
    client.send(topic, f"test-{one}", alert(one, VenueAlertState.CLEARED))
    found = last(run(app, ["venues", "alerts", "--json"]).stdout)["alerts"]
    assert isinstance(found, list)
    (stands,) = found
    assert (stands["id"], stands["kind"], stands["state"]) == (f"test-{one + 1}", "BALANCE_DRIFT", "RAISED")
    assert (stands["venue"], stands["asset"], stands["expected"], stands["found"]) == ("alpha", "USDT", "5", "7")
    every = last(run(app, ["venues", "alerts", "--all", "--json"]).stdout)["alerts"]
    assert isinstance(every, list)
    assert [(a["id"], a["state"]) for a in every] == [(f"test-{one}", "CLEARED"), (f"test-{one + 1}", "RAISED")]
    said = run(app, ["venues", "alerts"])
    assert said.exit_code == 0 and "BALANCE_DRIFT" in said.stdout and "CLEARED" not in said.stdout
