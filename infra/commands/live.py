"""What `bestex feed` and `bestex demo --live` share: which real venues are meant, and whether there is a network to reach them by."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from infra.commands.common import Failure, emit, eprint, err, must_be_exchanges

NO_NETWORK = "NO_NETWORK"
NO_NETWORK_EXIT = 3
SYMBOLS = ("BTC/USDT", "ETH/USDT")


def rows(venues: str | None, symbols: str | None) -> list[dict[str, Any]]:
    """The feed's rows of what the command line names: a JSON file of venues, or exchanges by name with symbols. Raises `Failure`."""
    if not venues:
        raise Failure(
            "which venues? Name exchanges (--venues binance,kraken --symbols BTC/USDT) or a file, or set BESTEX_VENUES"
        )
    chosen = _listed(symbols)
    path = Path(venues)
    if path.suffix == ".json" or path.is_file():
        if not path.is_file():
            raise Failure(f"there is no file {venues}")
        found = [_public(row) for row in json.loads(path.read_text())]
        return [{**row, "symbols": chosen} for row in found] if chosen else found
    if not chosen:
        raise Failure("which symbols? Name some with --symbols, as in --symbols BTC/USDT,ETH/USDT")
    made = [{"name": name, "exchange": name, "symbols": chosen} for name in _listed(venues)]
    known(made)
    return made


def known(found: Sequence[Mapping[str, Any]]) -> None:
    """Raises `Failure` for an exchange that cannot be followed."""
    from connectors.feeds.registry import EXCHANGES

    strange = [row["exchange"] for row in found if row["exchange"] not in EXCHANGES]
    if strange:
        must_be_exchanges(*strange)


def reached(found: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Return when one of the venues can be reached; those that cannot are named. Else end the command with `NO_NETWORK` and exit code 3."""
    from connectors.feeds.reach import unreachable

    missing = asyncio.run(unreachable(found))
    if len(missing) < len(found):
        for name, why in missing.items():
            eprint(f"{name} cannot be reached now ({why}); it is tried again and again")
        return
    reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
    message = f"no network to the exchanges: {reasons}"
    err().print(f"[red]error:[/] {message}", highlight=False, soft_wrap=True)
    if as_json:
        emit({"error": message, "code": NO_NETWORK, "unreachable": missing})
    raise typer.Exit(NO_NETWORK_EXIT)


def _public(venue: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "exchange", "rest_url", "ws_url", "symbols", "path")
    if missing := [name for name in ("name", "exchange") if name not in venue]:
        raise Failure(f"a venue without {' and '.join(missing)}: {dict(venue)}")
    return {k: v for k, v in venue.items() if k in names}


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]
