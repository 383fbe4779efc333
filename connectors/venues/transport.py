"""The one HTTP path to the venues: ccxt signs and reads, httpx carries.

ccxt's own `fetch` loses what matters most, whether the request may have reached the venue. This one keeps it:

* what fails before the request leaves raises `NotSent`;
* what fails after raises `OutcomeUnknown`;
* whatever ccxt raises on reading an answer carries that answer (`error.answer`), for `outcomes.classify`;
* an answer that is not a JSON object or list is never passed on as data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types

from connectors.venues.outcomes import UNREADABLE, Answer, NotSent

BEFORE_SENDING = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)
RATE_LIMITED = (418, 429)


class OutcomeUnknown(errors.RequestTimeout):  # type: ignore[misc, unused-ignore]  # the base is untyped upstream
    """The request may have reached the venue; nothing that can be trusted came back."""


class Headers(dict[str, str]):
    """ccxt looks headers up by exact case, httpx gives them in lower case."""

    def __getitem__(self, key: str) -> str:
        return super().__getitem__(key.lower())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and super().__contains__(key.lower())

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key.lower(), default)


# What does not connect was not sent, whatever the answer's time: there is no hurry to be sure of it.
CONNECT_SECONDS = 2.0


def http_client(timeout: float) -> httpx.AsyncClient:
    """A venue's client. `timeout` in seconds, of each phase but connecting, which has a time of its own."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=20.0),
        follow_redirects=False,
        trust_env=False,
    )


class HttpxTransport:
    """Mixed in before a ccxt class. `http` and `http_timeout` (seconds) are set by the adapter."""

    http: httpx.AsyncClient
    http_timeout: float
    limited: Callable[[float], None] | None = None  # told when the venue says to wait, and for how many seconds

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Send one request; what the venue answered, parsed. Raises ccxt's errors, `NotSent`, `OutcomeUnknown`."""
        ex: Any = self
        sent = ex.prepare_request_headers(headers)
        try:
            response = await self.http.request(
                method,
                url,
                headers=sent,
                content=body.encode() if isinstance(body, str) else body,
                timeout=httpx.Timeout(self.http_timeout, connect=CONNECT_SECONDS),
            )
            text = response.text
        except BEFORE_SENDING as error:
            raise NotSent(f"{ex.id} {method} {_path(url)}: {error!r}") from error
        except httpx.HTTPError as error:
            raise OutcomeUnknown(f"{ex.id} {method} {_path(url)}: {error!r}") from error
        parsed = ex.parse_json(text)
        answer = Answer(response.status_code, parsed)
        received = Headers(response.headers)
        if response.status_code in RATE_LIMITED and self.limited is not None:
            self.limited(_seconds(received.get("retry-after")))
        where = (response.status_code, response.reason_phrase, url, method)
        try:
            ex.handle_errors(*where, received, text, parsed, sent, body)
            ex.handle_http_status_code(*where, text)
            if not isinstance(parsed, dict | list):
                raise errors.BadResponse(
                    f"{ex.id} {method} {_path(url)}: {response.status_code}, not JSON: {text[:200]!r}"
                )
        except errors.BaseError as error:
            error.answer = answer
            raise
        except UNREADABLE as error:
            # ccxt takes an answer for an error of another shape
            unread = errors.BadResponse(f"{ex.id} {method} {_path(url)}: {response.status_code}: {error!r:.200}")
            unread.answer = answer
            raise unread from error
        return parsed


def _seconds(told: str | None) -> float:
    """`Retry-After` in seconds; a second when it is not told in them."""
    return min(float(told), 3600.0) if told is not None and told.isdigit() else 1.0


def _path(url: str) -> str:
    """The address without its query: that holds the signature."""
    return url.partition("?")[0]
