-- Columns that tables got after they were first made: a table of an older version is given them when the sink starts. What it held
-- before has their defaults: null, empty, or 0 of every asset. tables.sql has them too, for new tables; a test holds the two together.

ALTER TABLE {database}.order_events
    ADD COLUMN IF NOT EXISTS stop_price Nullable(Decimal(38, 8)) COMMENT 'Of a stop, in the quote asset' AFTER price,
    ADD COLUMN IF NOT EXISTS scheduled_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When a scheduled order starts' AFTER stop_price,
    ADD COLUMN IF NOT EXISTS expires_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When a GTD order ends' AFTER scheduled_at,
    ADD COLUMN IF NOT EXISTS balances.owed_delta Array(Decimal(38, 8)) COMMENT 'How the event moved the account''s funds, and where it left them' AFTER balances.locked,
    ADD COLUMN IF NOT EXISTS balances.owed Array(Decimal(38, 8)) COMMENT 'How the event moved the account''s funds, and where it left them' AFTER balances.owed_delta,
    ADD COLUMN IF NOT EXISTS balances.held_delta Array(Decimal(38, 8)) COMMENT 'How the event moved the account''s funds, and where it left them' AFTER balances.owed,
    ADD COLUMN IF NOT EXISTS balances.held Array(Decimal(38, 8)) COMMENT 'How the event moved the account''s funds, and where it left them' AFTER balances.held_delta;
