"""What each exchange documents that it answers: an order in five states, the listing of open orders, an order's trades.

The order is a buy of 1 BTC at 100 USDT, the exchange's number 5; it fills 0.3 at 100 (trade 7) and 0.1 at 101 (trade 8), or all.
Bodies follow the exchanges' documentation, field by field, with our numbers in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Callable[[str, str, str], Any]  # our id on the wire, the exchange's word for the state, the quantity filled
MS = 1_700_000_000_000
SECONDS = MS / 1000
ISO = "2023-11-14T22:13:20Z"
STAMP = "2023-11-14 22:13:20"
QUANTITIES = {"7": "0.3", "8": "0.1"}
PRICES = {"7": "100", "8": "101"}
FEES = {"7": "0.03", "8": "0.01"}


@dataclass(frozen=True)
class Says:
    """`words`: open, partially filled, filled, cancelled, cancelled after a partial fill. The parts of addresses say which question is meant."""

    words: tuple[str, str, str, str, str]
    row: Row
    at: str  # the address of an order
    one: Callable[[Any], Any]  # the answer to a question for one order
    listed_at: str
    listed: Callable[[list[Any]], Any]  # the answer to a question for open orders
    traded_at: str
    traded: Callable[[Any, list[str]], Any]  # an order and numbers of trades: the answer to a question for trades
    traded_first: str = ""  # asked before, for an order
    liquidity: str = "TAKER"
    fee_asset: str = "USDT"
    trade_prefix: str = ""
    open_row: Row | None = None  # where open orders look different
    done_at: str = ""  # where orders that ended are
    done_row: Row | None = None
    done: Callable[[Any], Any] | None = None
    listing_names_us: bool = True


def left(filled: str) -> str:
    return {"0": "1", "0.4": "0.6", "1": "0"}[filled]


def numbers(filled: str) -> list[str]:
    return [] if filled == "0" else ["7", "8"]


def spent(filled: str) -> str:
    return {"0": "0", "0.4": "40.1", "1": "100"}[filled]


def data(rows: Any) -> Any:
    return {"code": "0", "msg": "", "data": rows}


def _binance(wire: str, word: str, filled: str) -> Any:
    return {
        "symbol": "BTCUSDT", "orderId": 5, "orderListId": -1, "clientOrderId": wire, "price": "100", "origQty": "1",
        "executedQty": filled, "cummulativeQuoteQty": spent(filled), "status": word, "timeInForce": "GTC", "type": "LIMIT",
        "side": "BUY", "time": MS, "updateTime": MS, "isWorking": True,
    }  # fmt: skip


def _binance_trade(number: str) -> Any:
    return {
        "symbol": "BTCUSDT", "id": int(number), "orderId": 5, "price": PRICES[number], "qty": QUANTITIES[number],
        "commission": FEES[number], "commissionAsset": "USDT", "time": MS, "isBuyer": True, "isMaker": False,
    }  # fmt: skip


def _coinbase(wire: str, word: str, filled: str) -> Any:
    return {
        "order_id": "5", "product_id": "BTC-USDT", "client_order_id": wire, "side": "BUY", "status": word,
        "order_configuration": {"limit_limit_gtc": {"base_size": "1", "limit_price": "100", "post_only": False}},
        "time_in_force": "GOOD_UNTIL_CANCELLED", "created_time": ISO, "filled_size": filled, "average_filled_price": "100",
        "total_fees": "0", "order_type": "LIMIT",
    }  # fmt: skip


def _coinbase_trade(number: str) -> Any:
    return {
        "entry_id": number, "trade_id": number, "order_id": "5", "trade_time": ISO, "trade_type": "FILL", "price": PRICES[number],
        "size": QUANTITIES[number], "commission": FEES[number], "product_id": "BTC-USDT", "liquidity_indicator": "TAKER",
        "size_in_quote": False, "side": "BUY",
    }  # fmt: skip


def _kraken(wire: str, word: str, filled: str) -> Any:
    row = {
        "refid": None, "userref": 0, "cl_ord_id": wire, "status": word, "opentm": SECONDS, "vol": "1", "vol_exec": filled,
        "cost": spent(filled), "fee": "0", "price": "100", "oflags": "fciq", "trades": numbers(filled),
        "descr": {"pair": "XBTUSDT", "type": "buy", "ordertype": "limit", "price": "100", "price2": "0", "leverage": "none"},
    }  # fmt: skip
    return {"5": row}


def _kraken_trade(number: str) -> Any:
    return {
        "ordertxid": "5", "pair": "XBTUSDT", "time": SECONDS, "type": "buy", "ordertype": "limit", "price": PRICES[number],
        "cost": "30", "fee": FEES[number], "vol": QUANTITIES[number], "margin": "0", "misc": "", "maker": False,
    }  # fmt: skip


def _bitfinex(wire: str, word: str, filled: str) -> Any:
    gone: list[Any] = [None] * 32
    gone[0], gone[2], gone[3], gone[4], gone[5] = 5, int(wire), "tBTCUST", MS, MS
    gone[6], gone[7], gone[8], gone[13] = float(left(filled)), 1.0, "EXCHANGE LIMIT", word
    gone[12], gone[16], gone[17] = 0, 100.0, 100.25
    return gone


def _bitfinex_trade(number: str) -> Any:
    quantity, price = float(QUANTITIES[number]), float(PRICES[number])
    fee = -float(FEES[number])
    return [int(number), "tBTCUST", MS, 5, quantity, price, "EXCHANGE LIMIT", 100.0, -1, fee, "UST", None]


def _okx(wire: str, word: str, filled: str) -> Any:
    return {
        "instType": "SPOT", "instId": "BTC-USDT", "ordId": "5", "clOrdId": wire, "px": "100", "sz": "1", "ordType": "limit",
        "side": "buy", "accFillSz": filled, "avgPx": "100", "state": word, "fee": "0", "feeCcy": "USDT", "uTime": str(MS),
        "cTime": str(MS), "tgtCcy": "", "fillTime": "",
    }  # fmt: skip


def _okx_trade(number: str) -> Any:
    return {
        "instType": "SPOT", "instId": "BTC-USDT", "tradeId": number, "ordId": "5", "clOrdId": "", "billId": number,
        "fillPx": PRICES[number], "fillSz": QUANTITIES[number], "side": "buy", "execType": "T", "feeCcy": "USDT",
        "fee": f"-{FEES[number]}", "ts": str(MS),
    }  # fmt: skip


def _bybit(wire: str, word: str, filled: str) -> Any:
    return {
        "orderId": "5", "orderLinkId": wire, "symbol": "BTCUSDT", "price": "100", "qty": "1", "side": "Buy", "orderStatus": word,
        "cumExecQty": filled, "cumExecValue": spent(filled), "leavesQty": "0" if "ancel" in word else left(filled),
        "timeInForce": "GTC", "orderType": "Limit", "createdTime": str(MS), "updatedTime": str(MS), "avgPrice": "", "marketUnit": "",
    }  # fmt: skip


def _bybit_trade(number: str) -> Any:
    return {
        "symbol": "BTCUSDT", "orderId": "5", "orderLinkId": "", "side": "Buy", "execId": number, "execPrice": PRICES[number],
        "execQty": QUANTITIES[number], "execFee": FEES[number], "feeCurrency": "USDT", "isMaker": False, "execTime": str(MS),
        "execType": "Trade", "orderType": "Limit",
    }  # fmt: skip


def _kucoin(wire: str, word: str, filled: str) -> Any:
    return {
        "id": "5", "symbol": "BTC-USDT", "opType": "DEAL", "type": "limit", "side": "buy", "price": "100", "size": "1", "funds": "0",
        "dealFunds": spent(filled), "dealSize": filled, "fee": "0", "feeCurrency": "USDT", "timeInForce": "GTC", "postOnly": False,
        "clientOid": wire, "isActive": word == "active", "cancelExist": word == "cancelled", "createdAt": MS, "tradeType": "TRADE",
    }  # fmt: skip


def _kucoin_trade(number: str) -> Any:
    return {
        "symbol": "BTC-USDT", "tradeId": number, "orderId": "5", "counterOrderId": "6", "side": "buy", "liquidity": "taker",
        "price": PRICES[number], "size": QUANTITIES[number], "funds": "30", "fee": FEES[number], "feeRate": "0.001",
        "feeCurrency": "USDT", "type": "limit", "createdAt": MS, "tradeType": "TRADE",
    }  # fmt: skip


def _kucoin_page(rows: list[Any]) -> Any:
    return {
        "code": "200000",
        "data": {"currentPage": 1, "pageSize": 500, "totalNum": len(rows), "totalPage": 1, "items": rows},
    }


def _gate(wire: str, word: str, filled: str) -> Any:
    status, _, finish = word.partition(" ")
    return {
        "id": "5", "text": wire, "create_time": "1700000000", "update_time": "1700000000", "create_time_ms": MS,
        "update_time_ms": MS, "status": status, "currency_pair": "BTC_USDT", "type": "limit", "account": "spot", "side": "buy",
        "amount": "1", "price": "100", "time_in_force": "gtc", "left": left(filled), "filled_total": spent(filled), "fee": "0",
        "fee_currency": "BTC", "gt_fee": "0", "finish_as": finish or status,
    }  # fmt: skip


def _gate_trade(number: str) -> Any:
    return {
        "id": number, "create_time": "1700000000", "create_time_ms": f"{MS}.123", "currency_pair": "BTC_USDT", "side": "buy",
        "role": "taker", "amount": QUANTITIES[number], "price": PRICES[number], "order_id": "5", "fee": "0", "fee_currency": "BTC",
        "point_fee": "0", "gt_fee": FEES[number],
    }  # fmt: skip


def _bitstamp(wire: str, word: str, filled: str) -> Any:
    trades = ["7"] if filled == "0.3" else numbers(filled)
    amounts = {"7": "0.9", "8": "0.1"} if filled == "1" else QUANTITIES
    return {
        "id": 5, "client_order_id": wire, "datetime": STAMP, "type": "0", "status": word, "amount_remaining": left(filled),
        "market": "BTC/USDT",
        "transactions": [
            {"tid": int(n), "price": PRICES[n], "btc": amounts[n], "usdt": "30", "fee": FEES[n], "datetime": STAMP, "type": 2}
            for n in trades
        ],
    }  # fmt: skip


def _bitstamp_open(wire: str, word: str, filled: str) -> Any:
    return {
        "id": "5", "datetime": STAMP, "type": "0", "price": "100", "amount": left(filled), "amount_at_create": "1",
        "currency_pair": "BTC/USDT", "client_order_id": wire,
    }  # fmt: skip


def _gemini(wire: str, word: str, filled: str) -> Any:
    return {
        "order_id": "5", "id": "5", "symbol": "btcusdt", "exchange": "gemini", "avg_execution_price": "100", "side": "buy",
        "type": "exchange limit", "timestamp": "1700000000", "timestampms": MS, "is_live": word == "live",
        "is_cancelled": word == "cancelled", "is_hidden": False, "was_forced": False, "executed_amount": filled,
        "client_order_id": wire, "options": [], "price": "100", "original_amount": "1", "remaining_amount": left(filled),
        "trades": [
            {
                "price": PRICES[n], "amount": QUANTITIES[n], "timestamp": 1700000000, "timestampms": MS, "type": "Buy",
                "aggressor": True, "fee_currency": "USDT", "fee_amount": FEES[n], "tid": int(n), "order_id": "5",
            }
            for n in numbers(filled)
        ],
    }  # fmt: skip


def _htx(wire: str, word: str, filled: str) -> Any:
    return {
        "id": 5, "symbol": "btcusdt", "account-id": 1, "client-order-id": wire, "amount": "1", "price": "100", "created-at": MS,
        "type": "buy-limit", "field-amount": filled, "field-cash-amount": spent(filled), "field-fees": "0", "finished-at": 0,
        "source": "spot-api", "state": word, "canceled-at": 0,
    }  # fmt: skip


def _htx_open(wire: str, word: str, filled: str) -> Any:
    return {
        "id": 5, "symbol": "btcusdt", "account-id": 1, "client-order-id": wire, "amount": "1", "price": "100", "created-at": MS,
        "type": "buy-limit", "filled-amount": filled, "filled-cash-amount": spent(filled), "filled-fees": "0", "source": "api",
        "state": word,
    }  # fmt: skip


def _htx_trade(number: str) -> Any:
    return {
        "id": 100, "symbol": "btcusdt", "order-id": 5, "match-id": 9, "trade-id": int(number), "price": PRICES[number],
        "created-at": MS, "type": "buy-limit", "filled-amount": QUANTITIES[number], "filled-fees": FEES[number],
        "fee-currency": "usdt", "filled-points": "0.0", "fee-deduct-currency": "", "role": "taker", "source": "spot-api",
    }  # fmt: skip


def _bitget(wire: str, word: str, filled: str) -> Any:
    return {
        "userId": "1", "symbol": "BTCUSDT", "orderId": "5", "clientOid": wire, "price": "100", "size": "1", "orderType": "limit",
        "side": "buy", "status": word, "priceAvg": "100", "baseVolume": filled, "quoteVolume": spent(filled), "enterPointSource": "API",
        "feeDetail": "", "cTime": str(MS), "uTime": str(MS), "orderSource": "normal",
    }  # fmt: skip


def _bitget_trade(number: str) -> Any:
    fee = {"deduction": "no", "feeCoin": "USDT", "totalDeductionFee": "", "totalFee": f"-{FEES[number]}"}
    return {
        "userId": "1", "symbol": "BTCUSDT", "orderId": "5", "tradeId": number, "orderType": "limit", "side": "buy",
        "priceAvg": PRICES[number], "size": QUANTITIES[number], "amount": "30", "feeDetail": fee, "tradeScope": "taker",
        "cTime": str(MS), "uTime": str(MS),
    }  # fmt: skip


def _cryptocom(wire: str, word: str, filled: str) -> Any:
    return {
        "account_id": "a", "order_id": "5", "client_oid": wire, "order_type": "LIMIT", "time_in_force": "GOOD_TILL_CANCEL",
        "side": "BUY", "exec_inst": [], "quantity": "1", "limit_price": "100", "order_value": "100", "avg_price": "100",
        "cumulative_quantity": filled, "cumulative_value": spent(filled), "cumulative_fee": "0", "status": word, "create_time": MS,
        "create_time_ns": str(MS * 10**6), "update_time": MS, "instrument_name": "BTC_USDT", "fee_instrument_name": "USDT",
    }  # fmt: skip


def _cryptocom_trade(number: str) -> Any:
    return {
        "account_id": "a", "event_date": "2023-11-14", "side": "BUY", "instrument_name": "BTC_USDT", "fees": f"-{FEES[number]}",
        "trade_id": number, "trade_match_id": "9", "create_time": MS, "traded_price": PRICES[number],
        "traded_quantity": QUANTITIES[number], "fee_instrument_name": "USDT", "client_oid": "", "taker_side": "TAKER",
        "order_id": "5", "create_time_ns": str(MS * 10**6 + int(number)),
    }  # fmt: skip


def _bingx(wire: str, word: str, filled: str) -> Any:
    return {
        "symbol": "BTC-USDT", "orderId": 5, "price": "100", "StopPrice": "0", "origQty": "1", "executedQty": filled,
        "cummulativeQuoteQty": spent(filled), "status": word, "type": "LIMIT", "side": "BUY", "time": MS, "updateTime": MS,
        "origQuoteOrderQty": "0", "fee": "0", "feeAsset": "USDT", "clientOrderID": wire,
    }  # fmt: skip


def _bingx_trade(number: str) -> Any:
    return {
        "symbol": "BTC-USDT", "id": int(number), "orderId": 5, "price": PRICES[number], "qty": QUANTITIES[number], "quoteQty": "30",
        "commission": -float(FEES[number]), "commissionAsset": "USDT", "time": MS, "isBuyer": True, "isMaker": False,
    }  # fmt: skip


def _whitebit(wire: str, word: str, filled: str) -> Any:
    return {
        "orderId": 5, "clientOrderId": wire, "market": "BTC_USDT", "side": "buy", "type": "limit", "timestamp": SECONDS,
        "dealMoney": spent(filled), "dealStock": filled, "amount": "1", "takerFee": "0.001", "makerFee": "0.001", "left": left(filled),
        "dealFee": "0", "price": "100",
    }  # fmt: skip


def _whitebit_done(wire: str, word: str, filled: str) -> Any:
    return {
        "id": 5, "clientOrderId": wire, "ctime": SECONDS, "ftime": SECONDS, "side": "buy", "amount": "1", "price": "100",
        "type": "limit", "takerFee": "0.001", "makerFee": "0.001", "dealFee": "0", "dealStock": filled, "dealMoney": spent(filled),
    } | ({"status": word} if word else {})  # fmt: skip


def _whitebit_trade(number: str) -> Any:
    return {
        "time": SECONDS, "fee": FEES[number], "price": PRICES[number], "amount": QUANTITIES[number], "id": int(number),
        "dealOrderId": 5, "clientOrderId": "", "role": 2, "deal": "30", "feeAsset": "USDT",
    }  # fmt: skip


def _upbit(wire: str, word: str, filled: str) -> Any:
    # the fee of all is told, of 30 + 10.1 worth
    return {
        "uuid": "5", "identifier": wire, "side": "bid", "ord_type": "limit", "price": "100", "state": word, "market": "USDT-BTC",
        "created_at": ISO, "volume": "1", "remaining_volume": left(filled), "reserved_fee": "0", "remaining_fee": "0",
        "paid_fee": "0.0401", "locked": "0", "executed_volume": filled, "trades_count": len(numbers(filled)),
        "trades": [
            {
                "market": "USDT-BTC", "uuid": n, "price": PRICES[n], "volume": QUANTITIES[n],
                "funds": {"7": "30", "8": "10.1"}[n], "created_at": ISO, "side": "bid",
            }
            for n in numbers(filled)
        ],
    }  # fmt: skip


def _upbit_open(wire: str, word: str, filled: str) -> Any:
    return {key: value for key, value in _upbit(wire, word, filled).items() if key != "trades"}


def _bitvavo(wire: str, word: str, filled: str) -> Any:
    return {
        "orderId": "5", "clientOrderId": wire, "market": "BTC-USDT", "created": MS, "updated": MS, "status": word, "side": "buy",
        "orderType": "limit", "amount": "1", "amountRemaining": left(filled), "price": "100", "onHold": "0", "onHoldCurrency": "USDT",
        "filledAmount": filled, "filledAmountQuote": spent(filled), "feePaid": "0.04", "feeCurrency": "USDT", "timeInForce": "GTC",
        "fills": [
            {
                "id": n, "timestamp": MS, "amount": QUANTITIES[n], "price": PRICES[n], "taker": True, "fee": FEES[n],
                "feeCurrency": "USDT", "settled": True,
            }
            for n in numbers(filled)
        ],
    }  # fmt: skip


def _poloniex(wire: str, word: str, filled: str) -> Any:
    return {
        "id": "5", "clientOrderId": wire, "symbol": "BTC_USDT", "state": word, "accountType": "SPOT", "side": "BUY", "type": "LIMIT",
        "timeInForce": "GTC", "quantity": "1", "price": "100", "avgPrice": "100", "amount": "0", "filledQuantity": filled,
        "filledAmount": spent(filled), "createTime": MS, "updateTime": MS,
    }  # fmt: skip


def _poloniex_trade(number: str) -> Any:
    return {
        "id": number, "symbol": "BTC_USDT", "accountType": "SPOT", "orderId": "5", "side": "BUY", "type": "LIMIT", "matchRole": "TAKER",
        "createTime": MS, "price": PRICES[number], "quantity": QUANTITIES[number], "amount": "30", "feeCurrency": "USDT",
        "feeAmount": FEES[number], "pageId": number, "clientOrderId": "",
    }  # fmt: skip


def _lbank(wire: str, word: str, filled: str) -> Any:
    return {
        "cummulativeQuoteQty": float(spent(filled)), "symbol": "btc_usdt", "executedQty": float(filled), "orderId": "5", "origQty": 1,
        "price": 100, "clientOrderId": wire, "origQuoteOrderQty": 100, "updateTime": MS, "time": MS, "type": "buy", "status": int(word),
    }  # fmt: skip


def _lbank_open(wire: str, word: str, filled: str) -> Any:
    return {key: value for key, value in _lbank(wire, word, filled).items() if key != "clientOrderId"}


def _lbank_trade(number: str) -> Any:
    # a buy pays in what it buys
    return {
        "txUuid": number, "orderUuid": "5", "tradeType": "buy", "dealTime": MS, "dealPrice": float(PRICES[number]),
        "dealQuantity": float(QUANTITIES[number]), "dealVolumePrice": 30.0, "tradeFee": float(FEES[number]), "tradeFeeRate": 0.001,
    }  # fmt: skip


def _rows(
    make: Callable[[str], Any], wrap: Callable[[Any], Any] = lambda rows: rows
) -> Callable[[Any, list[str]], Any]:
    return lambda _, some: wrap([make(number) for number in some])


def _same(one: Any) -> Any:
    return one


BINANCE = ("NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "CANCELED")
ANSWERS: Mapping[str, Says] = {
    "binance": Says(BINANCE, _binance, "v3/order", _same, "openOrders", _same, "myTrades", _rows(_binance_trade)),
    "coinbase": Says(
        ("OPEN", "OPEN", "FILLED", "CANCELLED", "CANCELLED"), _coinbase,
        "historical/batch", lambda row: {"orders": [row], "has_next": False, "cursor": ""},
        "historical/batch", lambda rows: {"orders": rows, "has_next": False, "cursor": ""},
        "historical/fills", _rows(_coinbase_trade, lambda rows: {"fills": rows, "cursor": ""}),
    ),
    "kraken": Says(
        ("open", "open", "closed", "canceled", "canceled"), _kraken,
        "OpenOrders", lambda row: {"error": [], "result": {"open": row}},
        "OpenOrders", lambda rows: {"error": [], "result": {"open": {k: v for row in rows for k, v in row.items()}}},
        "QueryTrades", _rows(_kraken_trade, lambda rows: {"error": [], "result": {str(7 + n): row for n, row in enumerate(rows)}}),
        traded_first="QueryOrders",
        done_at="ClosedOrders", done=lambda row: {"error": [], "result": {"closed": row, "count": 1}},
    ),
    "bitfinex": Says(
        ("ACTIVE", "PARTIALLY FILLED @ 100.25(0.4)", "EXECUTED @ 100.0(1.0)", "POSTONLY CANCELED",
         "IOC CANCELED was: PARTIALLY FILLED @ 100.25(0.4)"), _bitfinex,
        "auth/r/orders/tBTCUST", lambda row: [row], "auth/r/orders", _same,
        "auth/r/order/tBTCUST:5/trades", _rows(_bitfinex_trade),
        done_at="auth/r/orders/tBTCUST/hist", done=lambda row: [row],
    ),
    "okx": Says(
        ("live", "partially_filled", "filled", "canceled", "canceled"), _okx,
        "trade/order", lambda row: data([row]), "orders-pending", data, "trade/fills", _rows(_okx_trade, data),
    ),
    "bybit": Says(
        ("New", "PartiallyFilled", "Filled", "Cancelled", "PartiallyFilledCanceled"), _bybit,
        "order/realtime", lambda row: {"retCode": 0, "retMsg": "OK", "result": {"list": [row], "nextPageCursor": ""}},
        "order/realtime", lambda rows: {"retCode": 0, "retMsg": "OK", "result": {"list": rows, "nextPageCursor": "5"}},
        "execution/list", _rows(_bybit_trade, lambda rows: {"retCode": 0, "retMsg": "OK", "result": {"list": rows, "nextPageCursor": "7"}}),
    ),
    "kucoin": Says(
        ("active", "active", "done", "cancelled", "cancelled"), _kucoin,
        "client-order/", lambda row: {"code": "200000", "data": row}, "v1/orders", _kucoin_page,
        "v1/fills", _rows(_kucoin_trade, _kucoin_page),
    ),
    "gate": Says(
        ("open", "open", "closed filled", "cancelled poc", "cancelled ioc"), _gate,
        "spot/orders/", _same,
        "open_orders", lambda rows: [{"currency_pair": "BTC_USDT", "total": len(rows), "orders": rows}],
        "my_trades", _rows(_gate_trade), fee_asset="GT",
    ),
    "bitstamp": Says(
        ("Open", "Open", "Finished", "Canceled", "Canceled"), _bitstamp,
        "order_status", _same, "open_orders", _same, "order_status", lambda order, _: order,
        liquidity="NOT_KNOWN", open_row=_bitstamp_open,
    ),
    "gemini": Says(
        ("live", "live", "done", "cancelled", "cancelled"), _gemini,
        "order/status", _same, "v1/orders", _same, "order/status", lambda order, _: order, liquidity="NOT_KNOWN",
    ),
    "htx": Says(
        ("submitted", "partial-filled", "filled", "canceled", "partial-canceled"), _htx,
        "getClientOrder", lambda row: {"status": "ok", "data": row},
        "openOrders", lambda rows: {"status": "ok", "data": rows},
        "matchresults", _rows(_htx_trade, lambda rows: {"status": "ok", "data": rows}), open_row=_htx_open,
    ),
    "mexc": Says(
        ("NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "PARTIALLY_CANCELED"), _binance,
        "v3/order", _same, "openOrders", _same, "myTrades", _rows(_binance_trade),
    ),
    "bitget": Says(
        ("live", "partially_filled", "filled", "cancelled", "cancelled"), _bitget,
        "orderInfo", lambda row: data([row]) | {"code": "00000"}, "unfilled-orders", lambda rows: data(rows) | {"code": "00000"},
        "trade/fills", _rows(_bitget_trade, lambda rows: data(rows) | {"code": "00000"}),
    ),
    "cryptocom": Says(
        ("ACTIVE", "ACTIVE", "FILLED", "CANCELED", "CANCELED"), _cryptocom,
        "get-order-detail", lambda row: {"id": 1, "method": "m", "code": 0, "result": row},
        "get-open-orders", lambda rows: {"id": 1, "method": "m", "code": 0, "result": {"data": rows}},
        "get-trades", _rows(_cryptocom_trade, lambda rows: {"id": 1, "method": "m", "code": 0, "result": {"data": rows}}),
        traded_first="get-order-detail",
    ),
    "bingx": Says(
        ("PENDING", "PARTIALLY_FILLED", "FILLED", "CANCELED", "CANCELED"), _bingx,
        "trade/query", lambda row: {"code": 0, "msg": "", "data": row},
        "trade/openOrders", lambda rows: {"code": 0, "msg": "", "data": {"orders": rows}},
        "trade/myTrades", _rows(_bingx_trade, lambda rows: {"code": 0, "msg": "", "data": {"fills": rows}}),
    ),
    "whitebit": Says(
        ("", "", "", "", "PARTIALLY_CANCELED"), _whitebit,
        "v4/orders", lambda row: [row], "v4/orders", _same,
        "trade-account/order", _rows(_whitebit_trade, lambda rows: {"records": rows, "offset": 0, "limit": 100}),
        done_at="order/history", done_row=_whitebit_done, done=lambda row: {"BTC_USDT": [row]},
    ),
    "upbit": Says(
        ("wait", "wait", "done", "cancel", "cancel"), _upbit,
        "v1/order", _same, "orders/open", _same, "v1/order", lambda order, _: order, liquidity="NOT_KNOWN", open_row=_upbit_open,
    ),
    "bitvavo": Says(
        ("new", "partiallyFilled", "filled", "canceled", "canceledIOC"), _bitvavo,
        "v2/order", _same, "ordersOpen", _same, "v2/order", lambda order, _: order,
    ),
    "poloniex": Says(
        ("NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "PARTIALLY_CANCELED"), _poloniex,
        "orders/cid", _same, "com/orders", _same, "orders/5/trades", _rows(_poloniex_trade),
    ),
    "lbank": Says(
        ("0", "1", "2", "-1", "3"), _lbank,
        "supplement/orders_info", lambda row: {"result": "true", "data": row, "error_code": 0, "ts": MS},
        "orders_info_no_deal", lambda rows: {"result": "true", "data": {"orders": rows, "total": len(rows)}, "error_code": 0},
        "order_transaction_detail", _rows(_lbank_trade, lambda rows: {"result": "true", "transaction": rows, "error_code": 0}),
        open_row=_lbank_open, listing_names_us=False, fee_asset="BTC",
    ),
}  # fmt: skip


def text(body: Any) -> str:
    return json.dumps(body)
