"""Whether a venue can be traded on, from here, with these credentials: asked one question after the other.

Credentials come from the environment, `BESTEX_VENUE_<NAME>_API_KEY`, `_SECRET`, `_PASSWORD`, `_ACCOUNT_ID`, or from the files that the same
names with `_FILE` behind them tell. Nothing of them is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types

from connectors.venues.adapter import VenueConfig
from connectors.venues.dialect import Context, NewOrder, Pair
from connectors.venues.exchanges import DIALECTS
from connectors.venues.generic import DialectAdapter
from connectors.venues.outcomes import Refused
from connectors.venues.signing import Credentials
from connectors.venues.transport import http_client
from connectors.venues.units import text

SKEW_MS = 1_000  # beyond it venues refuse what is signed


@dataclass(frozen=True, slots=True)
class Finding:
    """One question: `state` is ok, failed or skipped."""

    name: str
    state: str
    said: str


def credentials(name: str, environment: Mapping[str, str]) -> Credentials:
    """Those of a venue. Raises `OSError` for a file that cannot be read."""
    found = {}
    for field in ("api_key", "secret", "password", "account_id"):
        variable = f"BESTEX_VENUE_{name.upper()}_{field.upper()}"
        if file := environment.get(f"{variable}_FILE"):
            found[field] = Path(file).read_text().strip()
        else:
            found[field] = environment.get(variable, "")
    return Credentials(**found)


async def checkup(config: VenueConfig, symbol: str | None = None) -> list[Finding]:
    """Every question, in turn; what cannot be asked for want of an answer before it is skipped."""
    dialect = DIALECTS[config.exchange]
    http = http_client(config.timeout)
    adapter = DialectAdapter(replace(config, symbols=None), http, dialect)
    keys = Credentials(config.api_key, config.secret, config.password, config.account_id)
    found: list[Finding] = []

    def note(name: str, error: Exception) -> None:
        found.append(Finding(name, "failed", f"{type(error).__name__}: {str(error)[:200]}"))

    failures = (errors.BaseError, ValueError, KeyError, TypeError)
    try:
        try:
            instruments = await adapter.load()
            found.append(Finding("markets", "ok", f"{len(instruments)} spot markets"))
            skew = adapter.now_ms() - adapter.wall()
            state = "ok" if abs(skew) <= SKEW_MS else "failed"
            told = f"{skew:+d} ms from ours" if adapter.tells_time else "the venue tells no time"
            found.append(Finding("clock", state if adapter.tells_time else "skipped", told))
        except failures as error:
            note("markets", error)
        if missing := keys.missing(dialect):
            found.append(Finding("credentials", "failed", f"missing: {', '.join(missing)}"))
            return found
        found.append(Finding("credentials", "ok", ", ".join(dialect.secrets)))
        try:
            balances = {asset: sum(pair) for asset, pair in (await adapter.balances()).items() if sum(pair)}
            found.append(Finding("permissions", "ok", "the key may read"))
            shown = ", ".join(f"{asset} {text(amount)}" for asset, amount in sorted(balances.items())[:8])
            found.append(Finding("balances", "ok", shown or "none"))
        except failures as error:
            note("permissions", error)
            return found
        found.append(await _test_order(adapter, symbol))
        return found
    finally:
        await adapter.close()
        await http.aclose()


async def _test_order(adapter: DialectAdapter, symbol: str | None) -> Finding:
    dialect = adapter.dialect
    instrument = adapter.instruments.get(symbol or next(iter(adapter.instruments), ""))
    if dialect.test_path is None:
        return Finding("test order", "skipped", f"{dialect.title} has no test order")
    if instrument is None:
        return Finding("test order", "skipped", f"{symbol or 'no symbol'} is not traded there")
    # far below any market, and large enough to be an order
    price = max(instrument.tick, 10**8 // instrument.tick * instrument.tick)
    least = max(instrument.min_quantity, instrument.min_notional * 10**8 // price + instrument.lot)
    order = NewOrder(Pair.of(instrument.symbol), "buy", "limit", -(-least // instrument.lot) * instrument.lot, price)
    try:
        send = dialect.create(order, Context(adapter.now_ms(), adapter.config.account_id, adapter.config.operator_id))
        await adapter.ask(replace(send, path=dialect.test_path))
    except (errors.BaseError, Refused, ValueError) as error:
        return Finding("test order", "failed", f"{type(error).__name__}: {str(error)[:200]}")
    return Finding("test order", "ok", "the key may trade")
