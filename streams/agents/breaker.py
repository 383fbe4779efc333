"""The volatility breaker within the router: what it does is `streams.domain.volatility`, when is the task's table and timers.

Its state and its word (`trading.states`, key `breaker|SYMBOL`) are written in the batch in which the mid moved, or the timer fired: each
is said once, whatever is restarted. The window is derived from books; after a restart it reaches back as far as they are read again.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.records import Quote, TradingState, TradingStatus
from streams.domain import volatility
from streams.domain.terms import RoutingSettings
from streams.domain.volatility import Moves
from streams.engine.agent import Context, Table

STATES = "trading.states"
BREAKERS = Table("breakers", TradingState)  # key: symbol; none while it is closed
TIMER = "breaker"


def watch(ctx: Context, moves: dict[str, Moves], quote: Quote, settings: RoutingSettings) -> None:
    """A quote that is new: halt market orders of its symbol if the mid has moved too far."""
    if not settings.move_rate or not note(moves, quote, settings):
        return
    move = moves[quote.symbol].move()
    if abs(move) < settings.move_rate:
        return
    table, symbol = ctx.table(BREAKERS), quote.symbol
    said = table.get(symbol)
    if said is None or said.state is not TradingStatus.HALTED:
        _say(ctx, symbol, volatility.halted(symbol, move, settings, ctx.now), settings.halt_us)


def halted(ctx: Context, symbol: str, states: Mapping[str, TradingState]) -> bool:
    """Whether the breaker halts, though that may not have come back from `states` yet; an operator's newer word counts instead."""
    own = ctx.table(BREAKERS).get(symbol)
    if own is None or own.state is not TradingStatus.HALTED:
        return False
    said = states.get(own.scope)
    return said is None or said.at <= own.at


def note(moves: dict[str, Moves], quote: Quote, settings: RoutingSettings) -> bool:
    """Remember the quote's mid; whether it has one."""
    if quote.bid is None or quote.ask is None:
        return False
    of = moves.get(quote.symbol)
    if of is None:
        of = moves[quote.symbol] = Moves()
    of.note((quote.bid + quote.ask) // 2, quote.at, settings.move_us)
    return True


def due(ctx: Context, moves: dict[str, Moves], symbol: str, settings: RoutingSettings) -> None:
    """The time of a state is over."""
    said = ctx.table(BREAKERS).get(symbol)
    if said is None:
        return
    if (of := moves.get(symbol)) is not None and said.state is TradingStatus.HALTED:
        of.forget()
    _say(ctx, symbol, volatility.after(said, symbol, ctx.now), settings.half_open_us)


def _say(ctx: Context, symbol: str, said: TradingState, lasts_us: int) -> None:
    ctx.send(STATES, said.scope, said)
    key = f"{TIMER}|{symbol}"
    if said.state is TradingStatus.ACTIVE:
        del ctx.table(BREAKERS)[symbol]
        ctx.cancel_timer(key)
    else:
        ctx.table(BREAKERS)[symbol] = said
        ctx.set_timer(key, ctx.now + lasts_us)
