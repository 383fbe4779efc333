"""Money between our units (ints of 1e-8) and the decimal strings that people and other programs read. Exact both ways."""

from __future__ import annotations

import re

SCALE = 10**8
_WRITTEN = re.compile(r"-?[0-9]+(\.[0-9]{1,8})?")


def decimal(units: int) -> str:
    """`150000000` as `1.5`: no exponent, no trailing zeros."""
    whole, rest = divmod(abs(units), SCALE)
    text = f"{whole}.{rest:08d}".rstrip("0").rstrip(".") if rest else str(whole)
    return f"-{text}" if units < 0 else text


def units(text: str) -> int:
    """`1.5` as `150000000`. Raises `ValueError` for what `decimal` does not write."""
    if not _WRITTEN.fullmatch(text):
        raise ValueError(f"{text!r} is not an amount of up to eight decimals")
    whole, _, rest = text.lstrip("-").partition(".")
    size = int(whole) * SCALE + int(rest.ljust(8, "0"))
    return -size if text.startswith("-") else size
