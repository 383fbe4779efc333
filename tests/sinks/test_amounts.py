"""Amounts as text and back, against `decimal.Decimal`."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.amounts import decimal, units

ANY = st.integers(-(10**20), 10**20)


@given(ANY)
def test_there_and_back(amount: int) -> None:
    assert units(decimal(amount)) == amount


@given(ANY)
def test_as_decimal_says_it(amount: int) -> None:
    text = decimal(amount)
    assert Decimal(text) == Decimal(amount).scaleb(-8)
    assert "E" not in text and not (text.endswith("0") and "." in text)


@pytest.mark.parametrize("text", ["", "one", "1.123456789", "1e5", "1.-5", "--"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError):
        units(text)
