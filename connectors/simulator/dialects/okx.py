"""OKX v5. Source: OKX's API documentation. Success of one order is `sCode` in its row; `expTime` bounds how late an order may come."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from connectors.simulator.amounts import fixed
from connectors.simulator.dialects.base import Denied, Foreign, Params, Why
from connectors.simulator.exchange import Order, Trade, Validity
from connectors.simulator.rules import Rules

WINDOW_MS = 30_000
STATES = {
    "NEW": "live",
    "PARTIALLY_FILLED": "partially_filled",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "canceled",
}
VALIDITIES: dict[str, Validity] = {"ioc": "IOC", "fok": "FOK"}
# one order's codes, and those of a whole request
ROWS = {
    Why.FUNDS: "51008",
    Why.DUPLICATE: "51016",
    Why.POST_ONLY: "51506",
    Why.CLOSED: "51400",
    Why.RULES: "51121",
    Why.SYMBOL: "51001",
    Why.LATE: "51149",
}
WHOLE = {
    Why.MISSING: (200, "51603"),
    Why.CLOCK: (401, "50102"),
    Why.KEY: (401, "50111"),
    Why.SIGNATURE: (401, "50113"),
    Why.BAD: (400, "51000"),
}


class Okx(Foreign):
    def routes(self) -> list[web.RouteDef]:
        private = self.private
        return [
            web.get("/api/v5/public/time", self.public(lambda: _ok([{"ts": str(self.now())}]))),
            web.get("/api/v5/public/instruments", self.public(self._instruments)),
            web.post("/api/v5/trade/order", private(self._place)),
            web.post("/api/v5/trade/cancel-order", private(self._cancel)),
            web.get("/api/v5/trade/order", private(self._order)),
            web.get("/api/v5/trade/orders-pending", private(self._open)),
            web.get("/api/v5/trade/fills", private(self._fills)),
            web.get("/api/v5/account/balance", private(self._balance)),
        ]

    def market_id(self, rules: Rules) -> str:
        return f"{rules.base}-{rules.quote}"

    def who(self, request: web.Request, body: str) -> str:
        h = request.headers
        account = self.keys.get(h.get("OK-ACCESS-KEY", ""))
        if account is None:
            raise Denied(Why.KEY, "Invalid OK-ACCESS-KEY")
        stamp = h.get("OK-ACCESS-TIMESTAMP", "")
        told = f"{stamp}{request.method}{request.raw_path}{body}"
        expected = b64encode(hmac.digest(account.secret.encode(), told.encode(), hashlib.sha256))
        if not hmac.compare_digest(expected, h.get("OK-ACCESS-SIGN", "").encode()):
            raise Denied(Why.SIGNATURE, "Invalid Sign")
        at = int(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1000)
        if abs(self.now() - at) > WINDOW_MS:
            raise Denied(Why.CLOCK, "Timestamp request expired")
        if self.now() > int(h.get("expTime", self.now())):
            raise Denied(Why.LATE, "Order timed out")
        return account.name

    def params(self, request: web.Request, body: str) -> Params:
        found: dict[str, Any] = orjson.loads(body) if body else dict(request.query)
        return found

    def refused(self, reason: Why, words: str) -> web.Response:
        if reason in ROWS:
            return self.json(
                {"code": "1", "msg": "", "data": [{"ordId": "", "clOrdId": "", "sCode": ROWS[reason], "sMsg": words}]}
            )
        status, code = WHOLE.get(reason, WHOLE[Why.BAD])
        return self.json({"code": code, "msg": words, "data": []}, status)

    # ---- calls

    def _instruments(self) -> Any:
        return _ok([self._instrument(m.rules) for m in self.exchange.markets.values()])

    def _instrument(self, rules: Rules) -> dict[str, str]:
        return {
            "instType": "SPOT",
            "instId": self.market_id(rules),
            "baseCcy": rules.base,
            "quoteCcy": rules.quote,
            "tickSz": fixed(rules.tick),
            "lotSz": fixed(rules.lot),
            "minSz": fixed(rules.min_quantity),
            "maxLmtSz": fixed(rules.max_quantity),
            "state": "live",
        }

    def _place(self, account: str, params: Params) -> Any:
        kind = params["ordType"]
        if kind not in ("limit", "market", "post_only", *VALIDITIES):
            raise ValueError("ordType")
        if kind == "market" and params["side"] == "buy" and params.get("tgtCcy") != "base_ccy":
            raise ValueError("a market buy in quote is not simulated")
        order = self.place(
            account,
            self.rules(params["instId"]),
            params["clOrdId"],
            params["side"],
            params["sz"],
            None if kind == "market" else params["px"],
            VALIDITIES.get(kind, "GTC"),
            kind == "post_only",
        )
        return _ok(
            [{"ordId": str(order.number), "clOrdId": order.asked.client_id, "sCode": "0", "sMsg": "", "tag": ""}]
        )

    def _cancel(self, account: str, params: Params) -> Any:
        try:
            order = self.named(account, params.get("ordId"), params.get("clOrdId"))
        except Denied:
            raise Denied(Why.CLOSED, "Cancellation failed as the order does not exist") from None
        self.exchange.cancel(order, f"cancel-{order.number}", self.now())
        return _ok([{"ordId": str(order.number), "clOrdId": order.asked.client_id, "sCode": "0", "sMsg": ""}])

    def _order(self, account: str, params: Params) -> Any:
        return _ok([self.row(self.named(account, params.get("ordId"), params.get("clOrdId")))])

    def _open(self, account: str, params: Params) -> Any:
        rules = self.rules(params["instId"]) if "instId" in params else None
        return _ok([self.row(o) for o in self.exchange.open_of(account, rules.id if rules else None)])

    def row(self, order: Order) -> dict[str, str]:
        """The order as queries and the stream tell it."""
        asked = order.asked
        kind = {"MARKET": "market", "LIMIT_MAKER": "post_only"}.get(asked.kind) or {"IOC": "ioc", "FOK": "fok"}.get(
            asked.validity, "limit"
        )
        return {
            "instType": "SPOT",
            "instId": self.market_id(order.rules),
            "ordId": str(order.number),
            "clOrdId": asked.client_id,
            "px": fixed(asked.limit) if asked.limit is not None else "",
            "sz": fixed(asked.quantity),
            "ordType": kind,
            "side": asked.side.lower(),
            "tdMode": "cash",
            "tgtCcy": "base_ccy" if kind == "market" else "",
            "accFillSz": fixed(order.filled),
            "avgPx": fixed(order.quote * 10**8 // order.filled) if order.filled else "",
            "state": STATES[order.status],
            "cTime": str(order.created),
            "uTime": str(order.updated),
        }

    def _fills(self, account: str, params: Params) -> Any:
        rows = [self._fill(o, t) for o, t in reversed(self.fills(account, params.get("ordId")))]
        after = [n for n, row in enumerate(rows, 1) if row["billId"] == params.get("after")]
        return _ok(rows[after[0] if after else 0 :][:100])

    def _fill(self, order: Order, trade: Trade) -> dict[str, str]:
        return {
            "instType": "SPOT",
            "instId": self.market_id(order.rules),
            "tradeId": str(trade.trade_id),
            "ordId": str(order.number),
            "clOrdId": order.asked.client_id,
            "billId": str(trade.trade_id),
            "fillPx": fixed(trade.price),
            "fillSz": fixed(trade.quantity),
            "side": trade.side.lower(),
            "execType": "M" if trade.maker else "T",
            "feeCcy": trade.fee_asset,
            "fee": fixed(-trade.fee),
            "ts": str(trade.at),
        }

    def _balance(self, account: str, params: Params) -> Any:
        rows = [
            {"ccy": asset, "availBal": fixed(free), "frozenBal": fixed(locked), "cashBal": fixed(free + locked)}
            for asset, (free, locked) in self.exchange.ledger.of(account).items()
        ]
        return _ok([{"uTime": str(self.now()), "details": rows}])


def _ok(data: list[Any]) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": data}
