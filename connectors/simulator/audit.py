"""What really happened at the venue, for those who check the pipeline against it."""

from __future__ import annotations

from typing import Any

from connectors.simulator.amounts import fixed
from connectors.simulator.budget import Budget
from connectors.simulator.exchange import Exchange


def audit(venue: str, exchange: Exchange, budget: Budget) -> dict[str, Any]:
    """Every acceptance, order, trade and balance since the start; amounts are decimal strings.

    A trade between two clients has two rows with the same id. `limits`: how its budget was used. `conserved`: all money is accounted for (`Exchange.conserved`).
    """
    orders = exchange.orders.values()
    accounts = sorted({account for account, _ in exchange.ledger.free})
    return {
        "venue": venue,
        "accepted": dict(exchange.accepted),
        "orders": [
            {
                "client_order_id": o.asked.client_id,
                "status": o.status,
                "symbol": o.rules.symbol,
                "side": o.asked.side,
                "quantity": fixed(o.asked.quantity),
                "filled": fixed(o.filled),
            }
            for o in orders
        ],
        "trades": [
            {
                "trade_id": str(t.trade_id),
                "client_order_id": t.client_id,
                "symbol": o.rules.symbol,
                "side": t.side,
                "price": fixed(t.price),
                "quantity": fixed(t.quantity),
                "fee": fixed(t.fee),
                "fee_asset": t.fee_asset,
                "maker": t.maker,
            }
            for o in orders
            for t in o.trades
        ],
        "balances": {
            account: {
                asset: {"free": fixed(free), "locked": fixed(locked)}
                for asset, (free, locked) in sorted(exchange.ledger.of(account).items())
            }
            for account in accounts
        },
        "conserved": exchange.conserved(),
        "limits": budget.report(),
    }
