"""Signing: a dialect's request becomes the method, address, headers and body that go over the wire.

ccxt's class signs; what is mixed in before it takes away what is not ours to send (a broker's marks), gives the clock, the counter and
the unique words to whoever asks for a request with given ones, and mends what ccxt refuses or adds without need:

* Gemini's master keys are keys too;
* OKX and others get no id and no tag that is not in the request.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from connectors.venues.dialect import Dialect, Send
from connectors.venues.outcomes import Refused

# ccxt's marks of itself as a broker
MARKS = frozenset({"X-SOURCE-KEY", "X-CHANNEL-API-CODE", "source", "Referer", "X-Gate-Channel-Id"})
AGENT = "bestex"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an exchange knows an account by. Nothing of it is ever shown."""

    api_key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    account_id: str = ""

    def missing(self, dialect: Dialect) -> list[str]:
        """The names of those that the exchange needs and are not here."""
        return [name for name in dialect.secrets if not getattr(self, name)]


@dataclass(frozen=True, slots=True)
class Moment:
    """A request's time in milliseconds, and its nonce: a number where the exchange counts, a word where it wants one seen once."""

    time_ms: int
    nonce: str | None = None

    @property
    def counter(self) -> int:
        return int(self.nonce) if self.nonce and self.nonce.isdigit() else self.time_ms


class Clean:
    """Mixed in before a ccxt class."""

    def sign(self, *args: Any, **kwargs: Any) -> Any:
        signed: dict[str, Any] = super().sign(*args, **kwargs)  # type: ignore[misc]  # ccxt's class comes after
        if signed.get("headers"):
            marks = {k for k in signed["headers"] if k in MARKS or k.startswith("KC-API-PARTNER")}
            signed["headers"] = {k: v for k, v in signed["headers"].items() if k not in marks and v is not None}
        return signed


class CleanGemini(Clean):
    """Gemini: the parameters are a header, the body is empty."""

    def sign(self, path: str, api: Any = (), method: str = "GET", params: Any = None) -> Any:
        ex: Any = self
        if next(iter(api)) != "private":
            return super().sign(path, api, method, params or {})
        request = {"request": f"/{path}", "nonce": str(ex.incrementing_nonce()), **(params or {})}
        payload = base64.b64encode(json.dumps(request, separators=(",", ":")).encode())
        signature = ex.hmac(payload, ex.encode(ex.secret), hashlib.sha384)
        headers = {
            "Content-Type": "text/plain",
            "Content-Length": "0",
            "Cache-Control": "no-cache",
            "X-GEMINI-APIKEY": ex.apiKey,
            "X-GEMINI-PAYLOAD": payload.decode(),
            "X-GEMINI-SIGNATURE": signature,
        }
        return {"url": f"{ex.urls['api']['private']}/{path}", "method": method, "body": None, "headers": headers}


class CleanCoinbase(Clean):
    """Coinbase: keys of three kinds. ccxt takes every secret that ends with `=` for an Ed25519 key; those have 32 or 64 bytes."""

    def sign(self, path: str, api: Any = (), method: str = "GET", params: Any = None) -> Any:
        ex: Any = self
        secret: str = ex.secret
        if not secret.endswith("=") or len(secret) in (44, 88):
            return super().sign(path, api, method, params or {})
        ex.secret = "shared"  # so that ccxt does what it does for a shared secret
        try:
            signed = super().sign(path, api, method, params or {})
        finally:
            ex.secret = secret
        headers = signed["headers"]
        if headers and "CB-ACCESS-SIGN" in headers:
            told = headers["CB-ACCESS-TIMESTAMP"] + method + urlsplit(signed["url"]).path + (signed["body"] or "")
            headers["CB-ACCESS-SIGN"] = ex.hmac(told.encode(), secret.encode(), hashlib.sha256)
        return signed


def token_of(exchange: Any) -> Callable[[int], str] | None:
    """How a Coinbase key makes a JWT as of a time in seconds; None for one that signs with a shared secret, and for other exchanges."""
    secret: str = exchange.secret or ""
    if exchange.id != "coinbase":
        return None
    if secret.startswith("-----BEGIN") or "organizations/" in (exchange.apiKey or ""):
        return lambda seconds: str(exchange.create_auth_token(seconds))
    if secret.endswith("=") and len(secret) in (44, 88):
        return lambda seconds: str(exchange.create_auth_token(seconds, None, None, True))
    return None


CLEAN: Mapping[str, type[Clean]] = {"coinbase": CleanCoinbase, "gemini": CleanGemini}


class Frozen:
    """Mixed in before a ccxt class to sign as of a given moment."""

    moment: Moment

    def milliseconds(self) -> int:
        return self.moment.time_ms

    def seconds(self) -> int:
        return self.moment.time_ms // 1000

    def microseconds(self) -> int:
        return self.moment.time_ms * 1000

    def incrementing_nonce(self) -> int:
        return self.moment.counter

    def uuid(self) -> str:
        return self.moment.nonce or f"{self.moment.time_ms:032x}"

    def uuid22(self, length: int = 22) -> str:
        return self.uuid()

    def uuid16(self, length: int = 16) -> str:
        return ""

    def random_bytes(self, length: int) -> str:
        return self.uuid()


class FrozenCounter(Frozen):
    """Where the nonce is not the clock."""

    def nonce(self) -> int:
        return self.moment.counter


def class_of(dialect: Dialect, pro: bool = False) -> type[Any]:
    """ccxt's class of an exchange, cleaned. The first import of ccxt takes seconds."""
    found: type[Any] = getattr(importlib.import_module("ccxt.pro" if pro else "ccxt.async_support"), dialect.exchange)
    return type(f"Clean{dialect.title}", (CLEAN.get(dialect.exchange, Clean), found), {})


def tidied(exchange: Any) -> Any:
    """Without ccxt's marks in what it adds to every request."""
    exchange.headers = {k: v for k, v in (exchange.headers or {}).items() if k not in MARKS}
    exchange.userAgent = AGENT
    return exchange


def settings_of(credentials: Credentials, recv_window_ms: int) -> dict[str, Any]:
    """What ccxt's classes are made with."""
    return {
        "apiKey": credentials.api_key,
        "secret": credentials.secret,
        "password": credentials.password,
        "enableRateLimit": False,  # its one queue would hold a cancel behind market data
        "options": {
            "timeDifference": 0,
            "recvWindow": recv_window_ms,
            "defaultType": "spot",
            "warnOnFetchOpenOrdersWithoutSymbol": False,
        },
    }


def signed(
    dialect: Dialect, send: Send, credentials: Credentials, moment: Moment, recv_window_ms: int = 5_000
) -> dict[str, Any]:
    """`method, url, headers, body` of a request as of a moment. Raises `Refused` for credentials that are missing or unusable."""
    missing = [name for name in credentials.missing(dialect) if name != "account_id"]
    if missing:
        raise Refused("NO_CREDENTIALS", f"{dialect.title} needs {', '.join(missing)}")
    frozen: type[Frozen] = FrozenCounter if dialect.nonce == "counter" else Frozen
    cls = type("Offline", (frozen, class_of(dialect)), {"moment": moment})
    exchange: Any = tidied(cls(settings_of(credentials, recv_window_ms)))
    try:
        made = exchange.sign(send.path, list(send.api), send.method, dict(send.params))
    except Exception as error:
        raise Refused("CANNOT_SIGN", f"{dialect.title}: {error!r:.300}") from error
    headers = exchange.prepare_request_headers({**(made.get("headers") or {}), **send.headers})
    return {
        "method": made["method"],
        "url": made["url"],
        "headers": dict(headers),
        "body": _text(made.get("body")),
    }


def _text(body: object) -> str | None:
    return body.decode() if isinstance(body, bytes) else None if body is None else str(body)
