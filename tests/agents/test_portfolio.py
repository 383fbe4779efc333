"""What the worker's web side shows of an account: balances, what they are worth, positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.records import Quote
from streams.engine.agent import Broadcast, Table
from streams.engine.driver import Driver
from tests.agents.scenario import START, S, Scenario


class Look:
    """Into the driver's only task."""

    def __init__(self, driver: Driver) -> None:
        self.driver, self.now = driver, driver.now

    def get(self, table: Table[Any], key: str) -> Any:
        return self.driver.get(table, key)

    def broadcast(self, broadcast: Broadcast[Any]) -> Mapping[str, Any]:
        return self.driver.broadcasts[broadcast.topic]


def test_an_account_with_what_it_is_worth() -> None:
    scenario = Scenario()
    scenario.run("""
        deposit 100000 USDT
        deposit 7 XYZ
        hold 1000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        o1.1 fill 0.5 @ 59000 fee 0.0005 BTC #1
        o1.2 fill 0.25 @ 60000 #2
        wait 2
    """)
    usd = Quote(symbol="USDT/USD", bid=S * 99 // 100, ask=S * 101 // 100, venues=1, at=START + 1_500_000)
    scenario.driver.feed("market.quotes", "USDT/USD", usd)
    view = scenario.driver.agent.views["account"]
    look = Look(scenario.driver)
    found = view(look, "acct", {"in": "USD"})
    assert view(look, "nobody", {}) is None
    assert found["open_orders"] == 1 and "worth" not in view(look, "acct", {})
    assert found["balances"]["USDT"] == {"available": "39485", "locked": "15015", "held": "1000", "owed": "0"}
    assert found["positions"] == {
        "BTC/USDT": {
            "quantity": "0.75",
            "average_price": "59333.33333333",
            "realised": "0",
            "fees": {"BTC": "0.0005"},
            "venues": {
                "a": {"quantity": "0.5", "average_price": "59000", "realised": "0"},
                "b": {"quantity": "0.25", "average_price": "60000", "realised": "0"},
            },
        }
    }
    assert found["worth"] == {
        "BTC": {"value": "44970", "rate": "60000", "by": ["BTC/USDT", "USDT/USD"], "age_s": 2.0},
        "USDT": {"value": "55500", "rate": "1", "by": ["USDT/USD"], "age_s": 0.5},
        "XYZ": {"value": None, "rate": None, "by": [], "age_s": None},
    }
    assert (found["total"], found["unknown"]) == ("100470", ["XYZ"])


def test_limits_are_counted_through_a_third_asset() -> None:
    scenario = Scenario()
    for symbol, price in (("XYZ/BTC", S // 10), ("XYZ/BNB", S)):
        quote = Quote(symbol=symbol, bid=price, ask=price, venues=1, at=START)
        scenario.driver.feed("market.quotes", symbol, quote)
    scenario.run("""
        deposit 100000 USDT
        deposit 1 XYZ
        limits max_account_position 12000
        buy 0.1 @ 60000 as o1                          => ACCEPTED>ROUTING
        buy 0.001 @ 60000 as o2                        => DENIED>DENIED:ACCOUNT_POSITION
    """)
