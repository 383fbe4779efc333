"""The calls that are tried on every exchange, and what of the request a person would look at."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from connectors.venues.exchanges import DIALECTS
from connectors.venues.outcomes import Refused
from connectors.venues.preview import preview

SECRET = base64.b64encode(b"a secret of 24 bytes....").decode()[:31] + "="
TIME = 1_795_491_404_841
KEYS = {"key": "key", "secret": SECRET, "password": "pass", "account_id": "123", "time": TIME, "nonce": str(TIME)}
QUOTES = {"upbit": "KRW", "bitvavo": "EUR", "coinbase": "USD", "kraken": "USD", "gemini": "USD", "bitstamp": "USD"}

_LIMIT = {"type": "limit", "side": "buy", "quantity": "0.5", "price": "30000"}
_OURS = {"client_order_id": "c12345678"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "limit": ("create", _LIMIT | _OURS),
    "ioc": ("create", _LIMIT | _OURS | {"time_in_force": "IOC"}),
    "fok": ("create", _LIMIT | _OURS | {"time_in_force": "FOK"}),
    "post-only": ("create", _LIMIT | _OURS | {"side": "sell", "post_only": True}),
    "market buy": ("create", _LIMIT | _OURS | {"type": "market"}),
    "market sell": ("create", _OURS | {"type": "market", "side": "sell", "quantity": "0.5"}),
    "cancel": ("cancel", _OURS),
    "fetch": ("fetch", _OURS),
    "cancel by its id": ("cancel", {"order_id": "777"}),
    "open orders": ("open_orders", {}),
    "my trades": ("my_trades", {}),
    "balance": ("balance", {}),
}
# what signing adds
SIGNING = {
    "timestamp", "signature", "recvWindow", "nonce", "nonceWindow", "request", "api_key", "sign", "sig",
    "AccessKeyId", "SignatureMethod", "SignatureVersion", "Timestamp", "Signature",
}  # fmt: skip


def symbol(exchange: str) -> str:
    return f"BTC/{QUOTES.get(exchange, 'USDT')}"


def made(exchange: str, case: str, **more: Any) -> dict[str, Any]:
    """The request of a case. Raises `Refused`."""
    call, given = CASES[case]
    which = {} if call == "balance" else {"symbol": symbol(exchange)}
    return preview(exchange, call, {**KEYS, **which, **given, **more})


def params(request: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a request, wherever they are, without the signature's."""
    found: dict[str, Any] = {}
    for key, value in parse_qsl(urlsplit(request["url"]).query):
        found[key] = value
    payload = request["headers"].get("X-GEMINI-PAYLOAD")
    body = base64.b64decode(payload).decode() if payload else request["body"] or ""
    if body.startswith(("{", "[")):
        found |= json.loads(body)
        if "params" in found and "method" in found:
            found = found["params"]
    else:
        found |= dict(parse_qsl(body))
    return {k: v for k, v in found.items() if k not in SIGNING}


def sent(exchange: str, case: str) -> tuple[str, str, str, str]:
    """Method, address, parameters and what follows, as the table has them."""
    try:
        request = made(exchange, case)
    except Refused as refusal:
        return "refused", "", refusal.args[0], ""
    then = [f"{r['method']} {_address(r)} {_plain(params(r))}" for r in request.get("then", ())]
    return request["method"], _address(request), _plain(params(request)), "; ".join(then)


def _address(request: dict[str, Any]) -> str:
    parts = urlsplit(request["url"])
    return parts.netloc + parts.path


def _plain(found: dict[str, Any]) -> str:
    return " ".join(
        f"{k}={v if isinstance(v, str) else json.dumps(v, separators=(',', ':'))}" for k, v in found.items()
    )


EXCHANGES = tuple(DIALECTS)
