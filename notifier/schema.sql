-- Schema of the service, which runs this file when a table is missing.
CREATE TABLE IF NOT EXISTS outbox (
    id                bigserial PRIMARY KEY,
    reference         text NOT NULL UNIQUE,
    recipient         text NOT NULL,
    subject           text NOT NULL,
    body              text NOT NULL,
    attachment_key    text,
    attachment_sha256 text,
    idempotency_key   uuid NOT NULL DEFAULT gen_random_uuid(),
    accepted_at       timestamptz NOT NULL DEFAULT now(),
    delivered_at      timestamptz,
    attempts          integer NOT NULL DEFAULT 0,
    CHECK ((attachment_key IS NULL) = (attachment_sha256 IS NULL))
);
DROP INDEX IF EXISTS outbox_waiting;
CREATE INDEX IF NOT EXISTS outbox_undelivered ON outbox (id) WHERE delivered_at IS NULL;

-- Delivery is on hold while the row ('delivery', 'held') exists.
CREATE TABLE IF NOT EXISTS control (
    name  text PRIMARY KEY,
    value text NOT NULL
);
