"""What would be sent to the twenty exchanges, against the table of what they document, their signatures, and ccxt's traps."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ccxt.async_support import binance, gate
from venue_calls import CASES, EXCHANGES, SECRET, TIME, made, params, sent, symbol

from connectors.venues.dialect import Call
from connectors.venues.exchanges import DIALECTS
from connectors.venues.outcomes import Refused
from connectors.venues.preview import facts, preview

TABLE = Path(__file__).with_name("venue_requests.md")
VECTORS = Path(os.environ.get("BESTEX_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "vectors"


def rows() -> dict[tuple[str, str], tuple[str, str, str]]:
    found = {}
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 5 and cells[0] in DIALECTS:
            found[cells[0], cells[1]] = (cells[2], cells[3], cells[4].replace("\\|", "|"))
    return found


ROWS = rows()


def test_the_table_and_the_registry_name_the_same_exchanges_and_calls() -> None:
    assert {exchange for exchange, _ in ROWS} == set(EXCHANGES)
    assert len(EXCHANGES) == 20
    assert set(ROWS) == {(exchange, case) for exchange in EXCHANGES for case in CASES}


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_each_request_is_the_documented_one(exchange: str) -> None:
    for case in CASES:
        method, address, told, then = sent(exchange, case)
        assert (method, address, f"{told} then {then}".strip() if then else told) == ROWS[exchange, case], case


# ---- signatures, recomputed from the exchanges' documentation without ccxt


def _hmac(what: str | bytes, how: str = "sha256", key: bytes = SECRET.encode()) -> Any:
    return hmac.new(key, what.encode() if isinstance(what, str) else what, how)


def _base64(mac: Any) -> str:
    return base64.b64encode(mac.digest()).decode()


def _path(r: dict[str, Any]) -> str:
    parts = urlsplit(r["url"])
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _query(r: dict[str, Any]) -> str:
    return urlsplit(r["url"]).query


def _unsigned(text: str) -> tuple[str, str]:
    found, _, signature = text.partition("&signature=")
    return found, signature


def _kraken(r: dict[str, Any]) -> tuple[str, str]:
    nonce = re.match(r"nonce=(\d+)", r["body"])[1]  # type: ignore[index]
    inner = hashlib.sha256((nonce + r["body"]).encode()).digest()
    mac = _hmac(urlsplit(r["url"]).path.encode() + inner, "sha512", base64.b64decode(SECRET))
    return _base64(mac), r["headers"]["API-Sign"]


def _htx(r: dict[str, Any]) -> tuple[str, str]:
    from urllib.parse import unquote

    query, _, given = _query(r).partition("&Signature=")
    told = "\n".join([r["method"], urlsplit(r["url"]).netloc, urlsplit(r["url"]).path, query])
    return _base64(_hmac(told)), unquote(given)


def _cryptocom(r: dict[str, Any]) -> tuple[str, str]:
    body = json.loads(r["body"])

    def flat(value: Any) -> str:
        if isinstance(value, dict):
            return "".join(k + flat(value[k]) for k in sorted(value))
        return "".join(map(flat, value)) if isinstance(value, list) else str(value)

    told = body["method"] + body["id"] + body["api_key"] + flat(body["params"]) + body["nonce"]
    return _hmac(told).hexdigest(), body["sig"]


def _upbit(r: dict[str, Any]) -> tuple[str, str]:
    told, _, given = r["headers"]["Authorization"].removeprefix("Bearer ").rpartition(".")
    return base64.urlsafe_b64encode(_hmac(told).digest()).rstrip(b"=").decode(), given


def _poloniex(r: dict[str, Any]) -> tuple[str, str]:
    h, path = r["headers"], urlsplit(r["url"]).path
    if r["method"] == "GET":
        pairs = sorted([*filter(None, _query(r).split("&")), f"signTimestamp={h['signTimestamp']}"])
        told = "\n".join([r["method"], path, "&".join(pairs)])
    else:
        body = f"requestBody={r['body']}&" if r["body"] else ""
        told = "\n".join([r["method"], path, f"{body}signTimestamp={h['signTimestamp']}"])
    return _base64(_hmac(told)), h["signature"]


def _lbank(r: dict[str, Any]) -> tuple[str, str]:
    h = r["headers"]
    given = re.search(r"&?sign=([0-9a-f]+)", r["body"])[1]  # type: ignore[index]
    pairs = [p for p in r["body"].split("&") if not p.startswith("sign=")]
    pairs += [f"echostr={h['echostr']}", "signature_method=HmacSHA256", f"timestamp={h['timestamp']}"]
    digest = hashlib.md5("&".join(sorted(pairs)).encode()).hexdigest().upper()
    return _hmac(digest).hexdigest(), given


def _gate(r: dict[str, Any]) -> tuple[str, str]:
    h = r["headers"]
    body = hashlib.sha512((r["body"] or "").encode()).hexdigest()
    told = "\n".join([r["method"], urlsplit(r["url"]).path, _query(r), body, h["Timestamp"]])
    return _hmac(told, "sha512").hexdigest(), h["SIGN"]


def _bitstamp(r: dict[str, Any]) -> tuple[str, str]:
    h = r["headers"]
    told = h["X-Auth"] + r["method"] + urlsplit(r["url"]).netloc + _path(r) + h["Content-Type"]
    told += h["X-Auth-Nonce"] + h["X-Auth-Timestamp"] + "v2" + r["body"]
    return _hmac(told).hexdigest(), h["X-Auth-Signature"]


def _binance(r: dict[str, Any]) -> tuple[str, str]:
    told, given = _unsigned(r["body"] or _query(r))
    return _hmac(told).hexdigest(), given


def _url(r: dict[str, Any]) -> tuple[str, str]:
    told, given = _unsigned(_query(r))
    return _hmac(told).hexdigest(), given


SIGNATURES: dict[str, Callable[[dict[str, Any]], tuple[str, str]]] = {
    "binance": _binance,
    "coinbase": lambda r: (
        _hmac(
            r["headers"]["CB-ACCESS-TIMESTAMP"] + r["method"] + urlsplit(r["url"]).path + (r["body"] or "")
        ).hexdigest(),
        r["headers"]["CB-ACCESS-SIGN"],
    ),
    "kraken": _kraken,
    "bitfinex": lambda r: (
        _hmac("/api" + _path(r) + r["headers"]["bfx-nonce"] + r["body"], "sha384").hexdigest(),
        r["headers"]["bfx-signature"],
    ),
    "okx": lambda r: (
        _base64(_hmac(r["headers"]["OK-ACCESS-TIMESTAMP"] + r["method"] + _path(r) + (r["body"] or ""))),
        r["headers"]["OK-ACCESS-SIGN"],
    ),
    "bybit": lambda r: (
        _hmac(
            f"{r['headers']['X-BAPI-TIMESTAMP']}key{r['headers']['X-BAPI-RECV-WINDOW']}{r['body'] or _query(r)}"
        ).hexdigest(),
        r["headers"]["X-BAPI-SIGN"],
    ),
    "kucoin": lambda r: (
        _base64(_hmac(r["headers"]["KC-API-TIMESTAMP"] + r["method"] + _path(r) + (r["body"] or ""))),
        r["headers"]["KC-API-SIGN"],
    ),
    "gate": _gate,
    "bitstamp": _bitstamp,
    "gemini": lambda r: (
        _hmac(r["headers"]["X-GEMINI-PAYLOAD"], "sha384").hexdigest(),
        r["headers"]["X-GEMINI-SIGNATURE"],
    ),
    "htx": _htx,
    "mexc": _url,
    "bitget": lambda r: (
        _base64(_hmac(r["headers"]["ACCESS-TIMESTAMP"] + r["method"] + _path(r) + (r["body"] or ""))),
        r["headers"]["ACCESS-SIGN"],
    ),
    "cryptocom": _cryptocom,
    "bingx": _url,
    "whitebit": lambda r: (
        _hmac(base64.b64encode(r["body"].encode()), "sha512").hexdigest(),
        r["headers"]["X-TXC-SIGNATURE"],
    ),
    "upbit": _upbit,
    "bitvavo": lambda r: (
        _hmac(r["headers"]["BITVAVO-ACCESS-TIMESTAMP"] + r["method"] + _path(r) + (r["body"] or "")).hexdigest(),
        r["headers"]["BITVAVO-ACCESS-SIGNATURE"],
    ),
    "poloniex": _poloniex,
    "lbank": _lbank,
}


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_signatures_are_what_the_exchange_would_compute(exchange: str) -> None:
    signed = 0
    for case in CASES:
        try:
            request = made(exchange, case)
        except Refused:
            continue
        expected, given = SIGNATURES[exchange](request)
        assert given == expected, case
        signed += 1
    assert signed >= 9


def test_a_moment_that_is_given_makes_one_request() -> None:
    for exchange in EXCHANGES:
        assert made(exchange, "fetch") == made(exchange, "fetch")
        assert made(exchange, "fetch") != made(exchange, "fetch", time=TIME + 1000, nonce=str(TIME + 1000))


# ---- examples of the exchanges' own documentation


def vectors() -> dict[str, dict[str, Any]]:
    path = VECTORS / "known-answers.json"
    if not path.exists():
        pytest.skip(f"no {path}: the exchanges' own examples are not here")
    return {v["name"]: v for v in json.loads(path.read_text())}


def test_kraken_signs_its_documented_example() -> None:
    vector = vectors()["kraken_api_sign"]
    order = {"symbol": "BTC/USD", "side": "buy", "type": "limit", "quantity": "1.25", "price": "37500"}
    request = preview("kraken", "create", {**order, "key": "k", "secret": vector["secret"], "nonce": vector["nonce"]})
    assert request["body"] == vector["body"]
    assert urlsplit(request["url"]).path == vector["path"]
    assert request["headers"]["API-Sign"] == vector["expected"]


def test_binance_signs_its_documented_example() -> None:
    vector = vectors()["binance_hmac"]
    assert _hmac(vector["payload"], key=vector["secret"].encode()).hexdigest() == vector["expected"]
    exchange = binance()
    assert exchange.hmac(vector["payload"].encode(), vector["secret"].encode(), hashlib.sha256) == vector["expected"]
    order = {"symbol": "LTC/BTC", "side": "buy", "type": "limit", "quantity": "1", "price": "0.1"}
    at = {"key": "k", "secret": vector["secret"], "time": 1499827319559}
    told, given = _unsigned(preview("binance", "create", order | at)["body"])
    assert given == _hmac(told, key=vector["secret"].encode()).hexdigest()
    assert set(vector["payload"].split("&")) - {"recvWindow=5000"} <= set(told.split("&"))


def test_gate_signs_its_documented_example() -> None:
    vector = vectors()["gate_v4_get"]
    exchange = gate({"apiKey": vector["key"], "secret": vector["secret"], "options": {"timeDifference": 0}})
    exchange.milliseconds = lambda: 1541993715000
    query = {"contract": "BTC_USD", "status": "finished", "limit": 50}
    made = exchange.sign("orders", ["private", "futures"], "GET", query)
    told = "\n".join(
        [
            "GET",
            "/api/v4/futures/orders",
            "contract=BTC_USD&status=finished&limit=50",
            hashlib.sha512().hexdigest(),
            "1541993715",
        ]
    )
    expected = hmac.new(vector["secret"].encode(), told.encode(), "sha512").hexdigest()
    assert expected == vector["expected"]
    # ccxt sorts the query, so what it signs is its own
    sorted_query = told.replace("contract=BTC_USD&status=finished&limit=50", urlsplit(made["url"]).query)
    assert made["headers"]["SIGN"] == hmac.new(vector["secret"].encode(), sorted_query.encode(), "sha512").hexdigest()


# ---- ccxt's traps


OUR_ID = {exchange: dialect.client_ids.of("c12345678") for exchange, dialect in DIALECTS.items()}


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_our_id_goes_out_under_its_own_name_with_every_order(exchange: str) -> None:
    name = DIALECTS[exchange].client_ids.parameter
    for case in ("limit", "ioc", "fok", "post-only", "market buy", "market sell"):
        try:
            found = params(made(exchange, case))
        except Refused:
            continue
        assert str(found[name]) == OUR_ID[exchange], case


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_nothing_is_ever_sent_for_an_id_that_is_missing(exchange: str) -> None:
    for case in ("cancel", "fetch", "cancel by its id"):
        request = made(exchange, case)
        for one in (request, *request.get("then", ())):
            assert "None" not in one["url"]
            assert "null" not in (one["body"] or "")
    for call in (Call.CANCEL, Call.FETCH):
        if (exchange, call) == ("bitfinex", Call.FETCH) or (exchange, call) == ("coinbase", Call.FETCH):
            continue  # a listing, which needs no id
        with pytest.raises(Refused):
            preview(exchange, call, {"symbol": symbol(exchange), "key": "k", "secret": SECRET, "password": "p"})


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_order_that_may_not_rest_says_so(exchange: str) -> None:
    """IOC and FOK are told apart from a plain order, and from each other, by a documented word."""
    plain = params(made(exchange, "limit"))
    words = {"IOC": "ioc immediate", "FOK": "fok fill"}
    for validity, known in words.items():
        try:
            found = params(made(exchange, validity.lower()))
        except Refused:
            assert validity not in DIALECTS[exchange].validities
            continue
        differing = json.dumps([{k: v} for k, v in found.items() if plain.get(k) != v]).lower()
        assert any(word in differing for word in known.split()), (validity, differing)


def test_the_traps_of_the_notes() -> None:
    assert params(made("coinbase", "ioc"))["client_order_id"] == "c12345678"
    assert params(made("cryptocom", "ioc"))["client_oid"] == "c12345678"
    stamp = params(made("bitstamp", "ioc"))
    assert stamp["ioc_order"] == "True" and "timeInForce" not in stamp
    assert params(made("bitvavo", "limit", operator_id=42))["operatorId"] == 42
    assert params(made("bitvavo", "cancel", operator_id=42))["operatorId"] == "42"
    assert re.fullmatch("[A-Za-z0-9]{1,32}", params(made("okx", "limit"))["clOrdId"])
    assert made("okx", "limit")["url"].endswith("/api/v5/trade/order")
    assert params(made("gate", "limit"))["text"] == "t-c12345678"
    assert "cid_date" in params(made("bitfinex", "cancel"))
    assert params(made("bitget", "ioc"))["force"] == "ioc"
    assert "recvWindow=3000" in made("bingx", "ioc", recv_window_ms=3000)["url"]
    assert made("poloniex", "cancel")["url"].endswith("/orders/cid:c12345678")
    for exchange, case in (("whitebit", "fok"), ("lbank", "post-only"), ("gemini", "market buy")):
        with pytest.raises(Refused):
            made(exchange, case)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_ids_follow_from_the_child_and_fit(exchange: str) -> None:
    ids = DIALECTS[exchange].client_ids
    children = [
        "c12345678",
        "a-very-long-child-id-with-dashes_and_underscores-0001",
        "ünï/çødé",
        *(f"o.{n}/1" for n in range(2000)),
    ]
    wire = [ids.of(child) for child in children]
    assert wire == [ids.of(child) for child in children]
    assert all(re.fullmatch(ids.accepts, one) for one in wire)
    assert len(set(wire)) == len(wire)
    assert all(ids.of(one) == one for one in wire), "an id on the wire names itself"


def test_amounts_go_out_as_they_came() -> None:
    exact = {"quantity": "0.12345678", "price": "12345.6789"}
    for exchange in EXCHANGES:
        told = json.dumps(params(made(exchange, "limit", **exact)))
        assert "0.12345678" in told and "12345.6789" in told, exchange


def test_what_cannot_be_read_is_refused() -> None:
    for given in (
        {"symbol": "BTCUSDT"},
        {"colour": "red"},
        {"amount": "1", "quantity": "1"},
        {"quantity": "0.123456789"},
    ):
        with pytest.raises(ValueError):
            preview(
                "binance",
                "create",
                {"symbol": "BTC/USDT", "side": "buy", "key": "k", "secret": "s", "price": "1", **given},
            )
    with pytest.raises(Refused) as refused:
        preview("okx", "balance", {"key": "k", "secret": "s"})
    assert refused.value.args[0] == "NO_CREDENTIALS"


def test_facts_agree_with_the_recorded_ones() -> None:
    path = VECTORS.parent / "exchanges.json"
    if not path.exists():
        pytest.skip(f"no {path}: what ccxt's classes say is not recorded here")
    recorded = json.loads(path.read_text())
    assert set(recorded) == set(EXCHANGES)
    names = {"apiKey": "api_key", "secret": "secret", "password": "password"}
    for exchange, said in recorded.items():
        found = facts(DIALECTS[exchange])
        assert {names[c] for c in said["requiredCredentials"]} == set(found["credentials"]) - {"account_id"}, exchange
        tif = said["features_createOrder"]["timeInForce"]
        assert {v for v in ("GTC", "IOC", "FOK") if tif[v]} == set(found["time_in_force"]), exchange
        assert tif["PO"] == found["post_only"], exchange
        if found["sandbox"]:
            assert said["sandbox_url"] or said["demo_url"] or exchange == "bitget", exchange
