-- What analysts ask most. Each is right whether or not a record has a second copy: argMax does not care, the others read FINAL.

CREATE OR REPLACE VIEW {database}.orders
(
    order_id String COMMENT 'The order',
    account_id String COMMENT 'Whose order',
    client_order_id String COMMENT 'The id that the client gave it',
    symbol String COMMENT 'ccxt''s unified symbol: BTC/USDT',
    side String COMMENT 'BUY or SELL of the base asset',
    order_type String COMMENT 'MARKET, LIMIT, STOP, STOP_LIMIT',
    time_in_force String COMMENT 'GTC, IOC, FOK, GTD',
    quantity Nullable(Decimal(38, 8)) COMMENT 'Ordered, in the base asset',
    price Nullable(Decimal(38, 8)) COMMENT 'Limit, in the quote asset',
    stop_price Nullable(Decimal(38, 8)) COMMENT 'Of a stop, in the quote asset',
    scheduled_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When a scheduled order starts',
    expires_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When a GTD order ends',
    state String COMMENT 'Last state',
    status String COMMENT 'Last state for users: pending, partial, filled, cancelled, rejected',
    filled Decimal(38, 8) COMMENT 'In all, in the base asset',
    filled_quote Decimal(38, 8) COMMENT 'Sum of price times quantity over the fills',
    average_price Nullable(Decimal(38, 8)) COMMENT 'filled_quote over filled; null without fills',
    reason_code String COMMENT 'Of the last event that has one',
    reason String COMMENT 'Of the last event that has one',
    events UInt64 COMMENT 'Transitions so far',
    sent_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When the order was sent, by its sender''s clock',
    opened_at DateTime64(6, 'UTC') COMMENT 'First event: when it was accepted or denied',
    updated_at DateTime64(6, 'UTC') COMMENT 'Last event'
)
AS SELECT
    order_id,
    account_id,
    any(e.client_order_id) AS client_order_id,
    argMaxIf(e.symbol, account_seq, e.symbol != '') AS symbol,
    argMaxIf(e.side, account_seq, e.side != '') AS side,
    argMaxIf(e.order_type, account_seq, e.order_type != '') AS order_type,
    argMaxIf(e.time_in_force, account_seq, e.time_in_force != '') AS time_in_force,
    argMax(e.quantity, account_seq) AS quantity,
    argMax(e.price, account_seq) AS price,
    argMax(e.stop_price, account_seq) AS stop_price,
    argMax(e.scheduled_at, account_seq) AS scheduled_at,
    argMax(e.expires_at, account_seq) AS expires_at,
    argMax(e.state, account_seq) AS state,
    argMax(e.status, account_seq) AS status,
    argMax(e.filled, account_seq) AS filled,
    argMax(e.filled_quote, account_seq) AS filled_quote,
    if(filled = 0, NULL, filled_quote / nullIf(filled, 0)) AS average_price,
    argMaxIf(e.reason_code, account_seq, e.reason_code != '') AS reason_code,
    argMaxIf(e.reason, account_seq, e.reason_code != '') AS reason,
    uniqExact(account_seq) AS events,
    argMin(e.sent_at, account_seq) AS sent_at,
    min(e.at) AS opened_at,
    max(e.at) AS updated_at
FROM {database}.order_events AS e
WHERE order_id != ''
GROUP BY account_id, order_id;

CREATE OR REPLACE VIEW {database}.balances
(
    account_id String COMMENT 'Whose funds',
    asset String COMMENT 'Of what',
    available Decimal(38, 8) COMMENT 'Free to use',
    locked Decimal(38, 8) COMMENT 'Reserved by open orders',
    held Decimal(38, 8) COMMENT 'Set aside by command',
    owed Decimal(38, 8) COMMENT 'What the account owes',
    updated_at DateTime64(6, 'UTC') COMMENT 'Last event that moved it'
)
AS SELECT
    account_id,
    b.asset AS asset,
    argMax(b.available, account_seq) AS available,
    argMax(b.locked, account_seq) AS locked,
    argMax(b.held, account_seq) AS held,
    argMax(b.owed, account_seq) AS owed,
    max(at) AS updated_at
FROM {database}.order_events
ARRAY JOIN balances AS b
GROUP BY account_id, asset;

CREATE OR REPLACE VIEW {database}.fills_by_venue
(
    day Date COMMENT 'UTC',
    venue String COMMENT 'Where it traded',
    symbol String COMMENT 'ccxt''s unified symbol: BTC/USDT',
    side String COMMENT 'BUY or SELL of the base asset',
    fee_asset String COMMENT 'What fees were paid in',
    fills UInt64 COMMENT 'How many',
    orders UInt64 COMMENT 'Distinct orders that had a share here',
    quantity Decimal(38, 8) COMMENT 'In the base asset',
    notional Decimal(76, 16) COMMENT 'Sum of price times quantity, exact',
    average_price Decimal(76, 16) COMMENT 'notional over quantity',
    fee Decimal(38, 8) COMMENT 'In fee_asset',
    maker_fills UInt64 COMMENT 'Of the fills, those that added liquidity'
)
AS SELECT
    toDate(at) AS day,
    venue,
    symbol,
    side,
    fee_asset,
    count() AS fills,
    uniqExact(order_id) AS orders,
    sum(f.quantity) AS quantity,
    sum(toDecimal256(f.price, 8) * f.quantity) AS notional,
    notional / quantity AS average_price,
    sum(f.fee) AS fee,
    countIf(liquidity = 'MAKER') AS maker_fills
FROM {database}.fills AS f FINAL
GROUP BY day, venue, symbol, side, fee_asset;

CREATE OR REPLACE VIEW {database}.route_decisions
(
    order_id String COMMENT 'The order',
    account_id String COMMENT 'Whose order',
    attempt Int32 COMMENT '1, 2, 3 … over the order: each time that something of it was routed',
    symbol String COMMENT 'ccxt''s unified symbol: BTC/USDT',
    side String COMMENT 'BUY or SELL of the base asset; empty in plans of old versions',
    quantity Nullable(Decimal(38, 8)) COMMENT 'Asked for, in the base asset',
    unrouted Decimal(38, 8) COMMENT 'What no venue could take, in the base asset',
    reason String COMMENT 'Why there is an unrouted quantity, or empty',
    split Array(String) COMMENT 'The children: venue, quantity @ limit price, how long it lives',
    venues UInt64 COMMENT 'Venues that got a child',
    eligible Array(String) COMMENT 'Venues that could have',
    refused Array(String) COMMENT 'Venues that could not: venue, why',
    scores Array(String) COMMENT 'Of the eligible venues: venue, score (price, latency, reliability, liquidity)',
    arrival_mid Nullable(Decimal(38, 8)) COMMENT 'Mid of all eligible venues when the plan was made',
    average_price Nullable(Decimal(38, 8)) COMMENT 'Planned all-in price of what is taken at once',
    best_single_venue String COMMENT 'Where the same quantity would have been cheapest alone; empty when no venue had all of it',
    best_single_price Nullable(Decimal(38, 8)) COMMENT 'All-in price there',
    expected_saving_bps Nullable(Float64) COMMENT 'How much better the split is than the best single venue, in 1/10000 of its price; positive is better',
    planned_at DateTime64(6, 'UTC') COMMENT 'When it was decided'
)
AS SELECT
    order_id,
    account_id,
    attempt,
    symbol,
    side,
    p.quantity AS quantity,
    unrouted,
    reason,
    arrayMap((v, q, x, t) -> concat(v, ' ', toString(q), ' @ ', toString(x), ' ', t),
        children.venue, children.quantity, children.price, children.time_in_force) AS split,
    length(arrayDistinct(children.venue)) AS venues,
    arrayFilter((v, e) -> e, candidates.venue, candidates.eligible) AS eligible,
    arrayMap((v, r) -> concat(v, ' ', r),
        arrayFilter((v, e) -> not e, candidates.venue, candidates.eligible),
        arrayFilter((r, e) -> not e, candidates.reason, candidates.eligible)) AS refused,
    arrayFilter((t, e) -> e,
        arrayMap((v, s, a, b, c, d) -> concat(v, ' ', toString(s), ' (', toString(a), ', ', toString(b), ', ', toString(c), ', ', toString(d), ')'),
            candidates.venue, candidates.score, candidates.price_score, candidates.latency_score, candidates.reliability_score, candidates.liquidity_score),
        candidates.eligible) AS scores,
    arrival_mid,
    p.average_price AS average_price,
    best_single_venue,
    p.best_single_price AS best_single_price,
    multiIf(side = 'BUY', 1, side = 'SELL', -1, NULL) * 10000
        * toFloat64(p.best_single_price - p.average_price) / toFloat64(p.best_single_price) AS expected_saving_bps,
    planned_at
FROM {database}.route_plans AS p FINAL;

-- Transaction costs, fill by fill, exact, in the quote asset. Positive costs are worse for the account, a positive saving is better.
-- The README has the definitions and where they come from.
CREATE OR REPLACE VIEW {database}.tca_fills
(
    fill_id String COMMENT 'venue:symbol:trade id',
    order_id String COMMENT 'The order',
    child_id String COMMENT 'The child order at the venue',
    account_id String COMMENT 'Whose fill',
    venue String COMMENT 'Where it traded',
    symbol String COMMENT 'ccxt''s unified symbol: BTC/USDT',
    quote String COMMENT 'What all amounts of the row are in',
    side String COMMENT 'BUY or SELL of the base asset',
    liquidity String COMMENT 'MAKER, TAKER or NOT_KNOWN',
    price Decimal(38, 8) COMMENT 'In the quote asset',
    quantity Decimal(38, 8) COMMENT 'In the base asset',
    notional Decimal(76, 16) COMMENT 'price times quantity',
    order_notional Decimal(76, 16) COMMENT 'Of all fills of the order: its size',
    arrival_mid Nullable(Decimal(38, 8)) COMMENT 'Consolidated mid when the order was first planned',
    planned_price Nullable(Decimal(38, 8)) COMMENT 'Price without fees that the plan expected: the child''s own where it rested, else the average of what it was to take; null without plan, or in plans of old versions',
    best_single_price Nullable(Decimal(38, 8)) COMMENT 'All-in price of the plan''s quantity at the best single venue; null where no venue had all of it, and for what rested',
    arrival_notional Nullable(Decimal(76, 16)) COMMENT 'arrival_mid times quantity: what the paper portfolio paid',
    arrival_cost Nullable(Decimal(76, 16)) COMMENT 'Slippage against arrival: side times (price less arrival_mid) times quantity',
    planned_notional Nullable(Decimal(76, 16)) COMMENT 'planned_price times quantity',
    plan_cost Nullable(Decimal(76, 16)) COMMENT 'Slippage against plan: side times (price less planned_price) times quantity',
    fee Nullable(Decimal(76, 16)) COMMENT 'In the quote asset, a fee in the base asset at the fill''s price; null for a fee in another asset',
    single_notional Nullable(Decimal(76, 16)) COMMENT 'best_single_price times quantity, where saving is not null',
    saving Nullable(Decimal(76, 16)) COMMENT 'Against the best single venue, after fees: side times (best_single_price less price) times quantity, less fee',
    at DateTime64(6, 'UTC') COMMENT 'When the account took the fill'
)
AS SELECT
    f.fill_id AS fill_id,
    f.order_id AS order_id,
    f.child_id AS child_id,
    f.account_id AS account_id,
    f.venue AS venue,
    f.symbol AS symbol,
    splitByChar('/', f.symbol)[2] AS quote,
    f.side AS side,
    f.liquidity AS liquidity,
    f.price AS price,
    f.quantity AS quantity,
    toDecimal256(f.price, 8) * f.quantity AS notional,
    o.notional AS order_notional,
    f.arrival_mid AS arrival_mid,
    if(c.time_in_force = 'GTC' AND f.liquidity = 'MAKER', c.price, c.expected_price) AS planned_price,
    if(c.time_in_force != 'GTC' OR f.liquidity = 'TAKER', c.best_single_price, NULL) AS best_single_price,
    toDecimal256(f.arrival_mid, 8) * f.quantity AS arrival_notional,
    if(f.side = 'BUY', 1, -1) * (toDecimal256(f.price, 8) - f.arrival_mid) * f.quantity AS arrival_cost,
    toDecimal256(planned_price, 8) * f.quantity AS planned_notional,
    if(f.side = 'BUY', 1, -1) * (toDecimal256(f.price, 8) - planned_price) * f.quantity AS plan_cost,
    multiIf(
        f.fee = 0, toDecimal256(0, 16),
        f.fee_asset = quote, toDecimal256(f.fee, 16),
        f.fee_asset = splitByChar('/', f.symbol)[1], toDecimal256(f.fee, 8) * f.price,
        NULL) AS fee,
    if(isNull(fee), NULL, toDecimal256(best_single_price, 8) * f.quantity) AS single_notional,
    if(f.side = 'BUY', 1, -1) * (toDecimal256(best_single_price, 8) - f.price) * f.quantity - fee AS saving,
    f.at AS at
FROM {database}.fills AS f FINAL
INNER JOIN
(
    SELECT order_id, sum(toDecimal256(price, 8) * quantity) AS notional
    FROM {database}.fills FINAL
    GROUP BY order_id
) AS o ON o.order_id = f.order_id
LEFT ANY JOIN
(
    SELECT c.child_id AS child_id, c.time_in_force AS time_in_force, c.price AS price, c.expected_price AS expected_price, best_single_price
    FROM {database}.route_plans FINAL
    ARRAY JOIN children AS c
) AS c ON c.child_id = f.child_id;
