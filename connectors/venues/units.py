"""Decimal strings of the venues' protocols to exact ints of 1e-8 and back: no float ever carries money.

A value finer than 1e-8 raises `ValueError`; rounding silently would break the conservation of money.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation

SCALE = 100_000_000


def units(text: object) -> int:
    """The exact int of 1e-8 of a decimal string (or of a JSON integer). Raises `ValueError`."""
    if not isinstance(text, str | int) or isinstance(text, bool):
        raise ValueError(f"{text!r} is not a decimal string")
    try:
        value = Decimal(text).scaleb(8)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a decimal string") from error
    if not value.is_finite() or value != value.to_integral_value():
        raise ValueError(f"{text!r} is not a multiple of 1e-8")
    return int(value)


def exact(value: object, otherwise: int = 0) -> int:
    """A number told as text, int or Decimal, in 1e-8; None is `otherwise`. Finer amounts are cut to the nearest. Raises `ValueError`."""
    try:
        return otherwise if value is None else units(str(Decimal(str(value)).quantize(Decimal("1e-8"))))
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is no number") from error


def iso_us(text: str) -> int:
    """Microseconds of a UTC time such as `2023-02-09T20:33:57.609931463Z`. Raises `ValueError`."""
    whole, _, rest = text.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(whole + "+00:00")
    return int(at.timestamp()) * 1_000_000 + int(rest[:6].ljust(6, "0") or 0)


def text(value: int) -> str:
    """The shortest decimal string of an int of 1e-8: `text(150_000_000) == "1.5"`."""
    whole, rest = divmod(abs(value), SCALE)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{rest:08d}".rstrip("0").rstrip(".")
