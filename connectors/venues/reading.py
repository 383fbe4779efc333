"""What ccxt's parsers made of an answer, as the plain values an adapter speaks in. Pure; numbers come in as strings.

Rules:

* an order that is done with less than its quantity was cancelled, whatever it is called; save a market buy, whose quantity may be what it spends;
* what is no order, or does not tell its state, is no answer: `ValueError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.venues import fees
from connectors.venues.outcomes import OrderView, VenueOrderStatus, VenueTrade
from connectors.venues.units import exact
from schemas.records import Instrument, Liquidity

STATUS = {
    "open": VenueOrderStatus.OPEN,
    "canceling": VenueOrderStatus.OPEN,
    "closed": VenueOrderStatus.FILLED,
    "canceled": VenueOrderStatus.CANCELLED,
    "expired": VenueOrderStatus.EXPIRED,
    "rejected": VenueOrderStatus.REJECTED,
}
LIQUIDITY = {"maker": Liquidity.MAKER, "taker": Liquidity.TAKER}


def order_view(order: Mapping[str, Any]) -> OrderView:
    """ccxt's order, by the client's id as it is on the wire. Raises `ValueError`."""
    status, number = STATUS.get(str(order.get("status"))), order.get("id")
    filled = order.get("filled")
    if status is None or not number or (filled is None and status is not VenueOrderStatus.REJECTED):
        raise ValueError(f"not an order: {order.get('info')!r:.200}")
    by_cost = order.get("type") == "market" and order.get("side") == "buy"
    if status is VenueOrderStatus.FILLED and not by_cost and exact(filled) < exact(order.get("amount")):
        status = VenueOrderStatus.CANCELLED
    at = order.get("lastUpdateTimestamp") or order.get("timestamp")
    return OrderView(
        child_id=str(order.get("clientOrderId") or ""),
        venue_order_id=str(number),
        status=status,
        filled=exact(filled),
        at=int(at) * 1000 if at else None,
        symbol=str(order.get("symbol") or ""),
    )


def trade_of(
    trade: Mapping[str, Any], venue_order_id: str, market: Mapping[str, Any], instrument: Instrument | None
) -> VenueTrade:
    """ccxt's trade; where its fee is not told, by the instrument's rate. Raises `ValueError`."""
    number, price, quantity = trade["id"], exact(trade["price"]), exact(trade["amount"])
    if not number or price <= 0 or quantity <= 0:
        raise ValueError(f"not a trade: {trade.get('info')!r:.200}")
    liquidity = LIQUIDITY.get(str(trade.get("takerOrMaker")), Liquidity.NOT_KNOWN)
    parts = [
        (part.get("currency"), exact(part["cost"]))
        for part in trade.get("fees") or [trade.get("fee") or {}]
        if part.get("cost") is not None
    ]
    fee = fees.told(parts, market["base"], market["quote"], price)
    if fee is None and instrument is not None:
        fee = fees.at_rate(instrument, price, quantity, liquidity)
    return VenueTrade(
        trade_id=str(number),
        venue_order_id=venue_order_id,
        price=price,
        quantity=quantity,
        fee=None if fee is None else fee.cost,
        fee_asset=None if fee is None else fee.asset,
        liquidity=liquidity,
        at=int(trade["timestamp"]) * 1000 if trade.get("timestamp") else None,
        estimated=fee is None or fee.estimated,
    )


def age(trade: Mapping[str, Any]) -> tuple[int, int]:
    """Trades of one millisecond are ordered by their numbers, where these are numbers."""
    number = str(trade["id"])
    return trade["timestamp"] or 0, int(number) if number.isdigit() else 0
