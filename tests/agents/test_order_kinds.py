"""Every kind of order, every change of one, and every limit, as tables that a trader can read: `tests.agents.scenario` says how."""

from __future__ import annotations

import pytest

from tests.agents.scenario import Scenario
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
        o1.1 cancelled 0.4                             => CHILD_CLOSED>PENDING_CANCEL:VENUE_CANCELLED CLOSED>EXPIRED:TIME_EXPIRED | USDT 76000 0, BTC 2.4 0
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
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL:VENUE_CANCELLED CLOSED>EXPIRED:TIME_EXPIRED | USDT 100000 0
    """,
    "good till a date that is filled first has no timer any more": """
        buy 1 @ 60000 as o1 until 30
        plan o1: a 1 @ 60000
        o1.1 fill 1 @ 60000 #1                         => FILL>FILLED
        wait 31                                        =>
    """,
    "an amount of quote buys what it surely pays for": """
        quote 59990 60000
        buy for 10000 market as o1                     => ACCEPTED>ROUTING | USDT 90000.334324 9999.665676
        plan o1: a 0.16323 @ 60000
        o1.1 fill 0.16323 @ 60000 fee 9.7938 USDT #1   => FILL>FILLED | USDT 90196.4062 0, BTC 2.16323 0
    """,
    "an amount of quote that buys nothing": """
        buy for 0.01 market as o1                      => DENIED>DENIED:QUANTITY_TOO_SMALL
        buy for 1000000 market as o2                   => DENIED>DENIED:INSUFFICIENT_FUNDS
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
    "a stop that is triggered while trading is halted ends": """
        sell 1 market as o1 stop 58000
        state symbol|BTC/USDT HALTED
        o1 triggered @ 58000                           => TRIGGERED>TRIGGERED CLOSED>DENIED:HALTED | BTC 2 0
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
        o1.1 cancelled 0.1                             => CHILD_CLOSED>PENDING_MODIFY:VENUE_CANCELLED
        o1.2 fill 0.1 @ 60000 #2                       => FILL>PENDING_MODIFY
        o1.2 cancelled 0.1                             => CHILD_CLOSED>PENDING_MODIFY:VENUE_CANCELLED MODIFIED>PARTIALLY_FILLED route:o1:1 | USDT 26939 61061
        plan o1: b 1 @ 61000
        o1.2.1 fill 1 @ 61000 #3                       => FILL>FILLED | USDT 27000 0, BTC 3.2 0
    """,
    "a change before the plan": """
        buy 1 @ 60000 as o1
        modify o1 price 59000                          => MODIFY_REQUESTED>PENDING_MODIFY
        plan o1: a 1 @ 60000                           => ROUTED>PENDING_MODIFY ask:o1.1
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_MODIFY:VENUE_CANCELLED MODIFIED>ROUTING route:o1:1 | USDT 40941 59059
    """,
    "a new total below what is filled": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        o1.1 fill 0.5 @ 60000 #1
        modify o1 quantity 0.4                         => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        o1.1 fill 0.1 @ 60000 #2                       => FILL>PENDING_MODIFY
        o1.1 cancelled 0.6                             => CHILD_CLOSED>PENDING_MODIFY:VENUE_CANCELLED CLOSED>FILLED:CHANGED | USDT 64000 0, BTC 2.6 0
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
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL:VENUE_CANCELLED CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0
    """,
    "a venue that does not say what it filled ends the order": """
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        modify o1 quantity 1.5
        o1.1 cancelled                                 => CHILD_CLOSED>PENDING_MODIFY:VENUE_CANCELLED CLOSED>CANCELLED:NOT_COUNTED | USDT 100000 0
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
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL:VENUE_CANCELLED CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0, BTC 2 0
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
    "an iceberg is changed: its slice is recalled": """
        sell 1 @ 60000 as o1 iceberg 0.4
        plan o1: a 0.4 @ 60000
        o1.1 fill 0.1 @ 60000 #1
        modify o1 price 60500 quantity 0.8             => MODIFY_REQUESTED>PENDING_MODIFY ask:o1.1
        o1.1 cancelled 0.1                             => CHILD_CLOSED>PENDING_MODIFY:VENUE_CANCELLED MODIFIED>PARTIALLY_FILLED route:o1:0.4 | BTC 1.2 0.7
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
        modify o1 price 59000                          => MODIFY_DENIED>ROUTING:HALTED
        cancel o1                                      => CANCEL_REQUESTED>PENDING_CANCEL ask:o1.1
        state system ACTIVE
        buy 0.1 @ 60000 as o3                          => ACCEPTED>ROUTING
    """,
    "reducing: sales only": """
        state symbol|BTC/USDT REDUCING
        buy 0.1 @ 60000 as o1                          => DENIED>DENIED:REDUCING
        sell 0.1 @ 60000 as o2                         => ACCEPTED>ROUTING
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
        limits sanctioned yes                          => LIMITS_SET>INITIALIZED
        sell 0.1 @ 60000 as o2                         => DENIED>DENIED:SANCTIONED
        withdraw 1 USDT                                => TRANSFER_DENIED>INITIALIZED:SANCTIONED
        limits min_tier 2 kyc_tier 1                   => LIMITS_SET>INITIALIZED
        sell 0.1 @ 60000 as o3                         => DENIED>DENIED:KYC_TIER
        limits kyc_tier 2 min_tier 2
        sell 0.1 @ 60000 as o4                         => ACCEPTED>ROUTING
        limits max_quantity -1                         => LIMITS_DENIED>INITIALIZED:INVALID_LIMITS
        sell 0.1 @ 60000 as o5 by ann                  => DENIED>DENIED:UNKNOWN_ACCOUNT
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
