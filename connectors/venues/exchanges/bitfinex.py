"""Bitfinex, v2.

Our id is a number below 2^45 (ours stay below 2^44), unique in its UTC day: to cancel by it the day must be told. The amount of a sell is negative. Answers
are lists without names; a notification tells whether it is a SUCCESS. An order's state is told in words, its history behind `was:`:

    [34747958000, None, 1234, "tBTCUST", 1573476747887, 1573476748000, 0.6, 1.0, "EXCHANGE IOC", …, "IOC CANCELED was: PARTIALLY FILLED @ 8999(0.4)", …]
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connectors.venues.dialect import (
    ClientIds,
    Context,
    Dialect,
    Named,
    NewOrder,
    Pair,
    Params,
    Send,
    dig,
    number_of,
)
from connectors.venues.limits import Pool

POST_ONLY = 4096
HISTORY = 2500  # the most that it lists; 25 where nothing is said
TYPES = {"GTC": "EXCHANGE LIMIT", "IOC": "EXCHANGE IOC", "FOK": "EXCHANGE FOK"}
ALIASES = {"USDT": "UST", "USDC": "UDC", "EURT": "EUT"}


class Bitfinex(Dialect):
    exchange, title = "bitfinex", "Bitfinex"
    docs = "https://docs.bitfinex.com/reference/rest-auth-submit-order"
    client_ids = ClientIds("cid", "[1-9][0-9]{0,12}|1[0-9]{13}", number_of(44))
    nonce = "counter"
    nonces_per_ms = 1000
    fee_source = "FEE of each trade; rates from auth/r/summary"
    precision = "five significant digits of the price, eight decimals of the amount, minimum order size of the pair"
    price_digits = 5
    settle_seconds = 30.0
    pools = (
        Pool("orders", 90, 60, {"*": 0, "create": 1, "cancel": 1}),
        Pool("queries", 90, 60, {"create": 0, "cancel": 0}),
    )
    quirks = ("the nonce must grow", "cid needs cid_date to cancel, and is a number", "an amount below zero sells")
    id_at = "4.0.0"
    sure_codes = frozenset({"10001", "10020", "10050", "10111", "10112", "10114"})

    def market_id(self, pair: Pair) -> str:
        base, quote = ALIASES.get(pair.base, pair.base), ALIASES.get(pair.quote, pair.quote)
        return f"t{base}:{quote}" if len(base) > 3 or len(quote) > 3 else f"t{base}{quote}"

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"type": "EXCHANGE MARKET" if order.kind == "market" else TYPES[order.validity]}
        params["symbol"] = self.market_id(order.pair)
        params["amount"] = order.amount if order.side == "buy" else f"-{order.amount}"
        if order.kind == "limit":
            params["price"] = order.limit
        if order.post_only:
            params["flags"] = POST_ONLY
        if order.client_id:
            params["cid"] = int(order.client_id)
        return self._send("auth/w/order/submit", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        if named.venue_id:
            return self._send("auth/w/order/cancel", {"id": int(named.venue_id)})
        day = datetime.fromtimestamp(context.now_ms / 1000, UTC).date().isoformat()
        return self._send("auth/w/order/cancel", {"cid": int(named.either), "cid_date": day})

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        which: Params = {"symbol": self.market_id(pair)}
        if named.venue_id:
            which["id"] = [int(named.venue_id)]
        done, page = (which, None) if named.venue_id else (which | {"limit": HISTORY}, HISTORY)
        return (
            Send("POST", ("private",), "auth/r/orders/{symbol}", which, listing=True),
            Send("POST", ("private",), "auth/r/orders/{symbol}/hist", done, listing=True, page=page),
        )

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        return (
            self._send("auth/r/orders/{symbol}", {"symbol": self.market_id(pair)})
            if pair
            else self._send("auth/r/orders", {})
        )

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        symbol = self.market_id(pair)
        if named.venue_id:
            return self._send("auth/r/order/{symbol}:{id}/trades", {"symbol": symbol, "id": named.venue_id})
        return self._send("auth/r/trades/{symbol}/hist", {"symbol": symbol})

    def balance(self, context: Context) -> Send:
        return self._send("auth/r/wallets", {})

    def _send(self, path: str, params: Params) -> Send:
        return Send("POST", ("private",), path, params)

    def error_of(self, body: object) -> tuple[str | None, str]:
        # ["error", 10001, "words"], or a notification that is no success
        if isinstance(body, list) and len(body) > 2 and body[0] == "error":
            return str(body[1]), str(body[2])
        if isinstance(body, list) and len(body) > 7 and body[6] in ("ERROR", "FAILURE"):
            return str(body[5] or body[6]), str(body[7])
        return None, ""

    def order_id(self, raw: object) -> str:
        if dig(raw, "6") != "SUCCESS":
            raise ValueError(f"no success: {raw!r:.200}")
        orders = dig(raw, "4")
        found = dig(orders, "0")
        return self.identified(dig(found, "0") if isinstance(found, list) else found, raw)

    def order_row(self, row: Any) -> Any:
        return {"result": row}

    def trade_row(self, row: Any) -> Any:
        return {"result": row}

    def order_facts(self, row: Any) -> Mapping[str, Any]:
        now = str(row[13]).partition(" was:")[0]
        if now.startswith("EXECUTED"):
            return {"status": "closed"}
        if now.startswith(("ACTIVE", "PARTIALLY FILLED")):
            return {"status": "open"}
        # what ended it: CANCELED, IOC CANCELED, POSTONLY CANCELED, FILLORKILL CANCELED; INSUFFICIENT MARGIN; RSN_DUST, RSN_PAUSE
        ended = "CANCELED" in now or now.startswith(("INSUFFICIENT", "RSN_"))
        return {"status": "canceled" if ended else None}

    def balances(self, raw: object) -> dict[str, tuple[str, str]]:
        wallets = [row for row in self.rows(raw, "") if row[0] == "exchange"]
        held = {row[1]: Decimal(str(row[2])) - Decimal(str(row[4])) for row in wallets}
        return {row[1]: (str(row[4]), format(held[row[1]], "f")) for row in wallets}
