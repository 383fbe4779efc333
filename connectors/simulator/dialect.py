"""Binance's spot dialect: parameters to requests, and the exchange's state to the objects that Binance answers with. Pure.

Source of the shapes: Binance's spot REST, WebSocket API and stream documentation. Decimals are strings of eight places, times
milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from connectors.simulator.access import missing, whole
from connectors.simulator.amounts import SCALE, fixed, parse
from connectors.simulator.exchange import Market, NewOrder, Order, OrderKind, Print, Trade, Validity
from connectors.simulator.matching import Direction, Level, Side
from connectors.simulator.rules import MAX_PRICE, Refusal, Rules

ZERO = fixed(0)
CLIENT_ID = re.compile(r"[.A-Za-z0-9:/_-]{1,36}")
_SIDES: Mapping[str, Direction] = {"BUY": "BUY", "SELL": "SELL"}
_KINDS: Mapping[str, OrderKind] = {"LIMIT": "LIMIT", "MARKET": "MARKET", "LIMIT_MAKER": "LIMIT_MAKER"}
_VALIDITIES: Mapping[str, Validity] = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK"}
RESPONSES = ("ACK", "RESULT", "FULL")

Object = dict[str, Any]


# ---- what is asked


def text(params: Mapping[str, str], name: str) -> str:
    """A parameter that must be there. Raises `Refusal`."""
    given = params.get(name)
    if not given:
        raise missing(name)
    return given


def amount(params: Mapping[str, str], name: str) -> int:
    """A decimal parameter in 1e-8. Raises `Refusal`."""
    given = text(params, name)
    try:
        return parse(given)
    except ValueError:
        if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", given):
            raise Refusal(-1111, f"Parameter '{name}' has too much precision.") from None
        legal = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.") from None


def client_id(params: Mapping[str, str], name: str, otherwise: str) -> str:
    """An id that the client chose, or `otherwise`. Raises `Refusal`."""
    given = params.get(name) or otherwise
    if not CLIENT_ID.fullmatch(given):
        legal = "^[\\.A-Z\\:/a-z0-9_-]{1,36}$"
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
    return given


def new_order(params: Mapping[str, str], otherwise: str) -> NewOrder:
    """The order in the parameters of `POST /api/v3/order`; `otherwise` is its client id if it brings none. Raises `Refusal`."""
    symbol = text(params, "symbol")
    side = _SIDES.get(text(params, "side"))
    if side is None:
        raise Refusal(-1117, "Invalid side.")
    kind = _KINDS.get(text(params, "type"))
    if kind is None:
        raise Refusal(-1116, "Invalid orderType.")
    validity: Validity = "GTC"
    if kind == "LIMIT":
        found = _VALIDITIES.get(text(params, "timeInForce"))
        if found is None:
            raise Refusal(-1115, "Invalid timeInForce.")
        validity = found
    elif "timeInForce" in params:
        raise Refusal(-1106, "Parameter 'timeInForce' sent when not required.")
    if kind == "MARKET" and "price" in params:
        raise Refusal(-1106, "Parameter 'price' sent when not required.")
    if "quoteOrderQty" in params:
        raise Refusal(-2010, "Quote order qty market orders are not support for this symbol.")
    limit = None if kind == "MARKET" else amount(params, "price")
    cid = client_id(params, "newClientOrderId", otherwise)
    return NewOrder(symbol, cid, side, kind, validity, amount(params, "quantity"), limit)


def order_key(params: Mapping[str, str]) -> tuple[int | None, str | None]:
    """How an order is named: by number, by client id, or both. Raises `Refusal`."""
    number = whole(params, "orderId") if "orderId" in params else None
    named = params.get("origClientOrderId") or None
    if number is None and named is None:
        raise Refusal(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return number, named


def levels_wanted(params: Mapping[str, str], most: int, default: int) -> int:
    """`limit`, at most `most`. Raises `Refusal`."""
    limit = whole(params, "limit", default)
    if limit < 1:
        raise Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit, most)


# ---- what is answered


def exchange_info(rules: Iterable[Rules], now: int) -> Object:
    """`GET /api/v3/exchangeInfo`."""
    return {
        "timezone": "UTC",
        "serverTime": now,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [_symbol(r) for r in rules],
    }


def _symbol(rules: Rules) -> Object:
    lot = {"minQty": fixed(rules.min_quantity), "maxQty": fixed(rules.max_quantity), "stepSize": fixed(rules.lot)}
    price = {"minPrice": fixed(rules.tick), "maxPrice": fixed(MAX_PRICE), "tickSize": fixed(rules.tick)}
    worth = {"minNotional": fixed(rules.min_notional), "applyMinToMarket": True, "applyMaxToMarket": False}
    return {
        "symbol": rules.id,
        "status": "TRADING",
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(_KINDS),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": False,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", **price},
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "NOTIONAL", **worth, "maxNotional": fixed(MAX_PRICE * 100), "avgPriceMins": 0},
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def levels(found: Iterable[Level]) -> list[list[str]]:
    """Levels as pairs of strings."""
    return [[fixed(price), fixed(quantity)] for price, quantity in found]


def depth(market: Market, limit: int) -> Object:
    """`GET /api/v3/depth`."""
    book = market.book
    bids, asks = levels(book.bids.levels(limit)), levels(book.asks.levels(limit))
    return {"lastUpdateId": market.update_id, "bids": bids, "asks": asks}


def depth_update(market: Market, first: int, bids: Iterable[int], asks: Iterable[int], now: int) -> Object:
    """A `depthUpdate` event that tells the present quantities at prices; `first` is the first update id it covers."""
    book = market.book

    def side(of: Side, prices: Iterable[int]) -> list[list[str]]:
        return levels((p, of.total.get(p, 0)) for p in sorted(prices, key=of.sign.__mul__))

    return {
        "e": "depthUpdate",
        "E": now,
        "s": market.rules.id,
        "U": first,
        "u": market.update_id,
        "b": side(book.bids, bids),
        "a": side(book.asks, asks),
    }


def best(market: Market) -> tuple[str, str, str, str]:
    """Bid, its quantity, ask, its quantity; zeros where a side is empty."""
    bid, ask = market.book.bids.best() or (0, 0), market.book.asks.best() or (0, 0)
    return fixed(bid[0]), fixed(bid[1]), fixed(ask[0]), fixed(ask[1])


def book_ticker(market: Market) -> Object:
    """`GET /api/v3/ticker/bookTicker`."""
    names = ("bidPrice", "bidQty", "askPrice", "askQty")
    return {"symbol": market.rules.id, **dict(zip(names, best(market), strict=True))}


def book_ticker_event(market: Market) -> Object:
    """A `bookTicker` event."""
    return {"u": market.update_id, "s": market.rules.id, **dict(zip("bBaA", best(market), strict=True))}


def public_trade(row: Print) -> Object:
    """A row of `GET /api/v3/trades`."""
    return {
        "id": row.trade_id,
        "price": fixed(row.price),
        "qty": fixed(row.quantity),
        "quoteQty": fixed(row.price * row.quantity // SCALE),
        "time": row.at,
        "isBuyerMaker": row.taker_side == "SELL",
        "isBestMatch": True,
    }


def trade_event(symbol: str, row: Print, now: int) -> Object:
    """A `trade` event."""
    return {
        "e": "trade",
        "E": now,
        "s": symbol,
        "t": row.trade_id,
        "p": fixed(row.price),
        "q": fixed(row.quantity),
        "T": row.at,
        "m": row.taker_side == "SELL",
        "M": True,
    }


def _order(order: Order) -> Object:
    asked = order.asked
    return {
        "symbol": order.rules.id,
        "orderId": order.number,
        "orderListId": -1,
        "clientOrderId": asked.client_id,
        "price": fixed(asked.limit or 0),
        "origQty": fixed(asked.quantity),
        "executedQty": fixed(order.filled),
        "origQuoteOrderQty": ZERO,
        "cummulativeQuoteQty": fixed(order.quote),
        "status": order.status,
        "timeInForce": asked.validity,
        "type": asked.kind,
        "side": asked.side,
        "selfTradePreventionMode": "NONE",
    }


def order_row(order: Order) -> Object:
    """The order as queries tell it."""
    return {
        **_order(order),
        "stopPrice": ZERO,
        "icebergQty": ZERO,
        "time": order.created,
        "updateTime": order.updated,
        "isWorking": True,
        "workingTime": order.created,
    }


def placed(order: Order, response: str) -> Object:
    """The answer to an order: `ACK`, `RESULT` or `FULL`."""
    if response == "ACK":
        brief = ("symbol", "orderId", "orderListId", "clientOrderId")
        return {**{k: v for k, v in _order(order).items() if k in brief}, "transactTime": order.updated}
    answer = {**_order(order), "transactTime": order.updated, "workingTime": order.created}
    if response == "FULL":
        answer["fills"] = [
            {
                "price": fixed(t.price),
                "qty": fixed(t.quantity),
                "commission": fixed(t.fee),
                "commissionAsset": t.fee_asset,
                "tradeId": t.trade_id,
            }
            for t in order.trades
        ]
    return answer


def cancelled(order: Order, cancel_id: str) -> Object:
    """The answer to a cancel, which carries the cancel's own id as `clientOrderId`."""
    named = {"origClientOrderId": order.asked.client_id, "clientOrderId": cancel_id}
    return {**_order(order), **named, "transactTime": order.updated}


def own_trade(order: Order, row: Trade) -> Object:
    """A row of `GET /api/v3/myTrades`."""
    return {
        "symbol": order.rules.id,
        "id": row.trade_id,
        "orderId": order.number,
        "orderListId": -1,
        "price": fixed(row.price),
        "qty": fixed(row.quantity),
        "quoteQty": fixed(row.quote),
        "commission": fixed(row.fee),
        "commissionAsset": row.fee_asset,
        "time": row.at,
        "isBuyer": row.side == "BUY",
        "isMaker": row.maker,
        "isBestMatch": True,
    }


def _rates(maker: int, taker: int) -> Object:
    return {"maker": fixed(maker), "taker": fixed(taker), "buyer": ZERO, "seller": ZERO}


def account(balances: Mapping[str, tuple[int, int]], maker: int, taker: int, now: int) -> Object:
    """`GET /api/v3/account`."""
    return {
        "makerCommission": maker * 10_000 // SCALE,
        "takerCommission": taker * 10_000 // SCALE,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": _rates(maker, taker),
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": now,
        "accountType": "SPOT",
        "balances": [{"asset": a, "free": fixed(f), "locked": fixed(x)} for a, (f, x) in sorted(balances.items())],
        "permissions": ["SPOT"],
    }


def execution_report(order: Order, what: str, trade: Trade | None, cancel_id: str, now: int) -> Object:
    """An `executionReport` event. When an order is cancelled, `c` is the cancel's id and `C` the order's."""
    asked = order.asked
    return {
        "e": "executionReport",
        "E": now,
        "s": order.rules.id,
        "c": cancel_id or asked.client_id,
        "S": asked.side,
        "o": asked.kind,
        "f": asked.validity,
        "q": fixed(asked.quantity),
        "p": fixed(asked.limit or 0),
        "P": ZERO,
        "F": ZERO,
        "g": -1,
        "C": asked.client_id if cancel_id else "",
        "x": what,
        "X": order.status,
        "r": "NONE",
        "i": order.number,
        "l": fixed(trade.quantity) if trade else ZERO,
        "z": fixed(order.filled),
        "L": fixed(trade.price) if trade else ZERO,
        "n": fixed(trade.fee) if trade else "0",
        "N": trade.fee_asset if trade else None,
        "T": order.updated,
        "t": trade.trade_id if trade else -1,
        "w": order.open,
        "m": bool(trade and trade.maker),
        "M": trade is not None,
        "O": order.created,
        "Z": fixed(order.quote),
        "Y": fixed(trade.quote) if trade else ZERO,
        "Q": ZERO,
        "W": order.created,
        "V": "NONE",
    }


def account_position(changed: Mapping[str, tuple[int, int]], at: int, now: int) -> Object:
    """An `outboundAccountPosition` event."""
    balances = [{"a": asset, "f": fixed(free), "l": fixed(locked)} for asset, (free, locked) in changed.items()]
    return {"e": "outboundAccountPosition", "E": now, "u": at, "B": balances}
