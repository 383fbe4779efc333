"""Every kind of order, every change of one, and every limit, as tables that a trader can read: `tests.agents.scenario` says how."""

from __future__ import annotations

import pytest

from schemas.records import RouteRequest
from tests.agents.scenario import ACKS, Scenario, plan, planned, units
from tests.agents.test_accounts import assert_adds_up

FUNDS = "deposit 100000 USDT\ndeposit 2 BTC\n"

KINDS = {
    "fill or kill goes out once": """
        buy 1 @ 60000 as o1 fok                        => ACCEPTED>ROUTING | USDT 39940 60060
        plan o1: a 1 @ 60000
        o1.1 expired 0                                 => CHILD_CLOSED>ROUTING:VENUE_EXPIRED CLOSED>EXPIRED:IOC_REMAINDER | USDT 100000 0
    """,
    "fill or kill that no venue fills whole": """
        buy 1 @ 60000 as o1 fok
        plan o1:                                       => ROUTED>ROUTING:NO_LIQUIDITY CLOSED>EXPIRED:NO_LIQUIDITY | USDT 100000 0
    """,
    "good till a date: its time is over, the venue cancels": """
        buy 1 @ 60000 as o1 until 30                   => ACCEPTED>ROUTING
        plan o1: a 1 @ 60000
        o1.1 accepted
        o1.1 fill 0.4 @ 60000 #1
        wait 29                                        =>
        wait 1                                         => EXPIRING>PENDING_CANCEL:TIME_EXPIRED ask:o1.1
        o1.1 cancelled 0.4                             => CHILD_CLOSED>PENDING_CANCEL CLOSED>EXPIRED:TIME_EXPIRED | USDT 76000 0, BTC 2.4 0
        wait 100                                       =>
    """,
    "good till a date: the venue refuses and is asked again": """
        buy 1 @ 60000 as o1 until 30
        plan o1: a 1 @ 60000
        o1.1 accepted
        wait 30
        o1.1 cancel_rejected                           => CANCEL_REJECTED>WORKING
        wait 1                                         => EXPIRING>PENDING_CANCEL:TIME_EXPIRED ask:o1.1
        o1.1 fill 1 @ 60000 #1                         => FILL>FILLED | USDT 40000 0, BTC 3 0
    """,
    "good till a date: time and client both want its end": """
        buy 1 @ 60000 as o1 until 30
        plan o1: a 1 @ 60000
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.1
        wait 30                                        => EXPIRING>PENDING_CANCEL:TIME_EXPIRED
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL CLOSED>EXPIRED:TIME_EXPIRED | USDT 100000 0
    """,
    "good till a date: its time was over before it could start": """
        buy 1 @ 60000 as o1 at 5 until 10              => ACCEPTED>SCHEDULED
        crash
        wait 20                                        => CLOSED>DENIED:INVALID_TIME | USDT 100000 0
        wait 20                                        =>
    """,
    "good till a date that is filled first has no timer any more": """
        buy 1 @ 60000 as o1 until 30
        plan o1: a 1 @ 60000
        o1.1 fill 1 @ 60000 #1                         => FILL>FILLED
        wait 31                                        =>
    """,
    "an amount of quote is spent but for what buys nothing any more": """
        quote 59990 60000
        buy for 10000 market as o1                     => ACCEPTED>ROUTING | USDT 90000 10000
        plan o1: a 0.16641 @ 60000
        o1.1 fill 0.16641 @ 60000 fee 9.9846 USDT #1   => FILL>PARTIALLY_FILLED RELEASED>PARTIALLY_FILLED route:o1:0.00009 | USDT 90000 5.4154
        plan o1: a 0.00009 @ 60000
        o1.2.1 fill 0.00009 @ 60000 fee 0.0054 USDT #2 => FILL>FILLED | USDT 90000.01 0, BTC 2.1665 0
    """,
    "an amount of quote goes close to the touch first, then as far as the collar allows": """
        quote 59990 60000
        buy for 10000 market as o1                     => ACCEPTED>ROUTING
        plan o1: a 0.1 @ 60030                         => ROUTED>ROUTING:NO_LIQUIDITY
        o1.1 fill 0.1 @ 60000 fee 6 USDT #1            => FILL>PARTIALLY_FILLED RELEASED>PARTIALLY_FILLED route:o1:0.06519 | USDT 90000 3994
        plan o1: a 0.06519 @ 61000                     => ROUTED>PARTIALLY_FILLED
        o1.2.1 fill 0.06519 @ 60500 fee 3.944 USDT #2  => FILL>PARTIALLY_FILLED RELEASED>PARTIALLY_FILLED route:o1:0.00076
        plan o1: a 0.00076 @ 60000
        o1.3.1 expired 0                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED RELEASED>PARTIALLY_FILLED route:o1:0.00075
        plan o1:                                       => ROUTED>PARTIALLY_FILLED:NO_LIQUIDITY
        wait 1.9                                       => REROUTED>PARTIALLY_FILLED route:o1:0.00075
        plan o1:                                       => ROUTED>PARTIALLY_FILLED:NO_LIQUIDITY CLOSED>CANCELLED:NO_LIQUIDITY | USDT 90046.061 0
    """,
    "an amount of quote: what no venue has ends unfilled, a rest that is too small does not": """
        quote 59990 60000
        buy for 100 market as o1                       => ACCEPTED>ROUTING
        plan o1:                                       => ROUTED>ROUTING:NO_LIQUIDITY RELEASED>ROUTING route:o1:0.00163
        plan o1:                                       => ROUTED>ROUTING:NO_LIQUIDITY
        wait 1.9                                       => REROUTED>ROUTING route:o1:0.00163
        plan o1:                                       => ROUTED>ROUTING:NO_LIQUIDITY CLOSED>CANCELLED:NO_LIQUIDITY | USDT 100000 0
        buy for 100 market as o2                       => ACCEPTED>ROUTING
        plan o2: a 0.00166 @ 60000
        o2.1 fill 0.00159 @ 60000 fee 0.0954 USDT #1   => FILL>PARTIALLY_FILLED
        o2.1 expired 0.00159                           => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED CLOSED>FILLED:AMOUNT_SPENT | USDT 99904.5046 0
        buy for 100 market as o3 fok                   => ACCEPTED>ROUTING
        plan o3: a 0.00163 @ 60000
        o3.1 fill 0.00163 @ 60000 #2                   => FILL>FILLED | USDT 99806.7046 0
    """,
    "an amount of quote is cancelled between two rounds, and waits for the end of a halt": """
        quote 59990 60000
        buy for 10000 market as o1
        plan o1: a 0.16641 @ 60000
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.1
        o1.1 fill 0.16641 @ 60000 #1                   => FILL>FILLED | USDT 90015.4 0
        buy for 10000 market as o2
        plan o2: a 0.1 @ 60000
        state symbol|BTC/USDT HALTED
        o2.1 fill 0.1 @ 60000 #2                       => FILL>PARTIALLY_FILLED | USDT 80015.4 4000
        wait 5                                         =>
        cancel o2                                      => CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 84015.4 0
    """,
    "an amount of quote that buys nothing": """
        buy for 0.01 market as o1                      => DENIED>DENIED:QUANTITY_TOO_SMALL
        buy for 1000000 market as o2                   => DENIED>DENIED:INSUFFICIENT_FUNDS
    """,
    "fill or kill that a venue refuses goes to another": """
        buy 1 @ 60000 as o1 fok
        plan o1: a 1 @ 60000
        o1.1 rejected                                  => CHILD_CLOSED>ROUTING:VENUE_REJECTED route:o1:1:not_a
        plan o1: b 1 @ 60000
        o1.2.1 not_sent                                => CHILD_CLOSED>ROUTING:VENUE_REJECTED route:o1:1:not_a:not_b
        plan o1: nowhere                               => ROUTED>ROUTING:NO_ELIGIBLE_VENUE WAITING>ROUTING:NO_ELIGIBLE_VENUE
        o1 resumed                                     => REROUTED>ROUTING route:o1:1
        plan o1: a 1 @ 60000
        o1.4.1 expired 0                               => CHILD_CLOSED>ROUTING:VENUE_EXPIRED CLOSED>EXPIRED:VENUE_EXPIRED | USDT 100000 0
    """,
    "a market order that every venue refuses, again and again, is rejected": """
        buy 1 market as o1
        plan o1: a 1 @ 61000
        o1.1 rejected                                  => CHILD_CLOSED>ROUTING:VENUE_REJECTED route:o1:1:not_a
        wait 2
        plan o1: b 1 @ 61000
        o1.2.1 rejected                                => CHILD_CLOSED>ROUTING:VENUE_REJECTED CLOSED>REJECTED:VENUE_REJECTED | USDT 100000 0
    """,
    "no venue: what may rest waits until one is back, across a crash": """
        buy 1 @ 60000 as o1                            => ACCEPTED>ROUTING
        plan o1: nowhere                               => ROUTED>ROUTING:NO_ELIGIBLE_VENUE WAITING>ROUTING:NO_ELIGIBLE_VENUE | USDT 39940 60060
        wait 3600                                      =>
        crash
        o1 resumed                                     => REROUTED>ROUTING route:o1:1
        o1 resumed                                     =>
        plan o1: nowhere                               => ROUTED>ROUTING:NO_ELIGIBLE_VENUE WAITING>ROUTING:NO_ELIGIBLE_VENUE
        o1 resumed                                     => REROUTED>ROUTING route:o1:1
        plan o1: a 1 @ 60000                           => ROUTED>ROUTING
        o1.3.1 fill 1 @ 60000 #1                       => FILL>FILLED | USDT 40000 0, BTC 3 0
    """,
    "no venue: what waits is cancelled, changed, and over in time": """
        buy 1 @ 60000 as o1
        plan o1: nowhere
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL disarm:o1 | USDT 100000 0
        o1 resumed                                     =>
        buy 1 @ 60000 as o2 until 30
        plan o2: nowhere
        modify o2 price 59000                          => MODIFY_REQUESTED>PENDING_MODIFY MODIFIED>ROUTING route:o2:1 | USDT 40941 59059
        plan o2: nowhere                               => ROUTED>ROUTING:NO_ELIGIBLE_VENUE WAITING>ROUTING:NO_ELIGIBLE_VENUE
        wait 30                                        => EXPIRING>PENDING_CANCEL:TIME_EXPIRED CLOSED>EXPIRED:TIME_EXPIRED disarm:o2 | USDT 100000 0
    """,
    "no venue: what takes at once waits a little": """
        buy 1 @ 60000 as o1 ioc
        buy 0.1 market as o2
        plan o1: nowhere                               => ROUTED>ROUTING:NO_ELIGIBLE_VENUE WAITING>ROUTING:NO_ELIGIBLE_VENUE
        plan o2: nowhere                               => ROUTED>ROUTING:NO_ELIGIBLE_VENUE WAITING>ROUTING:NO_ELIGIBLE_VENUE
        wait 1
        o2 resumed                                     => REROUTED>ROUTING route:o2:0.1
        plan o2: nowhere                               => ROUTED>ROUTING:NO_ELIGIBLE_VENUE WAITING>ROUTING:NO_ELIGIBLE_VENUE
        crash
        wait 1                                         => CLOSED>CANCELLED:NO_ELIGIBLE_VENUE CLOSED>EXPIRED:NO_ELIGIBLE_VENUE disarm:o2 disarm:o1 | USDT 100000 0
        wait 10                                        =>
    """,
    "no venue: a halt holds back what waited": """
        buy 1 @ 60000 as o1
        plan o1: nowhere
        state system HALTED
        o1 resumed                                     => WAITING>ROUTING:HALTED
        wait 5                                         =>
        crash
        state system ACTIVE
        wait 1                                         => RELEASED>ROUTING route:o1:1
    """,
    "a halt that the router knew of before the account did: the order waits for its end": """
        buy 1 @ 60000 as o1                            => ACCEPTED>ROUTING
        buy 0.1 market as o2
        state system HALTED
        plan o1: halted                                => ROUTED>ROUTING:HALTED WAITING>ROUTING:HALTED | USDT 33812.85898 66187.14102
        plan o2: halted                                => ROUTED>ROUTING:HALTED WAITING>ROUTING:HALTED
        wait 100                                       =>
        crash
        cancel o2                                      => CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL disarm:o2
        state system ACTIVE
        wait 1                                         => RELEASED>ROUTING route:o1:1
        plan o1: a 1 @ 60000                           => ROUTED>ROUTING
        o1.2.1 fill 1 @ 60000 #1                       => FILL>FILLED
    """,
    "a halt that is over before the account hears of it: the order asks again": """
        buy for 600 market as o1
        plan o1: halted                                => ROUTED>ROUTING:HALTED WAITING>ROUTING:HALTED
        wait 1                                         => RELEASED>ROUTING route:o1:0.00998
    """,
    "an order that lay in the router's queue for long ends, what rests does not": """
        buy 0.1 market as o1
        buy 0.1 @ 60000 as o2 ioc
        plan o1: too old                               => ROUTED>ROUTING:TOO_OLD CLOSED>CANCELLED:TOO_OLD
        plan o2: too old                               => ROUTED>ROUTING:TOO_OLD CLOSED>EXPIRED:TOO_OLD | USDT 100000 0
    """,
    "a market order sweeps again, for its time": """
        buy 1 market as o1
        plan o1: a 0.4 @ 60000
        o1.1 fill 0.4 @ 60000 #1                       => FILL>PARTIALLY_FILLED
        wait 0.25                                      => REROUTED>PARTIALLY_FILLED route:o1:0.6
        plan o1: a 0.2 @ 60500, b 0.2 @ 60600          => ROUTED>PARTIALLY_FILLED:NO_LIQUIDITY
        o1.2.1 fill 0.2 @ 60500 #2                     => FILL>PARTIALLY_FILLED
        wait 5                                         =>
        o1.2.2 fill 0.2 @ 60600 #3                     => FILL>PARTIALLY_FILLED CLOSED>CANCELLED:NO_LIQUIDITY | BTC 2.8 0, USDT 51780 0
    """,
    "a market order that sweeps is cancelled": """
        buy 1 market as o1
        plan o1: a 0.4 @ 60000
        o1.1 fill 0.4 @ 60000 #1                       => FILL>PARTIALLY_FILLED
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | BTC 2.4 0, USDT 76000 0
        wait 5                                         =>
    """,
    "post-only rests": """
        buy 1 @ 59000 as o1 post                       => ACCEPTED>ROUTING
        plan o1:                                       => ROUTED>ROUTING:NO_LIQUIDITY CLOSED>REJECTED:NO_LIQUIDITY | USDT 100000 0
    """,
    "reduce-only is a sale": """
        sell 1 @ 60000 as o1 reduce                    => ACCEPTED>ROUTING | BTC 1 1
        buy 1 @ 60000 as o2 reduce                     => DENIED>DENIED:REDUCE_ONLY
        sell 1.1 @ 60000 as o3 reduce                  => DENIED>DENIED:INSUFFICIENT_FUNDS
    """,
    # ---- for later
    "a scheduled order reserves nothing until it starts": """
        buy 1 @ 60000 as o1 at 100                     => ACCEPTED>SCHEDULED | USDT 100000 0
        wait 99                                        =>
        quote 59990 60010
        wait 1                                         => STARTED>ROUTING | USDT 39940 60060
        wait 100                                       =>
    """,
    "a time that has passed is now": """
        wait 10
        buy 1 @ 60000 as o1 at 5                       => ACCEPTED>ROUTING
        buy 0.1 @ 60000 as o2 at 10                    => ACCEPTED>ROUTING
    """,
    "a scheduled order that cannot start says why": """
        buy 1 @ 60000 as o1 at 10                      => ACCEPTED>SCHEDULED
        withdraw 90000 USDT
        wait 10                                        => CLOSED>DENIED:INSUFFICIENT_FUNDS | USDT 10000 0
        buy 1 @ 60000 as o1                            => DUPLICATE>DENIED:DUPLICATE_ORDER
    """,
    "what is closed, unpriced or halted when it is to start": """
        buy 0.1 @ 60000 as o1 at 10
        close a
        close b
        wait 10                                        => CLOSED>DENIED:SYMBOL_CLOSED
    """,
    "an old price at the start": """
        buy 0.1 @ 60000 as o1 at 100
        wait 100                                       => CLOSED>DENIED:NO_PRICE
    """,
    "a scheduled order is changed and cancelled until it starts": """
        buy 1 @ 60000 as o1 at 10                      => ACCEPTED>SCHEDULED
        modify o1 at 20 price 59000 quantity 0.5       => MODIFIED>SCHEDULED
        wait 10                                        =>
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0
        wait 20                                        =>
    """,
    "a scheduled order that is moved into the past starts": """
        buy 1 @ 60000 as o1 at 50
        wait 10
        modify o1 at 5                                 => MODIFIED>SCHEDULED STARTED>ROUTING | USDT 39940 60060
        modify o1 at 50                                => MODIFY_DENIED>ROUTING:INVALID_TIME
        wait 50                                        =>
    """,
    "scheduled orders survive a crash, and start once": """
        buy 0.1 @ 60000 as o1 at 10
        buy 0.1 @ 60000 as o2 at 10
        crash
        wait 10                                        => STARTED>ROUTING STARTED>ROUTING
        crash
        wait 10                                        =>
    """,
    "a scheduled order may be over before it starts": """
        buy 1 @ 60000 as o1 at 50 until 60
        modify o1 until 20                             => MODIFIED>SCHEDULED
        wait 20                                        => EXPIRING>PENDING_CANCEL:TIME_EXPIRED CLOSED>EXPIRED:TIME_EXPIRED
        wait 40                                        =>
    """,
    # ---- stops
    "a stop waits, is triggered, and takes": """
        sell 1 market as o1 stop 58000                 => ACCEPTED>ARMED | BTC 1 1
        o1 triggered @ 57999                           => TRIGGERED>TRIGGERED route:o1:1
        plan o1: a 1 @ 57500                           => ROUTED>ROUTING
        o1.2.1 fill 1 @ 57800 #1                       => FILL>FILLED | BTC 1 0, USDT 157800 0
    """,
    "a stop buy costs at most its stop price and the collar": """
        buy 1 market as o1 stop 61000                  => ACCEPTED>ARMED | USDT 37717.78 62282.22
        o1 triggered @ 61000                           => TRIGGERED>TRIGGERED route:o1:1
        plan o1: a 1 @ 62220
        o1.2.1 fill 1 @ 61100 #1                       => FILL>FILLED | USDT 38900 0
    """,
    "a stop-limit rests once triggered": """
        sell 1 @ 57000 as o1 stop 58000                => ACCEPTED>ARMED
        o1 triggered @ 58000                           => TRIGGERED>TRIGGERED route:o1:1
        plan o1: a 1 @ 57000
        o1.2.1 accepted                                => WORKING>WORKING
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.2.1
    """,
    "an armed stop is cancelled at once, and a late trigger does nothing": """
        sell 1 market as o1 stop 58000
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL disarm:o1 | BTC 2 0
        o1 triggered @ 58000                           =>
    """,
    "an armed stop is changed: the old trigger does not count": """
        sell 1 market as o1 stop 58000
        modify o1 stop 57000 quantity 1.5              => MODIFIED>ARMED disarm:o1 route:o1:1.5 | BTC 0.5 1.5
        o1 triggered @ 58000 attempt 1                 =>
        o1 triggered @ 57000                           => TRIGGERED>TRIGGERED route:o1:1.5
        modify o1 stop 56000                           => MODIFY_DENIED>TRIGGERED:INVALID_PRICE
        o1 triggered @ 57000 attempt 2                 =>
    """,
    "a stop whose change is not paid for stays": """
        buy 1 market as o1 stop 61000
        modify o1 quantity 2                           => MODIFY_DENIED>ARMED:INSUFFICIENT_FUNDS | USDT 37717.78 62282.22
        modify o1 price 3                              => MODIFY_DENIED>ARMED:INVALID_PRICE
        modify o1 stop 70000                           => MODIFIED>ARMED disarm:o1 route:o1:1 | USDT 28528.6 71471.4
    """,
    "an armed stop is over": """
        sell 1 market as o1 stop 58000 until 10
        wait 10                                        => EXPIRING>PENDING_CANCEL:TIME_EXPIRED CLOSED>EXPIRED:TIME_EXPIRED disarm:o1 | BTC 2 0
    """,
    "a scheduled stop is armed when it starts": """
        sell 1 market as o1 stop 58000 at 10           => ACCEPTED>SCHEDULED
        wait 10                                        => STARTED>ARMED | BTC 1 1
    """,
    "once a stop is triggered, its limit is measured from the market": """
        buy 0.5 @ 61500 as o1 stop 61000
        quote 69990 70010
        o1 triggered @ 70000
        plan o1: a 0.5 @ 61500
        modify o1 price 70000                          => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.2.1
        o1.2.1 cancelled 0                             => CHILD_CLOSED>PENDING_MODIFY MODIFIED>ROUTING route:o1:0.5
        plan o1: a 0.5 @ 70000
        quote 49990 50010
        modify o1 price 61600                          => MODIFY_DENIED>ROUTING:PRICE_COLLAR
    """,
    "a stop that is triggered while trading is halted waits until it goes on": """
        sell 1 market as o1 stop 58000
        state symbol|BTC/USDT HALTED
        o1 triggered @ 58000                           => TRIGGERED>TRIGGERED:HALTED | BTC 1 1
        wait 5                                         =>
        state symbol|BTC/USDT ACTIVE
        wait 1                                         => RELEASED>TRIGGERED route:o1:1
        plan o1: a 1 @ 58000                           => ROUTED>ROUTING
        wait 5                                         =>
    """,
    "a stop that waits for the end of a halt can be cancelled, and is over in time": """
        sell 0.5 market as o1 stop 58000
        sell 0.5 @ 57000 as o2 stop 58000 until 10
        sell 0.5 @ 57000 as o3 stop 58000
        limits state HALTED
        o1 triggered @ 58000                           => TRIGGERED>TRIGGERED:HALTED
        o2 triggered @ 58000                           => TRIGGERED>TRIGGERED:HALTED
        o3 triggered @ 58000                           => TRIGGERED>TRIGGERED:HALTED
        crash
        modify o3 price 56000                          => MODIFY_DENIED>TRIGGERED:HALTED
        modify o3 quantity 0.6                         => MODIFY_DENIED>TRIGGERED:HALTED
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | BTC 1 1
        wait 10                                        => EXPIRING>PENDING_CANCEL:TIME_EXPIRED CLOSED>EXPIRED:TIME_EXPIRED | BTC 1.5 0.5
        limits state ACTIVE
        modify o3 price 56000                          => MODIFY_REQUESTED>PENDING_MODIFY MODIFIED>ROUTING route:o3:0.5
        wait 10                                        =>
    """,
    "what a rule but a halt stands against when it is triggered ends, also after a halt": """
        buy 0.5 market as o1 stop 61000
        buy 0.5 market as o2 stop 61000
        state symbol|BTC/USDT REDUCING
        o1 triggered @ 61000                           => TRIGGERED>TRIGGERED CLOSED>DENIED:REDUCING
        state symbol|BTC/USDT HALTED
        o2 triggered @ 61000                           => TRIGGERED>TRIGGERED:HALTED
        state symbol|BTC/USDT REDUCING
        wait 1                                         => CLOSED>DENIED:REDUCING | USDT 100000 0
    """,
    "the breaker holds a stop that it triggers under, until it half-opens or its time is over": """
        sell 0.5 market as o1 stop 58000
        sell 0.5 @ 57000 as o2 stop 58000
        state breaker|BTC/USDT HALTED market until 30
        o1 triggered @ 58000                           => TRIGGERED>TRIGGERED:HALTED
        o2 triggered @ 58000                           => TRIGGERED>TRIGGERED route:o2:0.5
        buy 0.1 market as o3                           => DENIED>DENIED:HALTED
        wait 29                                        =>
        wait 1                                         => RELEASED>TRIGGERED route:o1:0.5
        quote 59990 60010
        buy 0.1 market as o4                           => ACCEPTED>ROUTING
    """,
    "what venues left waits for the end of a halt": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        state symbol|BTC/USDT HALTED
        o1.1 fill 0.4 @ 60000 #1
        o1.1 expired 0.4                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED
        wait 3                                         =>
        crash
        state symbol|BTC/USDT ACTIVE
        wait 1                                         => RELEASED>PARTIALLY_FILLED route:o1:0.6
        plan o1: a 0.6 @ 60000
        o1.2.1 fill 0.6 @ 60000 #2                     => FILL>FILLED | USDT 40000 0
    """,
    "slices wait for the end of a halt": """
        buy 1 @ 60000 as o1 twap 4 over 40
        sell 1 @ 60000 as o2 iceberg 0.4
        plan o1: a 0.25 @ 60000
        plan o2: a 0.4 @ 60000
        o1.1 fill 0.25 @ 60000 #1
        state system HALTED
        o2.1 fill 0.4 @ 60000 #2                       => FILL>PARTIALLY_FILLED
        wait 10                                        =>
        state system ACTIVE
        wait 1                                         => RELEASED>PARTIALLY_FILLED route:o2:0.4
        wait 9                                         => RELEASED>PARTIALLY_FILLED route:o1:0.5
        plan o1: a 0.5 @ 60000
        o1.2.1 fill 0.5 @ 60000 #3
        state system HALTED
        wait 10                                        => RELEASED>PARTIALLY_FILLED:HALTED CLOSED>EXPIRED:HALTED
    """,
    "a cancel between trigger and plan": """
        sell 1 market as o1 stop 58000
        o1 triggered @ 58000
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL
        plan o1: a 1 @ 57000                           => ROUTED>PENDING_CANCEL ask:o1.2.1
        o1.2.1 expired 0                               => CHILD_CLOSED>PENDING_CANCEL:VENUE_EXPIRED CLOSED>CANCELLED:CLIENT_CANCEL | BTC 2 0
    """,
    # ---- changes of what is with venues
    "a working order is recalled and goes out anew": """
        buy 1 @ 60000 as o1
        plan o1: a 0.6 @ 60000, b 0.4 @ 60000
        o1.1 accepted
        o1.1 fill 0.1 @ 60000 #1                       => FILL>PARTIALLY_FILLED
        modify o1 price 61000 quantity 1.2             => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1 ask:o1.2 | USDT 26832.9 67167.1
        modify o1 price 61001                          => MODIFY_DENIED>PENDING_MODIFY:MODIFY_PENDING
        o1.1 cancelled 0.1                             => CHILD_CLOSED>PENDING_MODIFY
        o1.2 fill 0.1 @ 60000 #2                       => FILL>PENDING_MODIFY
        o1.2 cancelled 0.1                             => CHILD_CLOSED>PENDING_MODIFY MODIFIED>PARTIALLY_FILLED route:o1:1 | USDT 26939 61061
        plan o1: b 1 @ 61000
        o1.2.1 fill 1 @ 61000 #3                       => FILL>FILLED | USDT 27000 0, BTC 3.2 0
    """,
    "a change before the plan": """
        buy 1 @ 60000 as o1
        modify o1 price 59000                          => MODIFY_REQUESTED>PENDING_MODIFY
        plan o1: a 1 @ 60000                           => ROUTED>PENDING_MODIFY ask:o1.1
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_MODIFY MODIFIED>ROUTING route:o1:1 | USDT 40941 59059
    """,
    "a new total below what is filled": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        o1.1 fill 0.5 @ 60000 #1
        modify o1 quantity 0.4                         => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        o1.1 fill 0.1 @ 60000 #2                       => FILL>PENDING_MODIFY
        o1.1 cancelled 0.6                             => CHILD_CLOSED>PENDING_MODIFY CLOSED>FILLED:CHANGED | USDT 64000 0, BTC 2.6 0
    """,
    "a lower total that a fill on the way overtakes": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        modify o1 quantity 0.5                         => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        o1.1 fill 1 @ 60000 #1                         => FILL>FILLED | USDT 40000 0
        o1.1 cancel_rejected                           =>
    """,
    "a higher total whose old one is filled on the way": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        modify o1 quantity 1.5                         => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1 | USDT 9910 90090
        o1.1 fill 1 @ 60000 #1                         => FILL>PENDING_MODIFY MODIFIED>PARTIALLY_FILLED route:o1:0.5 | USDT 9970 30030
        plan o1: a 0.5 @ 60000
        o1.2.1 fill 0.5 @ 60000 #2                     => FILL>FILLED | USDT 10000 0
    """,
    "a refused change restores what was": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        o1.1 accepted
        modify o1 quantity 1.5                         => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1 | USDT 9910 90090
        o1.1 cancel_rejected                           => CANCEL_REJECTED>WORKING MODIFY_REJECTED>WORKING | USDT 39940 60060
        o1.1 fill 1 @ 60000 #1                         => FILL>FILLED
    """,
    "a cancel wins over a change": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        modify o1 quantity 1.5
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL
        modify o1 quantity 2                           => MODIFY_DENIED>PENDING_CANCEL:CANCEL_PENDING
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0
    """,
    "a venue that does not say what it filled ends the order": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        modify o1 quantity 1.5
        o1.1 cancelled                                 => CHILD_CLOSED>PENDING_MODIFY CLOSED>CANCELLED:NOT_COUNTED | USDT 100000 0
        o1.1 fill 0.4 @ 60000 #1                       => FILL>CANCELLED
    """,
    "changes that make no sense": """
        buy 1 @ 60000 as o1
        modify o1 quantity -1                          => MODIFY_DENIED>ROUTING:INVALID_QUANTITY
        modify o1 price 0                              => MODIFY_DENIED>ROUTING:INVALID_PRICE
        modify o1 price 60000.001                      => MODIFY_DENIED>ROUTING:NOT_ON_TICK
        modify o1 quantity 1.000001                    => MODIFY_DENIED>ROUTING:NOT_ON_LOT
        modify o1 price 70000                          => MODIFY_DENIED>ROUTING:PRICE_COLLAR
        modify o1 quantity 1.7                         => MODIFY_DENIED>ROUTING:INSUFFICIENT_FUNDS | USDT 39940 60060
        modify o1 stop 58000                           => MODIFY_DENIED>ROUTING:INVALID_PRICE
        modify o1 until 100                            => MODIFY_DENIED>ROUTING:INVALID_TIME
        cancel o1
        buy 0.1 @ 60000 as o2 ioc
        modify o2 price 60001                          => MODIFY_DENIED>ROUTING:NOT_MODIFIABLE
        buy 0.1 market as o3
        modify o3 quantity 0.2                         => MODIFY_DENIED>ROUTING:NOT_MODIFIABLE
    """,
    "a new end touches no venue": """
        buy 1 @ 60000 as o1 until 10
        plan o1: a 1 @ 60000
        modify o1 until 20                             => MODIFIED>ROUTING
        wait 10                                        =>
        wait 10                                        => EXPIRING>PENDING_CANCEL:TIME_EXPIRED ask:o1.1
    """,
    "cancel all of an account, or of a symbol": """
        buy 0.1 @ 60000 as o1
        plan o1: a 0.1 @ 60000
        sell 1 market as o2 stop 58000
        buy 0.1 @ 60000 as o3 at 50
        buy 0.1 @ 60000 as o4 by ann
        cancel all ETH/USDT                            => ALL_CANCELLED>INITIALIZED
        cancel all                                     => ALL_CANCELLED>INITIALIZED CANCEL_REQUESTED>PENDING_CANCEL CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL ask:o1.1 disarm:o2
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0, BTC 2 0
        cancel all                                     => ALL_CANCELLED>INITIALIZED
    """,
    # ---- bulk
    "a TWAP releases its slices over its window": """
        buy 1 @ 60000 as o1 twap 4 over 40             => ACCEPTED>ROUTING RELEASED>ROUTING | USDT 39940 60060
        plan o1: a 0.25 @ 60000                        => ROUTED>ROUTING
        o1.1 fill 0.25 @ 60000 #1                      => FILL>PARTIALLY_FILLED
        wait 10                                        => RELEASED>PARTIALLY_FILLED route:o1:0.25
        plan o1: a 0.25 @ 60000
        o1.2.1 expired 0                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED
        wait 10                                        => RELEASED>PARTIALLY_FILLED route:o1:0.5
        plan o1: a 0.5 @ 60000
        o1.3.1 fill 0.5 @ 60000 #2                     => FILL>PARTIALLY_FILLED
        crash
        wait 10                                        => RELEASED>PARTIALLY_FILLED route:o1:0.25
        plan o1: a 0.25 @ 60000
        o1.4.1 fill 0.25 @ 60000 #3                    => FILL>FILLED | USDT 40000 0, BTC 3 0
        wait 50                                        =>
    """,
    "a TWAP ends with its window": """
        buy 1 @ 60000 as o1 twap 2 over 10
        plan o1:                                       => ROUTED>ROUTING:NO_LIQUIDITY
        wait 5                                         => RELEASED>ROUTING route:o1:1
        plan o1: a 1 @ 60000
        o1.2.1 fill 0.3 @ 60000 #1                     => FILL>PARTIALLY_FILLED
        o1.2.1 expired 0.3                             => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED CLOSED>EXPIRED:IOC_REMAINDER | USDT 82000 0
    """,
    "a market TWAP's slices are each protected by the market as it is": """
        buy 1 market as o1 twap 4 over 40              => ACCEPTED>ROUTING RELEASED>ROUTING | USDT 38728.5898 61271.4102
        plan o1: a 0.25 @ 61000
        o1.1 fill 0.25 @ 60000 #1                      => FILL>PARTIALLY_FILLED | USDT 39046.44235 45953.55765
        quote 64000 64100
        wait 10                                        => RELEASED>PARTIALLY_FILLED route:o1:0.25 | USDT 35914.4635 49085.5365
        plan o1: a 0.25 @ 65000
        wait 10                                        => RELEASED>PARTIALLY_FILLED route:o1:0.25
        quote 50000 50100
        plan o1: a 0.25 @ 65000
        o1.2.1 fill 0.25 @ 65000 #2
        o1.3.1 expired 0                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED
        quote 50000 50100
        wait 10                                        => RELEASED>PARTIALLY_FILLED route:o1:0.5 | USDT 43173.449 25576.551
        plan o1: a 0.5 @ 50500
        o1.4.1 fill 0.5 @ 50100 #3                     => FILL>FILLED | USDT 43700 0, BTC 3 0
        buy for 1000 market as o2 twap 2 over 10       => DENIED>DENIED:NOT_SUPPORTED
        buy 1 market as o3 fok twap 2 over 10          => DENIED>DENIED:NOT_SUPPORTED
    """,
    "a market TWAP's slice waits for a price, and goes by the old one where more cannot be reserved": """
        withdraw 38000 USDT
        buy 1 market as o1 twap 3 over 210             => ACCEPTED>ROUTING RELEASED>ROUTING | USDT 728.5898 61271.4102
        plan o1: a 0.33333 @ 61000
        o1.1 fill 0.33333 @ 60000 #1                   => FILL>PARTIALLY_FILLED
        wait 70                                        =>
        wait 69                                        =>
        quote 70000 70010
        wait 1                                         => RELEASED>PARTIALLY_FILLED route:o1:0.66667 | USDT 1152.38896196 40847.81103804
    """,
    "a TWAP waits for a plan, and never asks twice": """
        buy 1 @ 60000 as o1 twap 2 over 10
        wait 5                                         =>
        plan o1: a 0.5 @ 60000                         => ROUTED>ROUTING
        wait 1                                         => RELEASED>ROUTING route:o1:0.5
        plan o1: b 0.5 @ 60000
        o1.1 fill 0.5 @ 60000 #1
        o1.2.1 expired 0                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED CLOSED>EXPIRED:IOC_REMAINDER | USDT 70000 0
    """,
    "a TWAP is cancelled between two slices": """
        buy 1 @ 60000 as o1 twap 4 over 40
        plan o1: a 0.25 @ 60000
        o1.1 fill 0.25 @ 60000 #1
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 85000 0
        wait 40                                        =>
    """,
    "a TWAP that is changed after its last slice asks for the rest at once": """
        buy 1 @ 60000 as o1 twap 1 over 10
        plan o1: a 1 @ 60000
        o1.1 fill 0.3 @ 60000 #1
        modify o1 price 59000                          => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        o1.1 cancelled 0.3                             => CHILD_CLOSED>PENDING_MODIFY MODIFIED>PARTIALLY_FILLED RELEASED>PARTIALLY_FILLED route:o1:0.7
        plan o1: a 0.7 @ 59000
        o1.2.1 expired 0                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED CLOSED>EXPIRED:IOC_REMAINDER | USDT 82000 0
    """,
    "a TWAP that a venue would not cancel goes on with the slice that was due meanwhile": """
        buy 1 @ 60000 as o1 twap 2 over 10
        plan o1: a 0.5 @ 60000
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.1
        wait 5                                         =>
        o1.1 cancel_rejected                           => CANCEL_REJECTED>ROUTING RELEASED>ROUTING route:o1:0.5
    """,
    "an iceberg shows a slice at a time": """
        sell 1 @ 60000 as o1 iceberg 0.4               => ACCEPTED>ROUTING | BTC 1 1
        plan o1: a 0.4 @ 60000
        o1.1 accepted
        o1.1 fill 0.4 @ 60000 #1                       => FILL>PARTIALLY_FILLED RELEASED>PARTIALLY_FILLED route:o1:0.4
        plan o1: a 0.4 @ 60000
        o1.2.1 fill 0.4 @ 60000 #2                     => FILL>PARTIALLY_FILLED RELEASED>PARTIALLY_FILLED route:o1:0.2
        plan o1: a 0.2 @ 60000
        o1.3.1 fill 0.2 @ 60000 #3                     => FILL>FILLED | BTC 1 0, USDT 160000 0
    """,
    "an iceberg has all its attempts with each slice": """
        sell 1.2 @ 60000 as o1 iceberg 0.1
        plan o1: a 0.1 @ 60000
        o1.1 expired 0
        plan o1: a 0.1 @ 60000
        o1.2.1 fill 0.1 @ 60000 #1
        plan o1: a 0.1 @ 60000
        o1.3.1 expired 0
        plan o1: a 0.1 @ 60000
        o1.4.1 fill 0.1 @ 60000 #3
        plan o1: a 0.1 @ 60000
        o1.5.1 expired 0
        plan o1: a 0.1 @ 60000
        o1.6.1 fill 0.1 @ 60000 #5
        plan o1: a 0.1 @ 60000
        o1.7.1 expired 0
        plan o1: a 0.1 @ 60000
        o1.8.1 fill 0.1 @ 60000 #7
        plan o1: a 0.1 @ 60000
        o1.9.1 expired 0
        plan o1: a 0.1 @ 60000
        o1.10.1 fill 0.1 @ 60000 #9
        plan o1: a 0.1 @ 60000
        o1.11.1 expired 0
        plan o1: a 0.1 @ 60000
        o1.12.1 fill 0.1 @ 60000 #11
        plan o1: a 0.1 @ 60000
        o1.13.1 expired 0
        plan o1: a 0.1 @ 60000
        o1.14.1 fill 0.1 @ 60000 #13
        plan o1: a 0.1 @ 60000
        o1.15.1 expired 0
        plan o1: a 0.1 @ 60000
        o1.16.1 fill 0.1 @ 60000 #15
        plan o1: a 0.1 @ 60000
        o1.17.1 expired 0
        plan o1: a 0.1 @ 60000
        o1.18.1 fill 0.1 @ 60000 #17
        plan o1: a 0.1 @ 60000
        o1.19.1 expired 0
        plan o1: a 0.1 @ 60000
        o1.20.1 fill 0.1 @ 60000 #19
        plan o1: a 0.1 @ 60000
        o1.21.1 expired 0                              => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED route:o1:0.1
    """,
    "what one child missed goes out again while another rests": """
        buy 1 @ 60000 as o1
        plan o1: a 0.4 @ 60000, b 0.6 @ 60000
        o1.2 accepted
        o1.1 expired 0                                 => CHILD_CLOSED>WORKING:VENUE_EXPIRED route:o1:0.4 | USDT 39940 60060
        o1.2 fill 0.1 @ 60000 #1                       => FILL>PARTIALLY_FILLED
        plan o1: b 0.4 @ 60000
        o1.2.1 fill 0.4 @ 60000 #2                     => FILL>PARTIALLY_FILLED
        o1.2 expired 0.1                               => CHILD_CLOSED>PARTIALLY_FILLED:VENUE_EXPIRED route:o1:0.5
    """,
    "a market order's refused part does not wait for a child of which nothing is known": """
        buy 1 market as o1
        plan o1: a 0.4 @ 60010, b 0.6 @ 60010
        o1.2 unknown
        o1.1 not_sent                                  => CHILD_CLOSED>ROUTING:VENUE_REJECTED route:o1:0.4:not_a
    """,
    "a part that no venue can take goes out when one is back, while another rests": """
        buy 1 @ 60000 as o1
        plan o1: a 0.4 @ 60000, b 0.6 @ 60000
        o1.1 expired 0                                 => CHILD_CLOSED>ROUTING:VENUE_EXPIRED route:o1:0.4
        plan o1: nowhere                               => ROUTED>ROUTING:NO_ELIGIBLE_VENUE
        o1 resumed                                     => REROUTED>ROUTING route:o1:0.4
        plan o1: nowhere
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.2 disarm:o1
    """,
    "what is missed during a halt goes out after it, while another rests": """
        buy 1 @ 60000 as o1
        plan o1: a 0.4 @ 60000, b 0.6 @ 60000
        state system HALTED
        o1.1 expired 0                                 => CHILD_CLOSED>ROUTING:VENUE_EXPIRED
        o1.2 fill 0.1 @ 60000 #1                       => FILL>PARTIALLY_FILLED
        state system ACTIVE
        wait 1                                         => RELEASED>PARTIALLY_FILLED route:o1:0.4
    """,
    "the router knew of a halt, while another part rests: the rest waits for its end": """
        buy 1 @ 60000 as o1
        plan o1: a 0.4 @ 60000, b 0.6 @ 60000
        o1.1 expired 0                                 => CHILD_CLOSED>ROUTING:VENUE_EXPIRED route:o1:0.4
        state system HALTED
        plan o1: halted                                => ROUTED>ROUTING:HALTED WAITING>ROUTING:HALTED
        o1.2 fill 0.1 @ 60000 #1                       => FILL>PARTIALLY_FILLED
        wait 3                                         =>
        crash
        state system ACTIVE
        wait 1                                         => RELEASED>PARTIALLY_FILLED route:o1:0.4
        plan o1: halted                                => ROUTED>PARTIALLY_FILLED:HALTED WAITING>PARTIALLY_FILLED:HALTED
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.2 disarm:o1
        o1.2 cancelled 0.1                             => CHILD_CLOSED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 94000 0
    """,
    "what waits for a halt's end or a venue while another part rests is given up when only sales are taken": """
        buy 1 @ 60000 as o1
        plan o1: a 0.4 @ 60000, b 0.6 @ 60000
        o1.1 expired 0
        plan o1: halted                                => ROUTED>ROUTING:HALTED WAITING>ROUTING:HALTED
        state system REDUCING
        wait 1                                         => RELEASED>ROUTING:REDUCING
        o1.2 expired 0                                 => CHILD_CLOSED>ROUTING:VENUE_EXPIRED CLOSED>EXPIRED:REDUCING
        state system ACTIVE
        buy 1 @ 60000 as o2
        plan o2: a 0.4 @ 60000, b 0.6 @ 60000
        o2.1 expired 0
        plan o2: nowhere
        state system REDUCING
        o2 resumed                                     => RELEASED>ROUTING:REDUCING
        o2.2 fill 0.6 @ 60000 #1                       => FILL>PARTIALLY_FILLED CLOSED>EXPIRED:REDUCING | USDT 64000 0
    """,
    "a change that a venue refuses: what waited for a venue is asked for anew": """
        buy 1 @ 60000 as o1
        plan o1: a 0.4 @ 60000, b 0.6 @ 60000
        o1.1 expired 0
        plan o1: nowhere
        modify o1 price 59000                          => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.2
        o1 resumed                                     =>
        o1.2 cancel_rejected                           => CANCEL_REJECTED>ROUTING MODIFY_REJECTED>ROUTING route:o1:0.4
    """,
    "a cancel that a venue refuses: what waited for a venue stays back, and the order ends with the rest": """
        buy 1 @ 60000 as o1
        plan o1: a 0.4 @ 60000, b 0.6 @ 60000
        o1.1 expired 0
        plan o1: nowhere
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.2 disarm:o1
        o1.2 cancel_rejected                           => CANCEL_REJECTED>ROUTING
        o1.2 cancelled 0                               => CHILD_CLOSED>ROUTING:VENUE_CANCELLED CLOSED>CANCELLED:VENUE_CANCELLED | USDT 100000 0
    """,
    "a change under way counts against the position that may be held": """
        limits position:BTC 5
        buy 0.5 @ 60000 as o1
        plan o1: a 0.5 @ 60000
        modify o1 quantity 3 price 10000               => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        buy 0.5 @ 60000 as o2                          => DENIED>DENIED:POSITION_LIMIT
    """,
    "the strictest counts: what a halt stops waits, though only sales are taken beside": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        limits state REDUCING
        state system HALTED
        o1.1 expired 0                                 => CHILD_CLOSED>ROUTING:VENUE_EXPIRED
        buy 1 @ 10000 as o2                            => DENIED>DENIED:HALTED
        limits state ACTIVE
        state system ACTIVE
        wait 1                                         => RELEASED>ROUTING route:o1:1
    """,
    "a stop may be made smaller and moved away in a halt, not closer": """
        sell 1 market as o1 stop 59000
        state system HALTED
        modify o1 stop 59500                           => MODIFY_DENIED>ARMED:HALTED
        modify o1 stop 58500 quantity 0.5              => MODIFIED>ARMED disarm:o1 route:o1:0.5 | BTC 1.5 0.5
    """,
    "a change that one of two venues refuses: what the other gave back goes out again": """
        buy 1 @ 60000 as o1
        plan o1: a 0.4 @ 60000, b 0.6 @ 60000
        modify o1 price 59000                          => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1 ask:o1.2
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_MODIFY
        o1.2 cancel_rejected                           => CANCEL_REJECTED>ROUTING MODIFY_REJECTED>ROUTING route:o1:0.4 | USDT 39940 60060
    """,
    "an iceberg is changed: its slice is recalled": """
        sell 1 @ 60000 as o1 iceberg 0.4
        plan o1: a 0.4 @ 60000
        o1.1 fill 0.1 @ 60000 #1
        modify o1 price 60500 quantity 0.8             => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        o1.1 cancelled 0.1                             => CHILD_CLOSED>PENDING_MODIFY MODIFIED>PARTIALLY_FILLED route:o1:0.4 | BTC 1.2 0.7
    """,
    "an iceberg that is changed between two slices shows one": """
        sell 1 @ 60000 as o1 iceberg 0.4
        plan o1: a 0.4 @ 60000
        modify o1 price 60500                          => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        o1.1 fill 0.4 @ 60000 #1                       => FILL>PENDING_MODIFY MODIFIED>PARTIALLY_FILLED route:o1:0.4
        plan o1: a 0.4 @ 60500
        o1.2.1 fill 0.1 @ 60500 #2                     => FILL>PARTIALLY_FILLED
        wait 1                                         =>
    """,
    "an iceberg whose slice the venue cancels ends": """
        sell 1 @ 60000 as o1 iceberg 0.4
        plan o1: a 0.4 @ 60000
        o1.1 cancelled 0                               => CHILD_CLOSED>ROUTING:VENUE_CANCELLED CLOSED>CANCELLED:VENUE_CANCELLED | BTC 2 0
    """,
    # ---- what may be traded
    "halted: nothing new, cancels pass": """
        buy 0.1 @ 60000 as o1
        plan o1: a 0.1 @ 60000
        state system HALTED
        buy 0.1 @ 60000 as o2                          => DENIED>DENIED:HALTED
        modify o1 price 60001                          => MODIFY_DENIED>ROUTING:HALTED
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.1
        state system ACTIVE
        buy 0.1 @ 60000 as o3                          => ACCEPTED>ROUTING
    """,
    "reducing: sales only": """
        state symbol|BTC/USDT REDUCING
        buy 0.1 @ 60000 as o1                          => DENIED>DENIED:REDUCING
        sell 0.1 @ 60000 as o2                         => ACCEPTED>ROUTING
    """,
    "a bulk order has so many parts at most, as its record must bear": """
        buy 1 @ 60000 as o1 iceberg 0.0001             => DENIED>DENIED:TOO_MANY_PARTS
        buy 0.5 @ 60000 as o2 iceberg 0.0001           => ACCEPTED>ROUTING
        plan o2: a 0.0001 @ 60000
        modify o2 quantity 0.51                        => MODIFY_DENIED>ROUTING:TOO_MANY_PARTS
        modify o2 quantity 0.49                        => MODIFY_REQUESTED>PENDING_MODIFY ask:o2.1
        sell 1 @ 60000 as o3 twap 626 over 700         => DENIED>DENIED:TOO_MANY_PARTS
        sell 1 @ 60000 as o4 twap 625 over 700         => ACCEPTED>ROUTING RELEASED>ROUTING
        sell 1 @ 60000 as o5 twap 0 over 700           => DENIED>DENIED:INVALID_SLICES
        sell 1 @ 60000 as o6 iceberg 0.0001 at 10      => DENIED>DENIED:TOO_MANY_PARTS
        sell 0.5 @ 60000 as o7 iceberg 0.0001 at 10    => ACCEPTED>SCHEDULED
        modify o7 quantity 1                           => MODIFY_DENIED>SCHEDULED:TOO_MANY_PARTS
    """,
    "a change that meets a halt waits for its end with nothing at a venue": """
        buy 0.5 @ 60000 as o1
        plan o1: a 0.5 @ 60000
        o1.1 accepted
        modify o1 price 59000                          => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        state system HALTED
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_MODIFY WAITING>PENDING_MODIFY:HALTED
        wait 3                                         =>
        crash
        state system ACTIVE
        wait 1                                         => RELEASED>PENDING_MODIFY MODIFIED>ROUTING route:o1:0.5
        plan o1: a 0.5 @ 59000
        wait 5                                         =>
    """,
    "a change that waits for the end of a halt can be cancelled, and is over in time": """
        buy 0.5 @ 60000 as o1
        plan o1: a 0.5 @ 60000
        modify o1 price 59000
        sell 0.5 @ 60000 as o2 until 10
        plan o2: a 0.5 @ 60000
        modify o2 price 61000
        state symbol|BTC/USDT HALTED
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_MODIFY WAITING>PENDING_MODIFY:HALTED
        o2.1 cancelled 0                               => CHILD_CLOSED>PENDING_MODIFY WAITING>PENDING_MODIFY:HALTED
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0
        wait 10                                        => EXPIRING>PENDING_CANCEL:TIME_EXPIRED CLOSED>EXPIRED:TIME_EXPIRED | BTC 2 0
        state symbol|BTC/USDT ACTIVE
        wait 3                                         =>
    """,
    "a change that another rule has come to stand against ends its order, also after a halt": """
        buy 0.5 @ 60000 as o1
        plan o1: a 0.5 @ 60000
        modify o1 price 60001
        buy 0.5 @ 60000 as o2
        plan o2: a 0.5 @ 60000
        modify o2 price 60001
        limits sanctioned yes
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_MODIFY CLOSED>CANCELLED:SANCTIONED
        limits sanctioned no state HALTED
        o2.1 cancelled 0.1                             => CHILD_CLOSED>PENDING_MODIFY
        o2.1 fill 0.1 @ 60000 #1                       => FILL>PENDING_MODIFY WAITING>PENDING_MODIFY:HALTED
        limits state REDUCING
        wait 1                                         => CLOSED>CANCELLED:REDUCING | USDT 94000 0
    """,
    "a buy may be made smaller while only sales are taken, and in a halt": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        state symbol|BTC/USDT REDUCING
        modify o1 quantity 0.5 price 60001             => MODIFY_DENIED>ROUTING:REDUCING
        modify o1 quantity 1.1 price 59000             => MODIFY_DENIED>ROUTING:REDUCING
        modify o1 quantity 0.5                         => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_MODIFY MODIFIED>ROUTING route:o1:0.5
        plan o1: a 0.5 @ 60000
        modify o1 price 59000                          => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.2.1
        o1.2.1 cancelled 0                             => CHILD_CLOSED>PENDING_MODIFY MODIFIED>ROUTING route:o1:0.5
        plan o1: a 0.5 @ 59000
        state symbol|BTC/USDT HALTED
        modify o1 quantity 0.6                         => MODIFY_DENIED>ROUTING:HALTED
        modify o1 quantity 0.2                         => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.3.1
        o1.3.1 cancelled 0                             => CHILD_CLOSED>PENDING_MODIFY WAITING>PENDING_MODIFY:HALTED
        state symbol|BTC/USDT REDUCING
        wait 1                                         => MODIFIED>ROUTING route:o1:0.2
        plan o1: a 0.2 @ 59000
        limits sanctioned yes
        modify o1 quantity 0.1                         => MODIFY_DENIED>ROUTING:SANCTIONED
    """,
    "the breaker halts market orders, then lets them in with half the collar": """
        state breaker|BTC/USDT HALTED market
        buy 0.1 market as o1                           => DENIED>DENIED:HALTED
        buy 0.1 @ 60000 as o2                          => ACCEPTED>ROUTING
        state breaker|BTC/USDT HALF_OPEN market
        sell 1 market as o3                            => ACCEPTED>ROUTING
    """,
    "an account is halted, sanctioned, or not known well enough": """
        limits state HALTED                            => LIMITS_SET>INITIALIZED
        sell 0.1 @ 60000 as o1                         => DENIED>DENIED:HALTED
        limits sanctioned yes state ACTIVE             => LIMITS_SET>INITIALIZED
        sell 0.1 @ 60000 as o2                         => DENIED>DENIED:SANCTIONED
        withdraw 1 USDT                                => TRANSFER_DENIED>INITIALIZED:SANCTIONED
        hold 1 USDT as h1                              => TRANSFER_DENIED>INITIALIZED:SANCTIONED
        limits min_tier 2 kyc_tier 1 unset sanctioned                   => LIMITS_SET>INITIALIZED
        sell 0.1 @ 60000 as o3                         => DENIED>DENIED:KYC_TIER
        limits kyc_tier 2 min_tier 2
        sell 0.1 @ 60000 as o4                         => ACCEPTED>ROUTING
        limits max_quantity -1                         => LIMITS_DENIED>INITIALIZED:INVALID_LIMITS
        sell 0.1 @ 60000 as o5 by ann                  => DENIED>DENIED:UNKNOWN_ACCOUNT
    """,
    "a limit stays until it is set again or unset": """
        limits sanctioned yes kyc_tier 1               => LIMITS_SET>INITIALIZED
        limits max_open_orders 1                       => LIMITS_SET>INITIALIZED
        buy 0.1 @ 60000 as o1                          => DENIED>DENIED:SANCTIONED
        limits sanctioned no state HALTED              => LIMITS_SET>INITIALIZED
        limits position:BTC 2.2
        crash
        buy 0.1 @ 60000 as o2                          => DENIED>DENIED:HALTED
        limits state ACTIVE position:ETH 1 min_tier 1
        buy 0.3 @ 60000 as o3                          => DENIED>DENIED:POSITION_LIMIT
        buy 0.1 @ 60000 as o4                          => ACCEPTED>ROUTING
        buy 0.1 @ 60000 as o5                          => DENIED>DENIED:TOO_MANY_OPEN_ORDERS
        limits unset max_open_orders,position.BTC      => LIMITS_SET>INITIALIZED
        buy 0.3 @ 60000 as o6                          => ACCEPTED>ROUTING
        limits unset kyc_tier                          => LIMITS_SET>INITIALIZED
        buy 0.1 @ 60000 as o7                          => DENIED>DENIED:KYC_TIER
        limits unset everything                        => LIMITS_DENIED>INITIALIZED:INVALID_LIMITS
        limits kyc_tier 1 unset kyc_tier               => LIMITS_DENIED>INITIALIZED:INVALID_LIMITS
        limits position:BTC 1 unset position.BTC       => LIMITS_DENIED>INITIALIZED:INVALID_LIMITS
    """,
    "limits of an order are set for an account": """
        limits max_quantity 0.5 max_notional 20000 collar 0.01
        buy 0.6 @ 1000 as o1                           => DENIED>DENIED:QUANTITY_TOO_LARGE
        buy 0.5 @ 60000 as o2                          => DENIED>DENIED:NOTIONAL_TOO_LARGE
        buy 0.1 @ 60601 as o3                          => DENIED>DENIED:PRICE_COLLAR
        buy 0.1 @ 60600 as o4                          => ACCEPTED>ROUTING
    """,
    "so many orders may be open": """
        limits max_open_orders 2
        buy 0.1 @ 60000 as o1                          => ACCEPTED>ROUTING
        buy 0.1 @ 60000 as o2 at 10                    => ACCEPTED>SCHEDULED
        buy 0.1 @ 60000 as o3                          => DENIED>DENIED:TOO_MANY_OPEN_ORDERS
        cancel o2
        buy 0.1 @ 60000 as o4                          => ACCEPTED>ROUTING
    """,
    "so much may be ordered a day": """
        limits max_day_notional 10000
        buy 0.1 @ 60000 as o1                          => ACCEPTED>ROUTING
        buy 0.1 @ 60000 as o2                          => DENIED>DENIED:DAILY_NOTIONAL
        sell 0.05 @ 60000 as o3                        => ACCEPTED>ROUTING
        wait 86400
        quote 59990 60010
        buy 0.1 @ 60000 as o4                          => ACCEPTED>ROUTING
    """,
    "the day counts what went in, whether there is a limit or not": """
        buy 1 @ 60000 as o1                            => ACCEPTED>ROUTING
        limits max_day_notional 150000
        buy 0.7 @ 60000 as o2                          => DENIED>DENIED:INSUFFICIENT_FUNDS
        sell 0.5 @ 60000 as o3                         => ACCEPTED>ROUTING
        modify o3 quantity 2.1                         => MODIFY_DENIED>ROUTING:DAILY_NOTIONAL
        limits unset max_day_notional
        modify o3 quantity 2.1                         => MODIFY_DENIED>ROUTING:INSUFFICIENT_FUNDS
        limits max_day_notional 100000
        sell 0.16 @ 60000 as o4                        => ACCEPTED>ROUTING
        sell 0.01 @ 60000 as o5                        => DENIED>DENIED:DAILY_NOTIONAL
    """,
    "so much of an asset may be held and bought": """
        limits position:BTC 2.2
        buy 0.2 @ 60000 as o1                          => ACCEPTED>ROUTING
        buy 0.001 @ 60000 as o2                        => DENIED>DENIED:POSITION_LIMIT
        plan o1: a 0.2 @ 60000
        o1.1 fill 0.1 @ 60000 #1
        buy 0.001 @ 60000 as o3                        => DENIED>DENIED:POSITION_LIMIT
        o1.1 cancelled 0.1
        buy 0.1 @ 60000 as o4                          => ACCEPTED>ROUTING
        modify o4 quantity 0.11                        => MODIFY_DENIED>ROUTING:POSITION_LIMIT
        sell 1 @ 60000 as o5                           => ACCEPTED>ROUTING
    """,
    "so much may be held and bought in all; what has no price is denied": """
        limits max_account_position 126000
        buy 0.1 @ 60000 as o1                          => ACCEPTED>ROUTING
        buy 0.1 @ 60000 as o2                          => DENIED>DENIED:ACCOUNT_POSITION
        deposit 1 XYZ
        buy 0.001 @ 60000 as o3                        => DENIED>DENIED:NO_PRICE
    """,
    "so fast": """
        limits order_rate 2 modify_rate 1
        buy 0.1 @ 60000 as o1                          => ACCEPTED>ROUTING
        buy -1 @ 60000 as o2                           => DENIED>DENIED:INVALID_QUANTITY
        buy 0.1 @ 60000 as o3                          => ACCEPTED>ROUTING
        buy 0.1 @ 60000 as o4                          => DENIED>DENIED:ORDER_RATE
        modify o1 price 59000                          => MODIFY_REQUESTED>PENDING_MODIFY
        modify o3 price 59000                          => MODIFY_DENIED>ROUTING:MODIFY_RATE
        cancel o3                                      => CANCEL_REQUESTED>PENDING_CANCEL
        wait 1
        buy 0.1 @ 60000 as o5                          => ACCEPTED>ROUTING
    """,
    # ---- money
    "money is set aside and given back": """
        hold 40000 USDT as h1                          => TRANSFERRED>INITIALIZED | USDT 60000 0 held 40000
        hold 40000 USDT as h1                          => TRANSFER_DENIED>INITIALIZED:DUPLICATE_TRANSFER
        hold 60001 USDT as h2                          => TRANSFER_DENIED>INITIALIZED:INSUFFICIENT_FUNDS
        buy 1 @ 60000 as o1                            => DENIED>DENIED:INSUFFICIENT_FUNDS
        release 50000 USDT as r1                       => TRANSFER_DENIED>INITIALIZED:NOT_HELD
        release 10000 USDT as r2                       => TRANSFERRED>INITIALIZED | USDT 70000 0 held 30000
        withdraw 70001 USDT                            => TRANSFER_DENIED>INITIALIZED:INSUFFICIENT_FUNDS
        buy 1 @ 60000 as o2                            => ACCEPTED>ROUTING | USDT 9940 60060 held 30000
    """,
}


@pytest.mark.parametrize("name", KINDS)
def test_order_kind(name: str) -> None:
    scenario = Scenario()
    scenario.run(FUNDS + KINDS[name])
    assert_adds_up(scenario)


def test_post_only_is_asked_of_the_router_as_such() -> None:
    """From there it is the child's and the venue's: see the tests of routing, and the conformance suite of the venues."""
    scenario = Scenario()
    scenario.run(FUNDS + "buy 1 @ 59000 as o1 post\nbuy 1 @ 50 as o2\n")
    assert [r.post_only for r in scenario.driver.records("orders.routable")] == [True, None]


def test_orders_that_went_out_late_know_what_the_market_was() -> None:
    """A stop, and one that waited for a venue, are planned first by a later attempt than the first: their fills say what the market was then."""
    scenario = Scenario()
    scenario.run(FUNDS + "sell 1 market as o1 stop 58000\no1 triggered @ 57999\nbuy 0.1 @ 60000 as o2\n")
    ids = {r.order_id: r.attempt for r in scenario.driver.records("orders.routable") if isinstance(r, RouteRequest)}
    assert sorted(ids.values()) == [1, 2]
    nowhere = {"reason": "NO_ELIGIBLE_VENUE", "arrival_mid": None}
    stop, waits = (scenario.order_id("acct", "o1"), scenario.order_id("acct", "o2"))
    feed = scenario.driver.feed
    market = {"arrival_mid": units("57990"), "best_single_price": units("57980")}
    one = planned("o1.x", "a", units("1"), units("57000"))
    feed(ACKS, "acct", plan("acct", stop, [one], 0, attempt=2, **market))
    feed(ACKS, "acct", plan("acct", waits, [], units("0.1"), attempt=1, **nowhere))
    scenario.driver.run()
    scenario.run("o2 resumed")
    one = planned("o2.x", "a", units("0.1"), units("60000"))
    feed(ACKS, "acct", plan("acct", waits, [one], 0, attempt=2, **market))
    scenario.driver.run()
    scenario.run("o1.x fill 1 @ 57980 #1\no2.x fill 0.1 @ 57990 #2")
    fills = scenario.driver.records("fills")
    assert [(f.arrival_mid, f.best_single_price) for f in fills] == [(units("57990"), units("57980"))] * 2


def test_an_order_ends_before_it_outgrows_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """With thousands of parts this takes minutes, so it is three here. What is filled counts, the rest is given back."""
    monkeypatch.setattr("streams.domain.leftovers.MOST_CHILDREN", 3)
    scenario = Scenario()
    scenario.run(
        FUNDS
        + """
        sell 1 @ 60000 as o1 iceberg 0.2
        plan o1: a 0.1 @ 60000, b 0.1 @ 60000
        o1.1 fill 0.1 @ 60000 #1
        o1.2 fill 0.1 @ 60000 #2                       => FILL>PARTIALLY_FILLED RELEASED>PARTIALLY_FILLED route:o1:0.2
        plan o1: a 0.2 @ 60000
        o1.2.1 fill 0.2 @ 60000 #3                     => FILL>PARTIALLY_FILLED CLOSED>EXPIRED:TOO_MANY_PARTS | BTC 1.6 0
        sell 0.3 @ 60000 as o2
        plan o2: a 0.1 @ 60000, b 0.1 @ 60000, a 0.1 @ 60000
        o2.1 expired 0
        o2.2 fill 0.1 @ 60000 #4
        o2.3 fill 0.1 @ 60000 #5                       => FILL>PARTIALLY_FILLED CLOSED>EXPIRED:VENUE_EXPIRED | BTC 1.4 0
    """
    )
    assert_adds_up(scenario)
