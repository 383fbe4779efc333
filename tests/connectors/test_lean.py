"""What `connectors.lean` opens of ccxt is what ccxt has there, and no more is loaded than was asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from connectors.venues.exchanges import DIALECTS

LOADED = """
import sys
import connectors
import ccxt, ccxt.async_support, ccxt.pro
import ccxt.async_support.okx as okx
assert not any(name.startswith("ccxt.pro.") for name in sys.modules)
rest, live = ccxt.async_support.{0}, ccxt.pro.{0}
assert issubclass(live, rest) and rest.__module__ == "ccxt.async_support.{0}" and okx is ccxt.async_support.okx
assert live({{}}).id == "{0}" and isinstance(okx, type)
assert issubclass(ccxt.RateLimitExceeded, ccxt.BaseError) and issubclass(rest, ccxt.async_support.Exchange)
assert not hasattr(ccxt, "no_such_exchange")
print(sum(name.startswith("ccxt.async_support.") and name.count(".") == 2 for name in sys.modules))
"""


ALL = """
import connectors, ccxt.async_support, ccxt.pro
for name in {0}:
    rest, live = getattr(ccxt.async_support, name), getattr(ccxt.pro, name)
    assert issubclass(live, rest), name
    assert live({{}}).id == name and rest({{}}).id == name
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("exchange", ["binance", "kraken"])
def test_an_exchange_comes_alone(exchange: str) -> None:
    assert int(run(LOADED.format(exchange))) <= 3  # the exchange, okx, and `base`


def test_each_of_ours_can_be_had() -> None:
    run(ALL.format(sorted(DIALECTS)))
