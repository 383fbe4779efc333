"""Kraken, spot.

`cl_ord_id` is a UUID or at most 18 characters. `QueryOrders` knows only Kraken's own ids; open and closed orders can be asked for ours.
Refusals come with HTTP 200 and a list of errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connectors.venues.dialect import (
    UUID,
    WORD,
    ClientIds,
    Context,
    Dialect,
    Named,
    NewOrder,
    Pair,
    Params,
    Send,
    dig,
    uuid_of,
)
from connectors.venues.limits import Pool

MAXIMUM = 18
TRADES_AT_ONCE = 20
ALIASES = {"BTC": "XBT", "DOGE": "XDG"}


class Kraken(Dialect):
    exchange, title = "kraken", "Kraken"
    docs = "https://docs.kraken.com/api/docs/rest-api/add-order"
    client_ids = ClientIds("cl_ord_id", f"{UUID}|[0-9a-f]{{32}}|{WORD}{{1,{MAXIMUM}}}", uuid_of)
    nonce = "counter"
    lists_trades = True
    nonces_per_ms = 1000
    sure_codes = frozenset(
        {
            "EAPI:Invalid signature",
            "EOrder:Post only order",
            "EOrder:Deadline expired",
            "EOrder:Orders limit exceeded",
            "EOrder:Order minimum not met",
            "EOrder:Cost minimum not met",
            "EOrder:Tick size check failed",
            "EOrder:Trading agreement required",
            "EOrder:Market order not allowed",
            "EService:Market in cancel_only mode",
            "EService:Market in post_only mode",
        }
    )
    fee_source = "fee of each trade; rates from TradeVolume"
    precision = "tick_size, lot_decimals, ordermin, costmin of AssetPairs"
    pools = (
        Pool("counter", 15, 45, {"my_trades": 2, "create": 0, "cancel": 0, "book": 0}),
        Pool("matching", 60, 60, {"*": 0, "create": 1, "cancel": 4}),
        Pool("public", 1, 1, {"*": 0, "book": 1}),
    )
    quirks = (
        "ccxt fetches by userref, which is another id: OpenOrders and ClosedOrders take cl_ord_id",
        "the nonce must grow over all requests of a key (microseconds here; a key gets a nonce window where several use it)",
        "EService and EGeneral:Internal say nothing about the order",
    )
    id_at = "result.txid.0"
    code_at, words_at = ("error.0",), ("error.0",)
    unsure_codes = frozenset(
        {
            "EService:Unavailable",
            "EService:Timeout",
            "EService:Busy",
            "EGeneral:Internal error",
            "EService:Deadline elapsed",
        }
    )

    def market_id(self, pair: Pair) -> str:
        return f"{ALIASES.get(pair.base, pair.base)}{ALIASES.get(pair.quote, pair.quote)}"

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"ordertype": order.kind, "pair": self.market_id(order.pair), "type": order.side}
        params["volume"] = order.amount
        if order.kind == "limit":
            params["price"] = order.limit
            if order.post_only:
                params["oflags"] = "post"
            elif order.validity != "GTC":
                params["timeinforce"] = order.validity
        if order.client_id:
            params["cl_ord_id"] = order.client_id
        if context.bounded:
            until = datetime.fromtimestamp((context.now_ms + context.recv_window_ms) / 1000, UTC)
            params["deadline"] = until.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return self._send("AddOrder", dict(sorted(params.items())))

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        return self._send("CancelOrder", named.param("cl_ord_id", "txid"))

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        if named.venue_id:
            return (self._send("QueryOrders", {"txid": named.venue_id, "trades": "true"}),)
        which: Params = {"cl_ord_id": named.either, "trades": "true"}
        return tuple(Send("POST", ("private",), path, which, listing=True) for path in ("OpenOrders", "ClosedOrders"))

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        return self._send("OpenOrders", {"trades": "true"})

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        return self._send("TradesHistory", {"trades": "true"})

    def listed_trades(self, order: Mapping[str, Any], context: Context) -> tuple[Send, ...]:
        """The history shows fifty a page, of all orders; by their ids, twenty at once can be asked for."""
        ids = [str(one) for one in order.get("trades") or ()]
        pages = [ids[n : n + TRADES_AT_ONCE] for n in range(0, len(ids), TRADES_AT_ONCE)]
        return tuple(self._send("QueryTrades", {"txid": ",".join(page)}) for page in pages)

    def balance(self, context: Context) -> Send:
        return self._send("BalanceEx", {})

    def _send(self, path: str, params: Params) -> Send:
        return Send("POST", ("private",), path, params)

    def rows(self, raw: object, path: str) -> list[Any]:
        found = dig(raw, path or "result")
        for name in ("open", "closed"):
            if isinstance(found, dict) and name in found:
                found = found[name]
                break
        else:
            if not path and not found:
                raise ValueError(f"neither open nor closed orders in {raw!r:.200}")
        if not isinstance(found, dict):
            raise ValueError(f"no orders in {raw!r:.200}")
        return [{"id": key, **row} for key, row in found.items()]

    def balances(self, raw: object) -> dict[str, tuple[str, str]]:
        rows = dig(raw, "result")
        return {
            asset: (_less(row["balance"], row.get("hold_trade") or "0"), row.get("hold_trade") or "0")
            for asset, row in rows.items()
        }


def _less(total: str, held: str) -> str:
    return format(Decimal(total) - Decimal(held), "f")
