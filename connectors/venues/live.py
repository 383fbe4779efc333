"""ccxt's class of an exchange, made ready to sign and read for an adapter, while httpx carries its requests."""

from __future__ import annotations

import time
from typing import Any

import httpx

from connectors.venues.adapter import VenueConfig, wall_ms
from connectors.venues.dialect import Dialect
from connectors.venues.signing import Credentials, class_of, settings_of, tidied
from connectors.venues.transport import HttpxTransport


class _Live(HttpxTransport):
    """Mixed in before ccxt's class: the time that a request is signed with can be given."""

    at_ms: int | None = None
    nonces_per_ms = 1
    last_nonce = 0

    def milliseconds(self) -> int:
        return wall_ms() if self.at_ms is None else self.at_ms

    def seconds(self) -> int:
        """Coinbase's tokens are of these."""
        return self.milliseconds() // 1000

    def incrementing_nonce(self) -> int:
        """Never the same twice, and in step with the clock, so that several processes may use one key."""
        self.last_nonce = max(self.last_nonce + 1, time.time_ns() * self.nonces_per_ms // 1_000_000)
        return self.last_nonce


def live(dialect: Dialect, config: VenueConfig, http: httpx.AsyncClient) -> Any:
    """An instance of ccxt's class for an account. It reads numbers as strings, so that no amount passes through a float."""
    credentials = Credentials(config.api_key, config.secret, config.password, config.account_id)
    exchange = made(dialect, _Live, settings_of(credentials, config.recv_window_ms), http, config.timeout)
    exchange.number = str
    if config.sandbox:
        exchange.set_sandbox_mode(True)
    exchange.urls["api"] = elsewhere(exchange.urls["api"], config.rest_url, config.ws_url)
    exchange.nonces_per_ms = dialect.nonces_per_ms
    return exchange


def made(dialect: Dialect, before: type, settings: dict[str, Any], http: httpx.AsyncClient, timeout: float) -> Any:
    """An instance of ccxt's class with `before` mixed in before it, which `http` carries, with a time limit in seconds."""
    settings["options"] |= dialect.options
    settings["timeout"] = int(timeout * 1000)
    name = f"{before.__name__.strip('_')}{dialect.title}"
    exchange: Any = tidied(type(name, (before, class_of(dialect, pro=True)), {})(settings))
    exchange.http, exchange.http_timeout = http, timeout
    exchange.has["fetchCurrencies"] = False
    return exchange


def elsewhere(urls: Any, rest: str | None, ws: str | None) -> Any:
    """The exchange's addresses with scheme and host replaced."""
    if isinstance(urls, dict):
        return {key: elsewhere(value, rest, ws) for key, value in urls.items()}
    if not isinstance(urls, str) or "://" not in urls:
        return urls
    scheme, _, after = urls.partition("://")
    base = ws if scheme.startswith("ws") else rest
    _, slash, path = after.partition("/")
    return urls if base is None else base.rstrip("/") + slash + path
