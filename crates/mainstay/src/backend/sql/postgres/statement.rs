//! The statements. They are prepared where a session is ours alone (`session`); else each is sent unnamed with its types,
//! in one round trip.
//! It must not know connections.

/// The server's clock, Unix milliseconds; not `now()`, which stands still in a transaction.
macro_rules! now_ms {
    () => {
        "(extract(epoch from clock_timestamp()) * 1000)::bigint"
    };
}

/// The server's clock, Unix microseconds: where the versions of a new key begin.
macro_rules! now_us {
    () => {
        "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
    };
}

/// Neither deleted nor expired.
macro_rules! live {
    () => {
        concat!("NOT deleted AND (expires_at IS NULL OR expires_at > ", now_ms!(), ")")
    };
}

pub(super) mod control;
pub(super) mod journal;
pub(super) mod locks;
pub(super) mod schema;
pub(super) mod together;

macro_rules! range {
    () => {
        concat!("key >= $1 AND ($2::bytea IS NULL OR key < $2) AND ", live!())
    };
}

/// `$1` key.
pub(super) const GET: &str = concat!(
    "SELECT value, epoch::bigint, counter, expires_at - ",
    now_ms!(),
    " FROM mainstay_kv WHERE key = $1 AND ",
    live!()
);

/// `$1` keys.
pub(super) const GET_MANY: &str = concat!(
    "SELECT key, value, epoch::bigint, counter, expires_at - ",
    now_ms!(),
    " FROM mainstay_kv WHERE key = ANY($1) AND ",
    live!()
);

/// `$1` key.
pub(super) const LENGTH: &str =
    concat!("SELECT octet_length(value)::bigint FROM mainstay_kv WHERE key = $1 AND ", live!());

/// `$1` key.
pub(super) const TIME_TO_LIVE: &str =
    concat!("SELECT expires_at - ", now_ms!(), " FROM mainstay_kv WHERE key = $1 AND ", live!());

/// `$1` keys.
pub(super) const EXISTING: &str =
    concat!("SELECT key FROM mainstay_kv WHERE key = ANY($1) AND ", live!());

/// `$1` first key, `$2` end or null, `$3` key to go on after or null, `$4` limit.
pub(super) const SCAN: &str = concat!(
    "SELECT key FROM mainstay_kv WHERE ",
    range!(),
    " AND ($3::bytea IS NULL OR key > $3) ORDER BY key LIMIT $4"
);

/// `$1` first key, `$2` end or null.
pub(super) const COUNT: &str = concat!("SELECT count(*) FROM mainstay_kv WHERE ", range!());

/// `$1` key, `$2` value, `$3` milliseconds to live or null, `$4` expiry or null. The time of the write is read once the
/// row is locked: what was read before that is not newer.
pub(super) const SET: &str = concat!(
    "INSERT INTO mainstay_kv AS kv (key, epoch, counter, value, deleted, expires_at, updated_at) \
     VALUES ($1, (SELECT epoch FROM mainstay_meta), ",
    now_us!(),
    ", $2, false, coalesce($4, $3 + ",
    now_ms!(),
    "), ",
    now_ms!(),
    ") ON CONFLICT (key) DO UPDATE SET epoch = excluded.epoch, counter = kv.counter + 1, \
     value = excluded.value, deleted = false, expires_at = excluded.expires_at, \
     updated_at = ",
    now_ms!(),
    " RETURNING epoch::bigint, counter"
);

/// `$1` distinct keys and `$2` their values in ascending order, `$3` milliseconds to live or null, `$4` expiry or null.
pub(super) const SET_MANY: &str = concat!(
    "INSERT INTO mainstay_kv AS kv (key, epoch, counter, value, deleted, expires_at, updated_at) \
     SELECT k, (SELECT epoch FROM mainstay_meta), ",
    now_us!(),
    ", v, false, coalesce($4, $3 + ",
    now_ms!(),
    "), ",
    now_ms!(),
    " FROM unnest($1::bytea[], $2::bytea[]) AS t(k, v) ORDER BY k \
     ON CONFLICT (key) DO UPDATE SET epoch = excluded.epoch, counter = kv.counter + 1, \
     value = excluded.value, deleted = false, expires_at = excluded.expires_at, \
     updated_at = ",
    now_ms!()
);

/// `$1` key. A tombstone's expiry is the time of its deletion: one index serves the purge of both.
pub(super) const DELETE: &str = concat!(
    "UPDATE mainstay_kv SET epoch = (SELECT epoch FROM mainstay_meta), counter = counter + 1, \
     value = NULL, deleted = true, expires_at = ",
    now_ms!(),
    ", updated_at = ",
    now_ms!(),
    " WHERE key = $1 AND ",
    live!(),
    " RETURNING epoch::bigint, counter"
);

/// `$1` keys, locked in ascending order so that two of these never wait for each other.
pub(super) const DELETE_MANY: &str = concat!(
    "WITH locked AS (SELECT key FROM mainstay_kv WHERE key = ANY($1) ORDER BY key FOR UPDATE) \
     UPDATE mainstay_kv AS kv SET epoch = (SELECT epoch FROM mainstay_meta), \
     counter = kv.counter + 1, value = NULL, deleted = true, expires_at = ",
    now_ms!(),
    ", updated_at = ",
    now_ms!(),
    " FROM locked WHERE kv.key = locked.key AND NOT kv.deleted \
     AND (kv.expires_at IS NULL OR kv.expires_at > ",
    now_ms!(),
    ")"
);

/// `$1` keys. Locks each row in ascending order; where there is none, a tombstone is put first. `WHERE false` locks
/// an existing row without writing it. Answers the keys that got a tombstone.
pub(super) const LOCK: &str = concat!(
    "INSERT INTO mainstay_kv AS kv (key, epoch, counter, value, deleted, expires_at, updated_at) \
     SELECT k, (SELECT epoch FROM mainstay_meta), ",
    now_us!(),
    ", NULL, true, ",
    now_ms!(),
    ", ",
    now_ms!(),
    " FROM unnest($1::bytea[]) AS t(k) ORDER BY k \
     ON CONFLICT (key) DO UPDATE SET deleted = kv.deleted WHERE false RETURNING key"
);

/// `$1` keys.
pub(super) const LOAD: &str = concat!(
    "SELECT key, epoch::bigint, counter, value, expires_at, ",
    now_ms!(),
    ", (SELECT epoch FROM mainstay_meta)::bigint, updated_at FROM mainstay_kv WHERE key = ANY($1) ORDER BY key"
);

/// `$1` epoch, then for each key: `$2` key, `$3` counter, `$4` value, `$5` expiry or null.
pub(super) const PUT: &str = concat!(
    "UPDATE mainstay_kv AS kv SET epoch = $1, counter = t.counter, value = t.value, \
     deleted = false, expires_at = t.expires_at, updated_at = ",
    now_ms!(),
    " FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::bigint[]) \
     AS t(key, counter, value, expires_at) WHERE kv.key = t.key"
);

/// As `PUT` without values: `$4` expiry or null.
pub(super) const EXPIRE: &str = concat!(
    "UPDATE mainstay_kv AS kv SET epoch = $1, counter = t.counter, expires_at = t.expires_at, \
     updated_at = ",
    now_ms!(),
    " FROM unnest($2::bytea[], $3::bigint[], $4::bigint[]) AS t(key, counter, expires_at) \
     WHERE kv.key = t.key"
);

/// As `PUT`, but only keys and counters.
pub(super) const REMOVE: &str = concat!(
    "UPDATE mainstay_kv AS kv SET epoch = $1, counter = t.counter, value = NULL, deleted = true, \
     expires_at = ",
    now_ms!(),
    ", updated_at = ",
    now_ms!(),
    " FROM unnest($2::bytea[], $3::bigint[]) AS t(key, counter) WHERE kv.key = t.key"
);

/// `$1` how long tombstones and expired values are kept, `$2` limit.
pub(super) const PURGE: &str = concat!(
    "DELETE FROM mainstay_kv WHERE ctid = ANY(ARRAY(SELECT ctid FROM mainstay_kv \
     WHERE expires_at < ",
    now_ms!(),
    " - $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))"
);

/// Whether this server is the one to use.
pub(super) const ROLE: &str = "SELECT pg_is_in_recovery(), \
     current_setting('transaction_read_only') = 'on', current_setting('server_version'), \
     (extract(epoch from clock_timestamp()) * 1000)::bigint";

/// Writes and reads back, outside the users' keys.
pub(super) const WRITE_READ: &str = concat!(
    "INSERT INTO mainstay_probe (id, stamp) VALUES (1, ",
    now_ms!(),
    ") ON CONFLICT (id) DO UPDATE SET stamp = excluded.stamp RETURNING stamp"
);
