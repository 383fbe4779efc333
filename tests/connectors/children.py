"""A child order to talk about."""

from __future__ import annotations

from schemas.records import ChildOrder, OrderType, Side, TimeInForce

CHILD = ChildOrder(
    child_id="c-1",
    order_id="o-1",
    account_id="a-1",
    venue="v",
    symbol="BTC/USDT",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.GTC,
    quantity=100,
    price=10,
    created_at=0,
)
