"""The accounts agent, scenario by scenario, through the test driver. `tests.agents.scenario` says how to read them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.body import avro_body
from schemas.moments import LATEST, holds
from schemas.records import (
    Algo,
    CancelOrder,
    ExecutionKind,
    ExecutionReport,
    ModifyOrder,
    OrderType,
    Quote,
    Side,
    TimeInForce,
)
from streams.agents.accounts import ACCOUNTS, ORDERS
from streams.domain.events import first_break, order_id_of
from streams.domain.ledger import check
from streams.domain.risk import RiskSettings
from tests.agents.scenario import ACKS, COMMANDS, START, SYMBOL, S, Scenario, instrument, place, report, units
from tests.strategies import MONEY

SCENARIOS = {
    "a limit buy is filled at two venues; fees in base": """
        deposit 100000 USDT                            => TRANSFERRED>INITIALIZED | USDT 100000 0
        buy 1 @ 60000 as o1                            => ACCEPTED>ROUTING | USDT 39940 60060
        plan o1: a 0.4 @ 60000, b 0.6 @ 60000          => ROUTED>ROUTING
        o1.1 accepted                                  => WORKING>WORKING
        o1.1 fill 0.4 @ 59990 fee 0.0004 BTC #1        => FILL>PARTIALLY_FILLED | USDT 39968 36036, BTC 0.3996 0
        o1.2 accepted                                  => WORKING>PARTIALLY_FILLED
        o1.2 fill 0.6 @ 60000 fee 0.0006 BTC #9        => FILL>FILLED | USDT 40004 0, BTC 0.999 0
    """,
    "a limit sell; fees in quote": """
        deposit 2 BTC
        sell 1.5 @ 60000 as o1                         => ACCEPTED>ROUTING | BTC 0.5 1.5
        plan o1: a 1.5 @ 60000                         => ROUTED>ROUTING
        o1.1 fill 1.5 @ 60001 fee 90.0015 USDT #1      => FILL>FILLED | BTC 0.5 0, USDT 89911.4985 0
    """,
    "a fee in quote on a buy is paid from the reservation": """
        deposit 60060 USDT
        buy 1 @ 60000 as o1                            => ACCEPTED>ROUTING | USDT 0 60060
        plan o1: a 1 @ 60000
        o1.1 fill 1 @ 60000 fee 60 USDT #1             => FILL>FILLED | USDT 0 0, BTC 1 0
    """,
    "a fee in a third asset is paid from there": """
        deposit 60060 USDT
        deposit 1 BNB
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        o1.1 fill 1 @ 60000 fee 0.1 BNB #1             => FILL>FILLED | USDT 60 0, BTC 1 0, BNB 0.9 0
    """,
    "a fee that is not there is owed, stops orders and withdrawals, and is paid back first": """
        deposit 70000 USDT
        buy 0.5 @ 60000 as o1
        plan o1: a 0.5 @ 60000
        o1.1 fill 0.5 @ 60000 fee 0.1 BNB #1           => FILL>FILLED | USDT 40000 0, BNB 0 0 0.1
        buy 0.5 @ 60000 as o2                          => DENIED>DENIED:FUNDS_OWED | USDT 40000 0
        withdraw 1 USDT                                => TRANSFER_DENIED>INITIALIZED:FUNDS_OWED
        deposit 0.3 BNB                                => TRANSFERRED>INITIALIZED | BNB 0.2 0 0
        buy 0.5 @ 60000 as o3                          => ACCEPTED>ROUTING
    """,
    "a rebate is a negative fee": """
        deposit 60060 USDT
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        o1.1 fill 1 @ 60000 fee -6 USDT #1             => FILL>FILLED | USDT 66 0, BTC 1 0
    """,
    "what a fill costs is truncated, what is reserved is rounded up": """
        deposit 100 USDT
        buy 0.00033 @ 33333.33 as o1                   => ACCEPTED>ROUTING | USDT 88.9890011 11.0109989
        plan o1: a 0.00033 @ 33333.33
        o1.1 fill 0.00033 @ 33333.33 fee 0.00000033 BTC #1 => FILL>FILLED | USDT 89.0000011 0, BTC 0.00032967 0
    """,
    "a market order is protected by the collar and never rests; with no price it is denied": """
        deposit 100000 USDT
        buy 1 market as o0                             => DENIED>DENIED:NO_PRICE
        quote 59990 60000
        buy 1 market as o1                             => ACCEPTED>ROUTING | USDT 38738.8 61261.2
        plan o1: a 0.7 @ 61200                         => ROUTED>ROUTING:NO_LIQUIDITY
        o1.1 fill 0.5 @ 60000 fee 0.0005 BTC #1        => FILL>PARTIALLY_FILLED
        o1.1 expired 0.5                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED route:o1:0.5
        plan o1:                                       => ROUTED>PARTIALLY_FILLED:NO_LIQUIDITY
        wait 1.7                                       => REROUTED>PARTIALLY_FILLED route:o1:0.5
        plan o1:                                       => ROUTED>PARTIALLY_FILLED:NO_LIQUIDITY
        wait 0.25                                      => REROUTED>PARTIALLY_FILLED route:o1:0.5
        plan o1:                                       => ROUTED>PARTIALLY_FILLED:NO_LIQUIDITY CLOSED>CANCELLED:NO_LIQUIDITY | USDT 70000 0, BTC 0.4995 0
    """,
    "a market sell is protected below the bid": """
        deposit 1 BTC
        quote 60000 60010
        sell 1 market as o1                            => ACCEPTED>ROUTING | BTC 0 1
        plan o1: a 1 @ 58799.99                        => dead:PLAN_MISMATCH
        plan o1: a 1 @ 58800                           => ROUTED>ROUTING
    """,
    "nothing could be routed: a resting order is rejected, an immediate one expires": """
        deposit 100000 USDT
        buy 0.5 @ 60000 as o1
        plan o1:                                       => ROUTED>ROUTING:NO_LIQUIDITY CLOSED>REJECTED:NO_LIQUIDITY | USDT 100000 0
        buy 0.5 @ 60000 as o2 ioc
        plan o2:                                       => ROUTED>ROUTING:NO_LIQUIDITY CLOSED>EXPIRED:NO_LIQUIDITY | USDT 100000 0
    """,
    "an immediate order's remainder expires": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1 ioc
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        o1.1 accepted                                  => WORKING>WORKING
        o1.1 expired 0                                 => CHILD_CLOSED>WORKING:VENUE_EXPIRED
        o1.2 fill 0.2 @ 60000 #1                       => FILL>PARTIALLY_FILLED
        o1.2 expired 0.2                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED CLOSED>EXPIRED:IOC_REMAINDER | USDT 88000 0, BTC 0.2 0
    """,
    "what the market moved away from is routed again, and a market order ends filled": """
        deposit 100000 USDT
        quote 59990 60000
        buy 1 market as o1
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        o1.1 expired 0                                 => CHILD_CLOSED>ROUTING:VENUE_EXPIRED route:o1:0.5
        o1.2 fill 0.2 @ 60000 #1                       => FILL>PARTIALLY_FILLED | USDT 38991.04 49008.96, BTC 0.2 0
        o1.2 expired 0.2                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED
        plan o1: b 0.5 @ 60010                         => ROUTED>PARTIALLY_FILLED route:o1:0.3
        plan o1: a 0.3 @ 60010                         => ROUTED>PARTIALLY_FILLED
        o1.2.1 accepted                                => WORKING>PARTIALLY_FILLED
        o1.2.1 fill 0.5 @ 60010 #2                     => FILL>PARTIALLY_FILLED
        o1.3.1 fill 0.3 @ 60010 #3                     => FILL>FILLED | USDT 39992 0, BTC 1 0
    """,
    "an order that may rest does so when its taking child comes too late": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        o1.1 accepted                                  => WORKING>WORKING
        o1.1 expired 0                                 => CHILD_CLOSED>WORKING:VENUE_EXPIRED route:o1:1 | USDT 39940 60060
        plan o1: a 1 @ 60000                           => ROUTED>WORKING
        o1.2.1 accepted                                => WORKING>WORKING
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.2.1
        o1.2.1 cancelled 0                             => CHILD_CLOSED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0
    """,
    "a cancel while it is routed again is remembered": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        o1.1 expired 0                                 => CHILD_CLOSED>ROUTING:VENUE_EXPIRED route:o1:1
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL
        plan o1: b 1 @ 60000                           => ROUTED>PENDING_CANCEL ask:o1.2.1
        o1.2.1 cancelled 0                             => CHILD_CLOSED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0
    """,
    "while a venue has not said what it filled, nothing is routed again": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        o1.1 expired                                   => CHILD_CLOSED>ROUTING:VENUE_EXPIRED CLOSED>EXPIRED:VENUE_EXPIRED | USDT 100000 0
        o1.1 fill 0.4 @ 60000 #1                       => FILL>EXPIRED
    """,
    "every venue refuses": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        o1.1 rejected                                  => CHILD_CLOSED>ROUTING:VENUE_REJECTED route:o1:0.5:not_a
        o1.2 not_sent                                  => CHILD_CLOSED>ROUTING:VENUE_REJECTED
        plan o1:                                       => ROUTED>ROUTING:NO_LIQUIDITY route:o1:1:not_a:not_b
    """,
    "a venue counts fills when it refuses the rest, and tells them then": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1 ioc
        plan o1: a 1 @ 60000
        o1.1 rejected 0.4                              => CHILD_CLOSED>ROUTING:VENUE_REJECTED route:o1:0.6:not_a
        o1.1 fill 0.4 @ 60000 #1                       => FILL>PARTIALLY_FILLED
        o1.1 fill 0.1 @ 60000 #2                       => dead:ILLEGAL_TRANSITION
    """,
    "one venue refuses, the other fills": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        o1.1 rejected                                  => CHILD_CLOSED>ROUTING:VENUE_REJECTED route:o1:0.5:not_a
        o1.2 fill 0.5 @ 60000 #1                       => FILL>PARTIALLY_FILLED
    """,
    "a cancel while working": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        o1.1 accepted
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.1 ask:o1.2
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL
        o1.2 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0
        cancel o1                                      => CANCEL_DENIED>CANCELLED:ALREADY_CLOSED
    """,
    "a cancel before the plan is remembered": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL
        plan o1: a 1 @ 60000                           => ROUTED>PENDING_CANCEL ask:o1.1
        o1.1 accepted                                  => WORKING>PENDING_CANCEL
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL
    """,
    "a cancel before a plan that routes nothing": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        cancel o1
        plan o1:                                       => ROUTED>PENDING_CANCEL:NO_LIQUIDITY CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0
    """,
    "a cancel crosses the last fill": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.1
        o1.1 fill 1 @ 60000 #1                         => FILL>FILLED | USDT 40000 0, BTC 1 0
        o1.1 cancel_rejected                           =>
        cancel o1                                      => CANCEL_DENIED>FILLED:ALREADY_CLOSED
    """,
    "a refused cancel restores what was": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        cancel o1
        o1.1 cancel_rejected                           => CANCEL_REJECTED>PENDING_CANCEL
        o1.2 cancel_rejected                           => CANCEL_REJECTED>ROUTING
        o1.1 accepted                                  => WORKING>WORKING
        cancel o1
        o1.1 cancel_rejected                           => CANCEL_REJECTED>PENDING_CANCEL
        o1.2 cancelled 0                               => CHILD_CLOSED>WORKING
        o1.1 fill 0.1 @ 60000 #1                       => FILL>PARTIALLY_FILLED
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.1
        o1.1 cancel_rejected                           => CANCEL_REJECTED>PARTIALLY_FILLED
        o1.1 fill 0.4 @ 60000 #2                       => FILL>PARTIALLY_FILLED CLOSED>CANCELLED:CLIENT_CANCEL | USDT 70000 0, BTC 0.5 0
    """,
    "an end that was asked for in part has the reason of who asked: an operator": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        wait 1
        sweep BTC/USDT
        o1.2 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL
        o1.1 cancel_rejected                           => CANCEL_REJECTED>ROUTING
        o1.1 fill 0.5 @ 60000 #1                       => FILL>PARTIALLY_FILLED CLOSED>CANCELLED:OPERATOR_CANCEL
    """,
    "an end that was asked for in part has the reason of who asked: the clock": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1 until 30
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        wait 31
        o1.2 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL
        o1.1 cancel_rejected
        o1.1 fill 0.5 @ 60000 #1                       => FILL>PARTIALLY_FILLED CLOSED>EXPIRED:TIME_EXPIRED
    """,
    "a change that brings the end nearer is not carried out after it": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1 until 1000
        plan o1: a 1 @ 60000
        o1.1 accepted
        state system HALTED
        modify o1 price 59999 until 10
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_MODIFY WAITING>PENDING_MODIFY:HALTED
        wait 20                                        => EXPIRING>PENDING_CANCEL:TIME_EXPIRED CLOSED>EXPIRED:TIME_EXPIRED | USDT 100000 0
        state system ACTIVE
        wait 10                                        =>
    """,
    "a change whose end came while a child was unknown ends the order": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1 until 1000
        plan o1: a 1 @ 60000
        o1.1 unknown
        modify o1 price 59999 until 10
        wait 9                                         =>
        wait 2                                         => EXPIRING>PENDING_CANCEL:TIME_EXPIRED
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL CLOSED>EXPIRED:TIME_EXPIRED
    """,
    "an end that was put off in time counts while the change is on its way": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1 until 10
        plan o1: a 1 @ 60000
        o1.1 accepted
        modify o1 price 60001 until 3600               => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        wait 11                                        =>
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_MODIFY MODIFIED>ROUTING route:o1:1
        plan o1: a 1 @ 60001
        wait 3600                                      => EXPIRING>PENDING_CANCEL:TIME_EXPIRED ask:o1.2.1
    """,
    "an end that was put off, and was refused with the change, has come": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1 until 10
        plan o1: a 1 @ 60000
        o1.1 accepted
        modify o1 price 60001 until 3600
        wait 11
        o1.1 cancel_rejected                           => CANCEL_REJECTED>WORKING MODIFY_REJECTED>WORKING EXPIRING>PENDING_CANCEL:TIME_EXPIRED ask:o1.1
    """,
    "what a venue lets expire of an order whose time is over goes nowhere": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1 until 10
        plan o1: a 1 @ 60000
        o1.1 accepted
        wait 10
        o1.1 cancel_rejected                           => CANCEL_REJECTED>WORKING
        o1.1 expired 0                                 => CHILD_CLOSED>WORKING:VENUE_EXPIRED CLOSED>EXPIRED:TIME_EXPIRED | USDT 100000 0
    """,
    "a market order that a halt stopped ends where only sales are taken afterwards": """
        deposit 100000 USDT
        quote 59990 60010
        buy 1 market as o1
        plan o1: a 0.4 @ 61000
        o1.1 fill 0.4 @ 60000
        state system HALTED
        wait 0.3                                       => WAITING>PARTIALLY_FILLED:HALTED
        state system REDUCING
        wait 1                                         => CLOSED>CANCELLED:NO_LIQUIDITY
    """,
    "a TWAP that was halted does not go on after its window": """
        deposit 100000 USDT
        buy 0.9 @ 60000 as o1 twap 3 over 6
        plan o1: a 0.3 @ 60000
        o1.1 unknown
        wait 2
        plan o1: halted
        state system HALTED
        wait 2
        wait 20
        state system ACTIVE
        wait 10                                        =>
        o1.1 fill 0.3 @ 60000                          => FILL>PARTIALLY_FILLED CLOSED>EXPIRED:HALTED disarm:o1
    """,
    "the children of a plan that came after the order was filled are called back": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        o1.1 expired 0                                 => CHILD_CLOSED>ROUTING:VENUE_EXPIRED route:o1:1
        o1.1 fill 1 @ 60000                            => FILL>FILLED
        plan o1: b 1 @ 60000                           => ROUTED>FILLED ask:o1.2.1
        o1.2.1 accepted                                => WORKING>FILLED
        o1.2.1 cancelled 0                             => CHILD_CLOSED>FILLED
    """,
    "a cancelled child waits for the fills that its venue counted": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        cancel o1
        o1.1 cancelled 0.3                             => CHILD_CLOSED>PENDING_CANCEL | USDT 39940 60060
        o1.1 fill 0.1 @ 60000 #1                       => FILL>PENDING_CANCEL
        o1.1 fill 0.2 @ 60000 #2                       => FILL>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 82000 0, BTC 0.3 0
    """,
    "a late fill of an order that is over": """
        deposit 60060 USDT
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        o1.1 cancelled 0                               => CHILD_CLOSED>ROUTING:VENUE_CANCELLED CLOSED>CANCELLED:VENUE_CANCELLED | USDT 60060 0
        o1.1 fill 0.5 @ 60000 #1                       => FILL>CANCELLED | USDT 30060 0, BTC 0.5 0
        withdraw 30000 USDT
        o1.1 fill 0.5 @ 60000 #2                       => FILL>FILLED | USDT 0 0 29940, BTC 1 0
        deposit 30000 USDT                             => TRANSFERRED>INITIALIZED | USDT 60 0 0
    """,
    "reports told again change nothing": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1 ioc
        plan o1: a 1 @ 60000
        plan o1: a 1 @ 60000                           => dead:UNEXPECTED_PLAN
        o1.1 unknown                                   => CHILD_UNKNOWN>ROUTING
        o1.1 unknown                                   =>
        o1.1 fill 0.4 @ 60000 #1                       => FILL>PARTIALLY_FILLED
        o1.1 fill 0.4 @ 60000 #1                       =>
        o1.1 accepted                                  =>
        o1.1 expired 0.4                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED CLOSED>EXPIRED:IOC_REMAINDER
        o1.1 expired 0.4                               =>
        o1.1 unknown                                   =>
        o1.1 fill 0.4 @ 60000 #1                       => | USDT 76000 0, BTC 0.4 0
    """,
    "an unknown child keeps the money locked until the venue says": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1 ioc
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        o1.1 unknown                                   => CHILD_UNKNOWN>ROUTING | USDT 39940 60060
        o1.2 expired 0                                 => CHILD_CLOSED>ROUTING:VENUE_EXPIRED | USDT 39940 60060
        o1.1 rejected                                  => CHILD_CLOSED>ROUTING:VENUE_REJECTED route:o1:1:not_a | USDT 39940 60060
        plan o1: b 1 @ 60000
        o1.2.1 expired 0                               => CHILD_CLOSED>ROUTING:VENUE_EXPIRED CLOSED>EXPIRED:VENUE_EXPIRED | USDT 100000 0
    """,
    "what cannot be is dead-lettered and changes nothing": """
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        o1.1 accepted                                  => dead:UNKNOWN_CHILD
        plan o2: a 1 @ 60000                           => dead:UNKNOWN_ORDER
        plan o1: a 1.5 @ 60000                         => dead:PLAN_MISMATCH
        plan o1: a 1 @ 60000.01                        => dead:PLAN_MISMATCH
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000          => ROUTED>ROUTING
        o1.1 fill 0.6 @ 60000 #1                       => dead:OVERFILL
        o1.1 rejected                                  => CHILD_CLOSED>ROUTING:VENUE_REJECTED route:o1:0.5:not_a
        o1.1 fill 0.5 @ 60000 #1                       => dead:ILLEGAL_TRANSITION
        o1.1 expired                                   => dead:ILLEGAL_TRANSITION
        o1.2 fill 0.5 @ 60000 fee 0 USDT               => FILL>PARTIALLY_FILLED
    """,
    "a client order id is used once, also by what was denied": """
        deposit 1000 USDT
        buy 1 @ 60000 as o1                            => DENIED>DENIED:INSUFFICIENT_FUNDS | USDT 1000 0
        deposit 100000 USDT
        buy 1 @ 60000 as o1                            => DUPLICATE>DENIED:DUPLICATE_ORDER | USDT 101000 0
        buy 1 @ 60000 as o2                            => ACCEPTED>ROUTING
        sell 2 @ 70000 as o2                           => DUPLICATE>ROUTING:DUPLICATE_ORDER
        plan o2: a 1 @ 60000
        o2.1 fill 1 @ 60000 #1                         => FILL>FILLED
        buy 1 @ 60000 as o2                            => DUPLICATE>FILLED:DUPLICATE_ORDER
    """,
    "the same client order id of two accounts is two orders": """
        deposit 100 USDT
        deposit 100 USDT by ann
        buy 0.001 @ 60000 as o1                        => ACCEPTED>ROUTING | USDT 39.94 60.06
        buy 0.001 @ 60000 as o1 by ann                 => ACCEPTED>ROUTING | USDT 39.94 60.06
    """,
    "a transfer is applied once, and withdraws no more than is available": """
        withdraw 1 USDT                                => TRANSFER_DENIED>INITIALIZED:UNKNOWN_ACCOUNT
        deposit 100 USDT as t1                         => TRANSFERRED>INITIALIZED | USDT 100 0
        deposit 100 USDT as t1                         => TRANSFER_DENIED>INITIALIZED:DUPLICATE_TRANSFER | USDT 100 0
        buy 0.001 @ 60000 as t1                        => ACCEPTED>ROUTING | USDT 39.94 60.06
        withdraw 39.94000001 USDT as t2                => TRANSFER_DENIED>INITIALIZED:INSUFFICIENT_FUNDS
        withdraw 39.94 USDT as t2                      => TRANSFER_DENIED>INITIALIZED:DUPLICATE_TRANSFER
        withdraw 39.94 USDT as t3                      => TRANSFERRED>INITIALIZED | USDT 0 60.06
        deposit 0 USDT                                 => TRANSFER_DENIED>INITIALIZED:INVALID_AMOUNT
        deposit -5 USDT                                => TRANSFER_DENIED>INITIALIZED:INVALID_AMOUNT
    """,
    "what does not exist cannot be cancelled or modified": """
        cancel o1                                      => CANCEL_DENIED>INITIALIZED:UNKNOWN_ORDER
        modify o1                                      => MODIFY_DENIED>INITIALIZED:UNKNOWN_ORDER
        deposit 100 USDT
        buy 0.001 @ 60000 as o1                        => ACCEPTED>ROUTING
        modify o1                                      => MODIFY_DENIED>ROUTING:NO_CHANGE
        cancel o1 by ann                               => CANCEL_DENIED>INITIALIZED:UNKNOWN_ORDER
    """,
    "bad orders are denied": """
        buy 1 @ 60000 as o0                            => DENIED>DENIED:UNKNOWN_ACCOUNT
        deposit 100000 USDT
        buy -1 @ 60000 as o1                           => DENIED>DENIED:INVALID_QUANTITY
        buy 0 @ 60000 as o2                            => DENIED>DENIED:INVALID_QUANTITY
        buy 1 @ -60000 as o3                           => DENIED>DENIED:INVALID_PRICE
        buy 1 @ 60000.001 as o4                        => DENIED>DENIED:NOT_ON_TICK
        buy 1.000001 @ 60000 as o5                     => DENIED>DENIED:NOT_ON_LOT
        buy 0.00001 @ 60000 as o6                      => DENIED>DENIED:NOTIONAL_TOO_SMALL
        buy 9001 @ 1 as o7                             => DENIED>DENIED:QUANTITY_TOO_LARGE
        buy 8000 @ 60000 as o8                         => DENIED>DENIED:NOTIONAL_TOO_LARGE
        buy 1.67 @ 60000 as o9                         => DENIED>DENIED:INSUFFICIENT_FUNDS
        sell 1 @ 60000 as o10                          => DENIED>DENIED:INSUFFICIENT_FUNDS | USDT 100000 0
        close a
        buy 1 @ 60000 as o11                           => ACCEPTED>ROUTING
        close b
        buy 0.1 @ 60000 as o12                         => DENIED>DENIED:SYMBOL_CLOSED
    """,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    scenario = Scenario(quoted="no price" not in name)
    scenario.run(SCENARIOS[name])
    assert_adds_up(scenario)


def assert_adds_up(scenario: Scenario) -> None:
    """The log is whole and the money of every account is all there."""
    driver = scenario.driver
    events = driver.records("orders.events")
    for account, state in driver.all(ACCOUNTS).items():
        mine = [e for e in events if e.account_id == account]
        assert first_break(mine, avro_body) is None
        moved = [
            (b.asset, b.available_delta + b.locked_delta + (b.held_delta or 0) - (b.owed_delta or 0))
            for e in mine
            if e.kind == "TRANSFERRED"
            for b in e.balances
        ]
        orders = [o for o in driver.all(ORDERS).values() if o.account_id == account]
        fills = [f for f in driver.records("fills") if f.account_id == account]
        assert check(state, orders, moved, fills) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"order_type": OrderType.STOP, "stop_price": S}, "INVALID_PRICE"),
        ({"order_type": OrderType.STOP_LIMIT}, "INVALID_PRICE"),
        ({"order_type": OrderType.STOP_LIMIT, "stop_price": S}, "PRICE_COLLAR"),
        ({"stop_price": S}, "INVALID_PRICE"),
        ({"time_in_force": TimeInForce.GTD}, "INVALID_TIME"),
        ({"time_in_force": TimeInForce.GTD, "expires_at": START}, "INVALID_TIME"),
        ({"expires_at": START + 1}, "INVALID_TIME"),
        ({"time_in_force": TimeInForce.GTD, "expires_at": LATEST}, "INVALID_TIME"),
        ({"scheduled_at": LATEST}, "INVALID_TIME"),
        ({"scheduled_at": -1}, "INVALID_TIME"),
        ({"scheduled_at": START + 9, "time_in_force": TimeInForce.GTD, "expires_at": START + 9}, "INVALID_TIME"),
        ({"quote_amount": S}, "INVALID_QUANTITY"),
        ({"reduce_only": True}, "REDUCE_ONLY"),
        ({"post_only": True, "time_in_force": TimeInForce.IOC}, "NOT_SUPPORTED"),
        ({"algo": Algo.TWAP}, "INVALID_SLICES"),
        ({"algo": Algo.ICEBERG}, "INVALID_SLICES"),
        ({"algo": Algo.ICEBERG, "visible": 2 * S}, "INVALID_SLICES"),
        ({"algo": Algo.ICEBERG, "visible": S // 10 + 1}, "NOT_ON_LOT"),
        ({"algo": Algo.ICEBERG, "visible": 1}, "TOO_MANY_PARTS"),
        ({"price": 67_000 * S}, "PRICE_COLLAR"),
        ({"symbol": "DOGE/USDT"}, "UNKNOWN_SYMBOL"),
        ({"symbol": ""}, "UNKNOWN_SYMBOL"),
        ({"symbol": "BTCUSDT"}, "UNKNOWN_SYMBOL"),
        ({"price": None}, "INVALID_PRICE"),
        ({"order_type": OrderType.MARKET}, "INVALID_PRICE"),
        ({"client_order_id": ""}, "INVALID_CLIENT_ORDER_ID"),
        ({"client_order_id": "x" * 129}, "INVALID_CLIENT_ORDER_ID"),
    ],
)
def test_what_is_denied_by_field(changes: dict[str, object], code: str) -> None:
    scenario = Scenario()
    scenario.run("deposit 100000 USDT")
    order = msgspec.structs.replace(place("acct", "o1", Side.BUY, S, 60_000 * S), **changes)
    scenario.driver.feed(COMMANDS, "acct", order)
    scenario.driver.run()
    event = scenario.driver.records("orders.events")[-1]
    assert (event.kind, event.reason_code, event.is_outcome) == ("DENIED", code, True)


@pytest.mark.parametrize("at", [-1, LATEST, 2**62])
def test_a_time_that_no_reader_of_the_log_can_hold_is_not_told_on(at: int) -> None:
    scenario = Scenario()
    scenario.run("deposit 100000 USDT")
    asked = place("acct", "o1", Side.BUY, S, 60_000 * S)
    later = {"time_in_force": TimeInForce.GTD, "expires_at": at, "scheduled_at": at}
    good = msgspec.structs.replace(asked, client_order_id="o2", scheduled_at=START + 9_000_000, sent_at=at)
    for order in (msgspec.structs.replace(asked, **later), good):
        scenario.driver.feed(COMMANDS, "acct", order)
    change = ModifyOrder(account_id="acct", client_order_id="o2", sent_at=START, scheduled_at=at)
    scenario.driver.feed(COMMANDS, "acct", change)
    scenario.driver.run()
    events = scenario.driver.records("orders.events")[1:]
    assert [(e.kind, e.reason_code) for e in events] == [
        ("DENIED", "INVALID_TIME"),
        ("ACCEPTED", ""),
        ("MODIFY_DENIED", "INVALID_TIME"),
    ]
    told = [t for e in events for t in (e.sent_at, e.scheduled_at, e.expires_at, e.at) if t is not None]
    assert told and all(holds(t) for t in told)
    assert_adds_up(scenario)


@pytest.mark.parametrize("kind", [CancelOrder, ModifyOrder])
def test_an_id_that_no_order_can_have_is_answered_while_it_is_short_and_put_aside_when_it_is_not(
    kind: type[CancelOrder] | type[ModifyOrder],
) -> None:
    scenario = Scenario()
    scenario.run("deposit 100000 USDT")
    for size in (129, 700_000):
        scenario.driver.feed(COMMANDS, "acct", kind(account_id="acct", client_order_id="x" * size, sent_at=START))
    scenario.driver.feed(COMMANDS, "a" * 129, place("a" * 129, "o1", Side.BUY, S, 60_000 * S))
    scenario.driver.run()
    event = scenario.driver.records("orders.events")[-1]
    assert (event.reason_code, event.is_outcome, len(event.client_order_id)) == ("INVALID_CLIENT_ORDER_ID", True, 129)
    letters = scenario.driver.records(f"{COMMANDS}.dlq")
    assert [letter.cause for letter in letters] == ["ID_TOO_LONG", "ID_TOO_LONG"]
    assert len(scenario.driver.records("orders.events")) == 2


def test_limits_are_the_agents_settings() -> None:
    scenario = Scenario(RiskSettings(max_quantity=units("0.5"), max_notional=units("20000"), collar=units("0.05")))
    scenario.run("""
        deposit 100000 USDT
        buy 0.50001 @ 1000 as o1                       => DENIED>DENIED:QUANTITY_TOO_LARGE
        buy 0.4 @ 50000.01 as o2                       => DENIED>DENIED:NOTIONAL_TOO_LARGE
        quote 9990 10000
        buy 0.5 market as o3                           => ACCEPTED>ROUTING | USDT 94744.75 5255.25
    """)


def test_an_old_quote_is_no_price() -> None:
    scenario = Scenario(RiskSettings(quote_age_us=1_000_000))
    scenario.run("""
        deposit 100000 USDT
        quote 59990 60000
    """)
    scenario.driver.advance(1_000_001)
    scenario.run("buy 1 market as o1                   => DENIED>DENIED:NO_PRICE")


def test_a_one_sided_quote_prices_one_side() -> None:
    scenario = Scenario(quoted=False)
    scenario.driver.feed("market.quotes", SYMBOL, Quote(symbol=SYMBOL, bid=60_000 * S, venues=1, at=START))
    scenario.run("""
        deposit 1 BTC
        deposit 100000 USDT
        buy 1 market as o1                             => DENIED>DENIED:NO_PRICE
        sell 1 market as o2                            => ACCEPTED>ROUTING
    """)


def test_an_order_must_fit_the_finest_open_venue() -> None:
    scenario = Scenario()
    coarse = instrument("a", tick=S, lot=S, min_quantity=S, min_notional=1000 * S, taker_fee=units("0.01"))
    scenario.driver.feed("instruments", f"a|{SYMBOL}", coarse)
    scenario.run("""
        deposit 100000 USDT
        buy 0.001 @ 60000.01 as o1                     => ACCEPTED>ROUTING | USDT 99939.3999899 60.6000101
        close b
        buy 0.001 @ 60000 as o2                        => DENIED>DENIED:NOT_ON_LOT
        buy 1 @ 60000.01 as o3                         => DENIED>DENIED:NOT_ON_TICK
        buy 1 @ 999 as o4                              => DENIED>DENIED:NOTIONAL_TOO_SMALL
    """)


def test_what_goes_to_the_router_and_the_venues() -> None:
    scenario = Scenario()
    scenario.run("""
        deposit 100000 USDT
        quote 59990 60000
        buy 1 market as o1
        plan o1: a 0.5 @ 60000, b 0.5 @ 60000
        o1.1 expired 0
        cancel o1
    """)
    request, again = scenario.driver.records("orders.routable")
    assert (request.order_id, request.price, request.attempt) == (order_id_of("acct", "o1"), 61_200 * S, 1)
    assert (again.order_id, again.quantity, again.attempt) == (request.order_id, S // 2, 2)
    assert request.time_in_force is TimeInForce.IOC
    (cancel,) = scenario.driver.records("venue.orders")
    assert (cancel.child_id, cancel.venue, cancel.order_id) == ("o1.2", "b", request.order_id)


def test_a_fill_says_what_the_trade_was_and_what_the_market_was() -> None:
    scenario = Scenario()
    scenario.run("""
        deposit 1 BTC
        sell 1 @ 59000 as o1
        plan o1: b 1 @ 59000
        o1.1 fill 0.25 @ 59500 fee 14.875 USDT #77
    """)
    (fill,) = scenario.driver.records("fills")
    assert (fill.fill_id, fill.child_id, fill.client_order_id) == (f"b:{SYMBOL}:77", "o1.1", "o1")
    assert (fill.price, fill.quantity, fill.fee, fill.fee_asset) == (59_500 * S, S // 4, units("14.875"), "USDT")
    assert fill.arrival_mid == 60_000 * S


def test_a_trade_with_oneself_is_two_fills_of_one_name_and_two_children() -> None:
    scenario = Scenario()
    scenario.run("""
        deposit 1 BTC
        deposit 100000 USDT
        sell 1 @ 60000 as s1
        plan s1: a 1 @ 60000
        buy 1 @ 60000 as b1
        plan b1: a 1 @ 60000
        s1.1 fill 1 @ 60000 #7                         => FILL>FILLED
        b1.1 fill 1 @ 60000 #7                         => FILL>FILLED | BTC 1 0, USDT 100000 0
        b1.1 fill 1 @ 60000 #7                         =>
    """)
    fills = scenario.driver.records("fills")
    assert [(f.fill_id, f.child_id) for f in fills] == [(f"a:{SYMBOL}:7", "s1.1"), (f"a:{SYMBOL}:7", "b1.1")]


def test_a_report_of_another_accounts_order_or_venue_is_put_aside() -> None:
    scenario = Scenario()
    scenario.run("""
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
    """)
    order_id = order_id_of("acct", "o1")
    for account, venue in (("ann", "a"), ("acct", "b"), ("", "a")):
        scenario.driver.feed(ACKS, account, report(account, order_id, "o1.1", venue, ExecutionKind.ACCEPTED))
    scenario.driver.run()
    causes = [letter.cause for letter in scenario.driver.records(f"{ACKS}.dlq")]
    assert causes == ["WRONG_ACCOUNT", "REPORT_MISMATCH", "NO_ACCOUNT"]


def test_a_changed_event_breaks_the_chain() -> None:
    scenario = Scenario()
    scenario.run("""
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        cancel o1
    """)
    events = scenario.driver.records("orders.events")
    assert first_break(events, avro_body) is None
    forged = [*events[:1], msgspec.structs.replace(events[1], quantity=2 * S), *events[2:]]
    assert first_break(forged, avro_body) == "acct #2: is not what was hashed"
    assert first_break(events[:1] + events[2:], avro_body) == "acct #3: follows #1"
    assert first_break(events[1:], avro_body) == "acct #2: follows #0"


REPORTS = st.lists(
    st.builds(
        report,
        st.just("acct"),
        st.just(order_id_of("acct", "o1")),
        st.sampled_from(["o1.1", "o1.2", "o1.3"]),
        st.sampled_from("ab"),
        st.sampled_from(ExecutionKind),
        trade_id=st.none() | st.sampled_from(["", "1", "2", "3", "4"]),
        price=st.none() | MONEY | st.just(60_000 * S),
        quantity=st.none() | MONEY | st.integers(1, S),
        fee=st.none() | MONEY | st.integers(-S, S),
        fee_asset=st.none() | st.sampled_from(["BTC", "USDT", "BNB", ""]),
        cumulative_quantity=st.none() | MONEY | st.integers(0, S),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(REPORTS, st.booleans())
def test_whatever_venues_say_the_books_hold_and_nothing_breaks(reports: list[ExecutionReport], cancel: bool) -> None:
    scenario = Scenario()
    scenario.run("""
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 0.5 @ 60000, b 0.4 @ 60000
    """)
    if cancel:
        scenario.run("cancel o1")
    for one in reports:
        scenario.driver.feed(ACKS, "acct", one)
    scenario.driver.run()
    assert_adds_up(scenario)
    causes = {letter.cause for letter in scenario.driver.records(f"{ACKS}.dlq")}
    assert causes <= {
        "UNKNOWN_CHILD",
        "REPORT_MISMATCH",
        "MALFORMED_REPORT",
        "OVERFILL",
        "ILLEGAL_TRANSITION",
        "AMOUNT_OUT_OF_RANGE",
    }
