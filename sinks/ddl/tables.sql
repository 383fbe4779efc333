-- One table a kind of record, one row a record. `{database}` is put in by sinks/clickhouse.py; a statement ends with a semicolon at a line's end.
--
-- Rows are in the order that analysts ask in, and the place in the log ends every sorting key: two copies of one record, should a suspended
-- writer ever make them, are one row to ReplacingMergeTree (at once with FINAL, which the views use, and for all after the next merge).
-- The window makes insert_deduplication_token count: at its default of 0 a token is silently ignored.

CREATE TABLE IF NOT EXISTS {database}.order_events
(
    account_id String COMMENT 'Whose order or funds',
    account_seq Int64 COMMENT '1, 2, 3 … over the account, without gap',
    order_id String COMMENT 'Empty for a transfer',
    order_seq Int32 COMMENT '1, 2, 3 … over the order, without gap; 0 for a transfer',
    client_order_id String COMMENT 'The id that the client gave the order',
    kind LowCardinality(String) COMMENT 'What happened: ACCEPTED, DENIED, ROUTED, WORKING, FILL, CLOSED, TRANSFERRED …',
    state LowCardinality(String) COMMENT 'State of the order after the event: WORKING, PARTIALLY_FILLED, FILLED, CANCELLED …',
    status LowCardinality(String) COMMENT 'The same for users: pending, partial, filled, cancelled, rejected; empty for a transfer',
    symbol LowCardinality(String) COMMENT 'ccxt''s unified symbol: BTC/USDT',
    side LowCardinality(String) COMMENT 'BUY or SELL of the base asset; empty when the event has none',
    order_type LowCardinality(String) COMMENT 'MARKET, LIMIT, STOP, STOP_LIMIT; empty when the event has none',
    time_in_force LowCardinality(String) COMMENT 'GTC, IOC, FOK, GTD; empty when the event has none',
    quantity Nullable(Decimal(38, 8)) COMMENT 'Ordered, in the base asset',
    price Nullable(Decimal(38, 8)) COMMENT 'Limit, in the quote asset',
    stop_price Nullable(Decimal(38, 8)) COMMENT 'Of a stop, in the quote asset',
    scheduled_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When a scheduled order starts',
    expires_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When a GTD order ends',
    filled Decimal(38, 8) COMMENT 'In all after the event, in the base asset',
    filled_quote Decimal(38, 8) COMMENT 'Sum of price times quantity over the fills, after the event',
    reason_code LowCardinality(String) COMMENT 'Stable code, or empty',
    reason String COMMENT 'In words, or empty',
    venue LowCardinality(String) COMMENT 'Of the child order that the event is about; empty when it is about none',
    child_id String COMMENT 'Child order that the event is about; empty when it is about none',
    trade_id String COMMENT 'The venue''s id of a FILL''s trade; else empty',
    balances Nested
    (
        asset LowCardinality(String),
        available_delta Decimal(38, 8),
        locked_delta Decimal(38, 8),
        available Decimal(38, 8),
        locked Decimal(38, 8),
        owed_delta Decimal(38, 8),
        owed Decimal(38, 8),
        held_delta Decimal(38, 8),
        held Decimal(38, 8)
    ) COMMENT 'How the event moved the account''s funds, and where it left them',
    cause_topic LowCardinality(String) COMMENT 'The record that caused the event',
    cause_partition Int32 COMMENT 'The record that caused the event',
    cause_offset Int64 COMMENT 'The record that caused the event',
    is_outcome Bool COMMENT 'True on the one event that answers a command',
    actor LowCardinality(String) COMMENT 'Who did it',
    sent_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When the command was sent, by its sender''s clock',
    at DateTime64(6, 'UTC') COMMENT 'When the event was decided',
    previous_hash String COMMENT 'Of the account''s previous event, in hex; empty for the first' CODEC(ZSTD(1)),
    hash String COMMENT 'SHA-256 over previous_hash and the record, in hex' CODEC(ZSTD(1)),
    kafka_topic LowCardinality(String) COMMENT 'Place of the record in the log',
    kafka_partition Int32 COMMENT 'Place of the record in the log',
    kafka_offset Int64 COMMENT 'Place of the record in the log',
    kafka_at DateTime64(6, 'UTC') COMMENT 'When the log took the record',
    INDEX order_id_seen order_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX client_order_id_seen client_order_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX at_range at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (account_id, order_id, account_seq)
ORDER BY (account_id, order_id, account_seq, kafka_topic, kafka_partition, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every transition of every order and of every account''s funds: the log orders.events, row for record';

CREATE TABLE IF NOT EXISTS {database}.fills
(
    fill_id String COMMENT 'venue:symbol:trade id',
    account_id String COMMENT 'Whose fill',
    order_id String COMMENT 'The order of the account',
    client_order_id String COMMENT 'The id that the client gave the order',
    child_id String COMMENT 'The child order at the venue',
    venue LowCardinality(String) COMMENT 'Where it traded',
    symbol LowCardinality(String) COMMENT 'ccxt''s unified symbol: BTC/USDT',
    side LowCardinality(String) COMMENT 'BUY or SELL of the base asset',
    price Decimal(38, 8) COMMENT 'In the quote asset',
    quantity Decimal(38, 8) COMMENT 'In the base asset',
    fee Decimal(38, 8) COMMENT 'In fee_asset',
    fee_asset LowCardinality(String) COMMENT 'What the fee was paid in',
    liquidity LowCardinality(String) COMMENT 'MAKER, TAKER or NOT_KNOWN',
    arrival_mid Nullable(Decimal(38, 8)) COMMENT 'Consolidated mid when the order was planned',
    best_single_price Nullable(Decimal(38, 8)) COMMENT 'All-in price of the order''s quantity at the best single venue, when it was planned',
    venue_at DateTime64(6, 'UTC') COMMENT 'By the venue''s clock',
    at DateTime64(6, 'UTC') COMMENT 'When the account took the fill',
    kafka_topic LowCardinality(String) COMMENT 'Place of the record in the log',
    kafka_partition Int32 COMMENT 'Place of the record in the log',
    kafka_offset Int64 COMMENT 'Place of the record in the log',
    kafka_at DateTime64(6, 'UTC') COMMENT 'When the log took the record',
    INDEX account_id_seen account_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX order_id_seen order_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (symbol, venue, at)
ORDER BY (symbol, venue, at, kafka_topic, kafka_partition, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every fill of every order: the log fills, row for record';

CREATE TABLE IF NOT EXISTS {database}.quotes
(
    symbol LowCardinality(String) COMMENT 'ccxt''s unified symbol: BTC/USDT',
    bid Nullable(Decimal(38, 8)) COMMENT 'Best of all live venues; null when nobody bids',
    bid_quantity Nullable(Decimal(38, 8)) COMMENT 'In the base asset',
    bid_venue LowCardinality(String) COMMENT 'Who bids best; empty when nobody does',
    ask Nullable(Decimal(38, 8)) COMMENT 'Best of all live venues; null when nobody offers',
    ask_quantity Nullable(Decimal(38, 8)) COMMENT 'In the base asset',
    ask_venue LowCardinality(String) COMMENT 'Who offers best; empty when nobody does',
    venues Int32 COMMENT 'Venues with a live book',
    at DateTime64(6, 'UTC') COMMENT 'When it was so' CODEC(DoubleDelta, ZSTD(1)),
    kafka_topic LowCardinality(String) COMMENT 'Place of the record in the log',
    kafka_partition Int32 COMMENT 'Place of the record in the log',
    kafka_offset Int64 COMMENT 'Place of the record in the log' CODEC(Delta, ZSTD(1)),
    kafka_at DateTime64(6, 'UTC') COMMENT 'When the log took the record' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (symbol, at)
ORDER BY (symbol, at, kafka_topic, kafka_partition, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Consolidated best bid and offer over time: the log market.quotes, row for record';

CREATE TABLE IF NOT EXISTS {database}.route_plans
(
    account_id String COMMENT 'Whose order',
    order_id String COMMENT 'The order',
    attempt Int32 COMMENT '1, 2, 3 … over the order: each time that something of it was routed',
    symbol LowCardinality(String) COMMENT 'ccxt''s unified symbol: BTC/USDT',
    side LowCardinality(String) COMMENT 'BUY or SELL of the base asset; empty in plans of old versions',
    quantity Nullable(Decimal(38, 8)) COMMENT 'Asked for, in the base asset; null in plans of old versions',
    unrouted Decimal(38, 8) COMMENT 'What no venue could take, in the base asset',
    reason LowCardinality(String) COMMENT 'Why there is an unrouted quantity, or empty',
    arrival_mid Nullable(Decimal(38, 8)) COMMENT 'Mid of the best bid and offer of all eligible venues when the plan was made',
    average_price Nullable(Decimal(38, 8)) COMMENT 'Planned all-in price of what is taken at once; null when nothing is',
    best_single_venue LowCardinality(String) COMMENT 'Where the same quantity would have been cheapest alone; empty when no venue had all of it',
    best_single_price Nullable(Decimal(38, 8)) COMMENT 'All-in price there',
    children Nested
    (
        child_id String,
        venue LowCardinality(String),
        price Decimal(38, 8),
        quantity Decimal(38, 8),
        time_in_force LowCardinality(String),
        expected_fee Decimal(38, 8),
        expected_price Nullable(Decimal(38, 8))
    ) COMMENT 'The split: limit price, quantity, how long it lives (GTC rests), and what the plan expects of it: fee in the quote asset, average price without fees',
    candidates Nested
    (
        venue LowCardinality(String),
        eligible Bool,
        reason LowCardinality(String),
        score Decimal(38, 8),
        price_score Decimal(38, 8),
        latency_score Decimal(38, 8),
        reliability_score Decimal(38, 8),
        liquidity_score Decimal(38, 8),
        average_price Nullable(Decimal(38, 8)),
        filled Decimal(38, 8)
    ) COMMENT 'Every venue as the router saw it: why not eligible, score and components (0 to 1), what it could take alone and the all-in price of that',
    planned_at DateTime64(6, 'UTC') COMMENT 'When it was decided',
    kafka_topic LowCardinality(String) COMMENT 'Place of the record in the log',
    kafka_partition Int32 COMMENT 'Place of the record in the log',
    kafka_offset Int64 COMMENT 'Place of the record in the log',
    kafka_at DateTime64(6, 'UTC') COMMENT 'When the log took the record',
    INDEX order_id_seen order_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(planned_at)
PRIMARY KEY (symbol, planned_at)
ORDER BY (symbol, planned_at, order_id, attempt, kafka_topic, kafka_partition, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every decision of the router with its reasons: the plans of the log exchange.acks, row for record';

CREATE TABLE IF NOT EXISTS {database}.venue_alerts
(
    id String COMMENT 'Of one occasion: the same when it is raised and when it is cleared',
    venue LowCardinality(String) COMMENT 'Where',
    kind LowCardinality(String) COMMENT 'ORPHAN_ORDER, CLOSED_ORDER_OPEN, FOREIGN_ORDER, BALANCE_DRIFT, STREAM_SILENT, UNRESOLVED_CHILD',
    state LowCardinality(String) COMMENT 'RAISED or CLEARED',
    asset LowCardinality(String) COMMENT 'Of a balance; empty for others',
    expected Nullable(Decimal(38, 8)) COMMENT 'What our fills make of the balance, or what we know to be filled of the order',
    found Nullable(Decimal(38, 8)) COMMENT 'What the venue says',
    symbol LowCardinality(String) COMMENT 'Of an order; empty for others',
    child_id String COMMENT 'Of an order of ours; empty for others',
    client_order_id String COMMENT 'Of an order: the client''s id as the venue has it; empty for others',
    venue_order_id String COMMENT 'Of an order: the venue''s own id; empty for others',
    detail String COMMENT 'In words',
    raised_at DateTime64(6, 'UTC') COMMENT 'When it was raised',
    at DateTime64(6, 'UTC') COMMENT 'When it was raised or cleared',
    kafka_topic LowCardinality(String) COMMENT 'Place of the record in the log',
    kafka_partition Int32 COMMENT 'Place of the record in the log',
    kafka_offset Int64 COMMENT 'Place of the record in the log',
    kafka_at DateTime64(6, 'UTC') COMMENT 'When the log took the record'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (venue, at)
ORDER BY (venue, at, id, kafka_topic, kafka_partition, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What venues have that we do not know of, raised and cleared: the log venue.alerts, row for record';
