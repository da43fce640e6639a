//! The tables, as statements.
//! It must not know which of them a database lacks.

/// The schema that is there.
pub(in super::super) const META: &str = "SELECT schema_version, epoch::bigint FROM mainstay_meta";

/// The limits of this session in milliseconds, 0 for none: of a statement, of idling in a transaction. Its mark, if it has one.
pub(in super::super) const BEGAN: &str = "SELECT \
     (extract(epoch from coalesce(current_setting('statement_timeout', true), '0')::interval) \
     * 1000)::bigint, \
     (extract(epoch from \
     coalesce(current_setting('idle_in_transaction_session_timeout', true), '0')::interval) \
     * 1000)::bigint, \
     current_setting('mainstay.session', true)";

/// Held by the one process that creates or migrates; a number of ours.
pub(in super::super) const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(5571873241)";

/// Schema 4, from nothing or from an older one: schema 1 had no control tables, 2 no locks, 3 none who wait for them.
pub(in super::super) const CREATE: &str = "
CREATE TABLE IF NOT EXISTS mainstay_meta (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    schema_version bigint NOT NULL,
    epoch integer NOT NULL
);
CREATE TABLE IF NOT EXISTS mainstay_kv (
    key bytea PRIMARY KEY,
    epoch integer NOT NULL,
    counter bigint NOT NULL,
    value bytea,
    deleted boolean NOT NULL,
    expires_at bigint,
    updated_at bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS mainstay_kv_expires_at ON mainstay_kv (expires_at)
    WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS mainstay_probe (
    id smallint PRIMARY KEY,
    stamp bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS mainstay_cache (
    cache text PRIMARY KEY,
    id bigint NOT NULL,
    active boolean NOT NULL,
    epoch bigint NOT NULL,
    generation bigint NOT NULL,
    identity text NOT NULL,
    beacon bigint NOT NULL,
    raised_us bigint NOT NULL,
    degraded_us bigint NOT NULL,
    reason text NOT NULL,
    lease_us bigint NOT NULL,
    mark_us bigint NOT NULL,
    statement_us bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS mainstay_dirty (
    cache text NOT NULL,
    key bytea NOT NULL,
    number bigint NOT NULL,
    since_us bigint NOT NULL,
    open_until_us bigint NOT NULL,
    PRIMARY KEY (cache, key)
);
CREATE TABLE IF NOT EXISTS mainstay_journal (
    journal bytea PRIMARY KEY,
    seq bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS mainstay_journal_key (
    journal bytea NOT NULL,
    key bytea NOT NULL,
    epoch bigint NOT NULL,
    counter bigint NOT NULL,
    PRIMARY KEY (journal, key)
);
CREATE TABLE IF NOT EXISTS mainstay_lock (
    name bytea PRIMARY KEY,
    holder bytea,
    token bigint NOT NULL,
    expires_us bigint NOT NULL,
    note text NOT NULL
);
ALTER TABLE mainstay_lock
    ADD COLUMN IF NOT EXISTS waiter bytea,
    ADD COLUMN IF NOT EXISTS waiter_since_us bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS waiter_until_us bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS waiter_token bigint NOT NULL DEFAULT 0;
CREATE TABLE IF NOT EXISTS mainstay_fence (
    resource bytea PRIMARY KEY,
    token bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS mainstay_fleet (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    epoch bigint NOT NULL DEFAULT 0,
    backend text NOT NULL DEFAULT '',
    seat_identity text NOT NULL DEFAULT '',
    ttl_max_us bigint NOT NULL DEFAULT 0,
    view_us bigint NOT NULL DEFAULT 0,
    not_before_us bigint NOT NULL DEFAULT 0,
    identity text NOT NULL DEFAULT '',
    since_us bigint NOT NULL DEFAULT 0,
    admitted_as text NOT NULL DEFAULT '',
    floor bigint NOT NULL DEFAULT 0
);
INSERT INTO mainstay_fleet (id) VALUES (1) ON CONFLICT (id) DO NOTHING;
INSERT INTO mainstay_meta (id, schema_version, epoch) VALUES (1, 4, 1) ON CONFLICT (id) DO NOTHING;
UPDATE mainstay_meta SET schema_version = 4 WHERE schema_version < 4;
";
