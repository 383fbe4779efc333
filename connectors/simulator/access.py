"""Who asks, and whether it is really them, in time: Binance's keys, HMAC-SHA256 signatures and `recvWindow`. Pure.

A signature is over the query and the body as they were sent, one after the other, without the `signature` parameter itself. Of the
WebSocket API it is over the parameters in alphabetical order. A request counts until `timestamp` + `recvWindow`, so that a client can
know after that time that a request of its own which got lost does not turn up any more.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

from connectors.simulator.config import Account
from connectors.simulator.rules import Refusal

DEFAULT_WINDOW, LONGEST_WINDOW, EARLY = 5_000, 60_000, 1_000  # milliseconds
_SIGNATURE = re.compile(r"(?:^|&)signature=[^&]*")


def missing(name: str) -> Refusal:
    """A parameter that must be there is not, or cannot be read."""
    return Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def whole(params: Mapping[str, object], name: str, default: int | None = None) -> int:
    """An integer parameter. Raises `Refusal`."""
    given = params.get(name)
    if given is None and default is not None:
        return default
    if isinstance(given, bool) or not re.fullmatch(r"[0-9]{1,18}", str(given)):
        raise missing(name)
    return int(str(given))


class Access:
    """The accounts of a venue by their API keys."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = {a.api_key: a for a in accounts}
        self.names = frozenset(a.name for a in self._accounts.values())

    def http(self, api_key: str | None, query: str, body: str, now: int) -> tuple[str, dict[str, str]]:
        """The account that signed and its parameters; `now` in milliseconds. Raises `Refusal`."""
        account = self._account(api_key)
        params = {**dict(parse_qsl(query)), **dict(parse_qsl(body))}
        if "signature" not in params:
            raise missing("signature")
        payload = _SIGNATURE.sub("", query) + _SIGNATURE.sub("", body)
        _check(account, payload, params["signature"])
        in_time(params, now)
        return account.name, params

    def socket(self, params: Mapping[str, object], now: int) -> str:
        """The account that signed a request of the WebSocket API. Raises `Refusal`."""
        account = self._account(str(params.get("apiKey", "")))
        payload = "&".join(f"{k}={v}" for k, v in sorted(params.items()) if k != "signature")
        _check(account, payload, str(params.get("signature", "")))
        in_time(params, now)
        return account.name

    def _account(self, api_key: str | None) -> Account:
        if not api_key:
            raise Refusal(-2014, "API-key format invalid.", 401)
        account = self._accounts.get(api_key)
        if account is None:
            raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return account


def _check(account: Account, payload: str, signature: str) -> None:
    expected = hmac.digest(account.secret.encode(), payload.encode(), hashlib.sha256).hex()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Refusal(-1022, "Signature for this request is not valid.")


def in_time(params: Mapping[str, object], now: int) -> None:
    """Raises `Refusal` when the request was signed in the future or too long ago."""
    stamp, window = whole(params, "timestamp"), whole(params, "recvWindow", DEFAULT_WINDOW)
    if window > LONGEST_WINDOW:
        raise Refusal(-1131, f"'recvWindow' must be less than {LONGEST_WINDOW}.")
    if stamp >= now + EARLY:
        raise Refusal(-1021, f"Timestamp for this request was {EARLY}ms ahead of the server's time.")
    if now - stamp > window:
        raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
