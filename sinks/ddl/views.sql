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
    updated_at DateTime64(6, 'UTC') COMMENT 'Last event that moved it'
)
AS SELECT
    account_id,
    b.asset AS asset,
    argMax(b.available, account_seq) AS available,
    argMax(b.locked, account_seq) AS locked,
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
