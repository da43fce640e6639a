//! The statements that apply a journal.
//! It must not know when each is sent.

/// `$1` journal. Nothing has been applied from a new one; the smallest place there is 0.
pub(in super::super) const NEW_JOURNAL: &str =
    "INSERT INTO mainstay_journal (journal, seq) VALUES ($1, -1) ON CONFLICT (journal) DO NOTHING";

/// `$1` journal. One process at a time.
pub(in super::super) const LOCK_JOURNAL: &str =
    "SELECT seq FROM mainstay_journal WHERE journal = $1 FOR UPDATE";

/// Which caches are degraded, and stay so until this transaction ends.
pub(in super::super) const HOLD_ALL_DEGRADED: &str =
    "SELECT cache FROM mainstay_cache WHERE NOT active ORDER BY cache FOR SHARE";

/// `$1` keys. Makes them dirty for each active cache (`semantics::control::OVERFLOW` is none); which ones are degraded.
pub(in super::super) const MAKE_DIRTY_FOR_ALL: &str = concat!(
    "WITH dirty AS (INSERT INTO mainstay_dirty AS d \
     (cache, key, number, since_us, open_until_us) \
     SELECT c.cache, k, ",
    now_us!(),
    ", ",
    now_us!(),
    ", ",
    now_us!(),
    " FROM mainstay_cache AS c CROSS JOIN unnest($1::bytea[]) AS t(k) \
     WHERE c.active AND c.cache <> '/overflow' ORDER BY c.cache, k \
     ON CONFLICT (cache, key) DO UPDATE SET number = greatest(d.number + 1, ",
    now_us!(),
    ") RETURNING key) SELECT cache FROM mainstay_cache WHERE NOT active"
);

/// `$1` journal, `$2` keys: the versions that the journal's own writes gave.
pub(in super::super) const OWN_VERSIONS: &str = "SELECT key, epoch, counter \
     FROM mainstay_journal_key WHERE journal = $1 AND key = ANY($2)";

/// `$1` journal, then for each key: `$2` key, `$3` epoch, `$4` counter.
pub(in super::super) const NOTE_VERSIONS: &str = "INSERT INTO mainstay_journal_key \
     (journal, key, epoch, counter) SELECT $1, k, e, c \
     FROM unnest($2::bytea[], $3::bigint[], $4::bigint[]) AS t(k, e, c) \
     ON CONFLICT (journal, key) DO UPDATE SET epoch = excluded.epoch, counter = excluded.counter";

/// `$1` journal, `$2` place.
pub(in super::super) const NOTE_PLACE: &str =
    "UPDATE mainstay_journal SET seq = $2 WHERE journal = $1";

/// `$1` keys. Tombstones that only served as locks go: nobody wrote there.
pub(in super::super) const UNLOCK: &str = "DELETE FROM mainstay_kv WHERE key = ANY($1) AND deleted";
