"""Crypto.com Exchange, v1.

A call is a method with parameters in a POST's body, signed over them. Our id is `client_oid`, in create, cancel and detail alike. Trades are told by
time, the newest first, a hundred a page and seven days a question; a question without a beginning is for one day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.venues.dialect import (
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
    hexadecimal,
)
from connectors.venues.limits import Pool

PAGE = 100
MILLION = 1_000_000
WINDOW = 7 * 86_400_000 * MILLION  # the longest that may be asked for
AHEAD_MS = 60_000  # its clock may be ahead of the one that we measured
VALIDITIES = {"GTC": "GOOD_TILL_CANCEL", "IOC": "IMMEDIATE_OR_CANCEL", "FOK": "FILL_OR_KILL"}
STATUSES = {"NEW": "open", "PENDING": "open"}


class Cryptocom(Dialect):
    exchange, title = "cryptocom", "Crypto.com"
    docs = "https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#private-create-order"
    client_ids = ClientIds("client_oid", WORD + "{1,36}", hexadecimal(36))
    nonce = "counter"
    sandbox = True
    fee_source = "fees and fee_instrument_name of each trade"
    precision = "price_tick_size, qty_tick_size of get-instruments"
    settle_seconds = 60.0
    pools = (
        Pool("orders", 15, 0.1, {"*": 0, "create": 1}),
        Pool("cancels", 15, 0.1, {"*": 0, "cancel": 1}),
        Pool("detail", 30, 0.1, {"*": 0, "fetch": 1}),
        Pool("others", 3, 0.1, {"create": 0, "cancel": 0, "fetch": 0}),
        Pool("history", 1, 1, {"*": 0, "my_trades": 1}),
    )
    quirks = (
        "ccxt drops a unified clientOrderId on create: client_oid it is, everywhere",
        "a create is taken, not yet booked",
    )
    id_at, orders_at, trades_at, balances_at = "result.order_id", "result.data", "result.data", "result.data"
    lists_trades, trades_by_order = True, False
    statuses = STATUSES
    unsure_codes = frozenset({"50001", "42901", "40101000"})
    missing_codes = frozenset({"40401", "212", "316"})
    duplicate_codes = frozenset({"204"})

    def market_id(self, pair: Pair) -> str:
        return pair.upper("_")

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"instrument_name": self.market_id(order.pair), "side": order.side.upper()}
        params["type"] = order.kind.upper()
        if order.kind == "market":
            by_cost = order.cost is not None and order.side == "buy"
            params |= {"notional": order.spend} if by_cost else {"quantity": order.amount}
        else:
            params |= {"price": order.limit, "quantity": order.amount, "time_in_force": VALIDITIES[order.validity]}
        if order.client_id:
            params["client_oid"] = order.client_id
        if order.post_only:
            params["exec_inst"] = ["POST_ONLY"]
        return self._send("private/create-order", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        return self._send("private/cancel-order", named.param("client_oid", "order_id"))

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (self._send("private/get-order-detail", named.param("client_oid", "order_id")),)

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        return self._send("private/get-open-orders", {"instrument_name": self.market_id(pair)} if pair else {})

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        return self._send("private/get-trades", {"instrument_name": self.market_id(pair), "limit": PAGE})

    def listed_trades(self, order: Mapping[str, Any], context: Context) -> tuple[Send, ...]:
        """All of its pair since the order was made. Times in nanoseconds: the end is not of the window."""
        began, end = int(order["create_time"]) * MILLION, (context.now_ms + AHEAD_MS) * MILLION
        windows = [(at, min(at + WINDOW, end)) for at in range(began, end, WINDOW)]
        which = {"instrument_name": order["instrument_name"], "limit": PAGE}
        return tuple(
            Send("POST", ("v1", "private"), "private/get-trades", {**which, "start_time": a, "end_time": b}, page=PAGE)
            for a, b in windows
        )

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        oldest = min(int(row.get("create_time_ns") or int(row["create_time"]) * MILLION) for row in rows)
        return send.again(end_time=oldest + 1)

    def balance(self, context: Context) -> Send:
        return self._send("private/user-balance", {})

    def _send(self, path: str, params: Params) -> Send:
        return Send("POST", ("v1", "private"), path, params)

    def rows(self, raw: object, path: str) -> list[Any]:
        found = dig(raw, "result")
        return super().rows(raw, "result" if isinstance(found, dict) and "data" not in found else path)

    def balances(self, raw: object) -> dict[str, tuple[str, str]]:
        rows = dig(raw, "result.data.0.position_balances")
        return {r["instrument_name"]: (r["max_withdrawal_balance"], r.get("reserved_qty") or "0") for r in rows}
