//! The statements on control rows and dirty keys, and the writes that they guard. Only what a statement locks by
//! itself is locked: a lease is one snapshot.
//! It must not know when each is sent.

/// `$1` cache, `$2` how many dirty keys at most.
pub(in super::super) const LEASE: &str = concat!(
    "SELECT id, active, epoch, generation, identity, beacon, raised_us, reason, lease_us, \
     mark_us, statement_us, ",
    now_us!(),
    ", ARRAY(SELECT key FROM mainstay_dirty WHERE cache = $1 ORDER BY key LIMIT $2) \
     FROM mainstay_cache WHERE cache = $1"
);

/// The server's clock.
pub(in super::super) const NOW: &str = concat!("SELECT ", now_us!());

/// `$1` cache, `$2` id, then the terms: `$3` lease, `$4` mark, `$5` statement.
pub(in super::super) const NEW_CACHE: &str = "INSERT INTO mainstay_cache (cache, id, active, \
     epoch, generation, identity, beacon, raised_us, degraded_us, reason, lease_us, mark_us, \
     statement_us) VALUES ($1, $2, false, 0, 0, '', 0, 0, 0, 'never used', $3, $4, $5) \
     ON CONFLICT (cache) DO NOTHING";

/// `$1` cache, `$2` key to begin at or null, `$3` limit.
pub(in super::super) const DIRTY: &str = "SELECT key, number FROM mainstay_dirty \
     WHERE cache = $1 AND ($2::bytea IS NULL OR key >= $2) ORDER BY key LIMIT $3";

/// `$1` cache, `$2` keys and `$3` their numbers. A row that is locked is being written or drained by another: it is
/// left, and nobody waits.
pub(in super::super) const DRAINED: &str = concat!(
    "WITH drained AS (SELECT d.key FROM mainstay_dirty AS d \
     JOIN unnest($2::bytea[], $3::bigint[]) AS t(key, number) \
     ON d.key = t.key AND d.number = t.number WHERE d.cache = $1 AND d.open_until_us <= ",
    now_us!(),
    " FOR UPDATE OF d SKIP LOCKED) \
     DELETE FROM mainstay_dirty AS d USING drained WHERE d.cache = $1 AND d.key = drained.key"
);

/// `$1` cache, `$2` epoch, `$3` reason.
pub(in super::super) const DEGRADE: &str = concat!(
    "UPDATE mainstay_cache SET active = false, epoch = epoch + 1, reason = $3, degraded_us = ",
    now_us!(),
    " WHERE cache = $1 AND epoch = $2 AND active"
);

/// `$1` cache, `$2` epoch. Waits for the writes that hold the row shared.
pub(in super::super) const READMIT_LOCK: &str = "SELECT epoch FROM mainstay_cache \
     WHERE cache = $1 AND epoch = $2 AND NOT active FOR UPDATE";

/// `$1` cache. Not TRUNCATE: it would take the rows of other caches.
pub(in super::super) const FORGET_DIRTY: &str = "DELETE FROM mainstay_dirty WHERE cache = $1";

/// `$1` cache, `$2` identity, `$3` beacon.
pub(in super::super) const READMIT: &str = concat!(
    "UPDATE mainstay_cache SET active = true, epoch = epoch + 1, generation = generation + 1, \
     identity = $2, beacon = $3, reason = '', raised_us = ",
    now_us!(),
    " WHERE cache = $1"
);

/// `$1` cache, `$2` epoch, `$3` beacon.
pub(in super::super) const RAISED: &str = concat!(
    "UPDATE mainstay_cache SET beacon = $3, raised_us = ",
    now_us!(),
    " WHERE cache = $1 AND epoch = $2 AND active AND beacon < $3"
);

/// As `SET`, and `$5` cache, `$6` epoch, `$7` deadline; no row: overtaken. The time is tested again where a row lock
/// may have been waited for. The epoch need not be: a readmission waits for statements that tested it before.
pub(in super::super) const MARKED_SET: &str = concat!(
    "WITH guard AS (SELECT cache FROM mainstay_cache \
     WHERE cache = $5 AND active AND epoch = $6 AND ",
    now_us!(),
    " < $7) INSERT INTO mainstay_kv AS kv \
     (key, epoch, counter, value, deleted, expires_at, updated_at) \
     SELECT $1, (SELECT epoch FROM mainstay_meta), ",
    now_us!(),
    ", $2, false, coalesce($4, $3 + ",
    now_ms!(),
    "), ",
    now_ms!(),
    " FROM guard ON CONFLICT (key) DO UPDATE SET epoch = excluded.epoch, \
     counter = kv.counter + 1, value = excluded.value, deleted = false, \
     expires_at = excluded.expires_at, updated_at = ",
    now_ms!(),
    " WHERE ",
    now_us!(),
    " < $7 RETURNING epoch::bigint, counter"
);

/// As `DELETE`, and `$2` cache, `$3` epoch, `$4` deadline. One row: the version, null where nothing was deleted; no
/// row: overtaken. A condition of an UPDATE is tested before the row is locked, and again only if the row was changed
/// meanwhile; so the time is tested in what it returns, and if it is up, that fails as a guard does.
pub(in super::super) const MARKED_DELETE: &str = concat!(
    "WITH guard AS (SELECT cache FROM mainstay_cache \
     WHERE cache = $2 AND active AND epoch = $3 AND ",
    now_us!(),
    " < $4), removed AS (UPDATE mainstay_kv SET epoch = (SELECT epoch FROM mainstay_meta), \
     counter = counter + 1, value = NULL, deleted = true, expires_at = ",
    now_ms!(),
    ", updated_at = ",
    now_ms!(),
    " WHERE key = $1 AND EXISTS (SELECT 1 FROM guard) AND ",
    live!(),
    " RETURNING epoch::bigint AS epoch, counter, 1 / (",
    now_us!(),
    " < $4)::int AS in_time) \
     SELECT removed.epoch, removed.counter, removed.in_time FROM guard LEFT JOIN removed ON true"
);

/// Fails, as `Frame::guarded` expects, unless the cache is active at this epoch and there is time. It has its arguments in
/// it, so that it can stand in one message with BEGIN or COMMIT: nothing comes between the test and the commit.
pub(in super::super) fn guard(cache: &str, epoch: i64, deadline_us: i64) -> String {
    // In hexadecimal, as the name may hold anything.
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let name: String =
        cache.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    let now_us = now_us!();
    format!(
        "SELECT 1 / count(*) FROM mainstay_cache WHERE cache = convert_from(decode('{name}', 'hex'), 'UTF8') AND active AND epoch = {epoch} AND {now_us} < {deadline_us}"
    )
}

/// `$1` cache. A row: it is degraded, and stays so until this transaction ends.
pub(in super::super) const HOLD_DEGRADED: &str = concat!(
    "SELECT degraded_us, ",
    now_us!(),
    " FROM mainstay_cache WHERE cache = $1 AND NOT active FOR SHARE"
);

/// `$1` cache, `$2` keys. Makes them dirty, in ascending order, if the cache is active: whether it is, since when the
/// youngest is dirty, and the time. No row: no such cache.
pub(in super::super) const MAKE_DIRTY: &str = concat!(
    "WITH control AS (SELECT active FROM mainstay_cache WHERE cache = $1), \
     dirty AS (INSERT INTO mainstay_dirty AS d (cache, key, number, since_us, open_until_us) \
     SELECT $1, k, ",
    now_us!(),
    ", ",
    now_us!(),
    ", ",
    now_us!(),
    " FROM unnest($2::bytea[]) AS t(k) WHERE (SELECT active FROM control) ORDER BY k \
     ON CONFLICT (cache, key) DO UPDATE SET number = greatest(d.number + 1, ",
    now_us!(),
    ") RETURNING since_us) \
     SELECT active, (SELECT max(since_us) FROM dirty), ",
    now_us!(),
    " FROM control"
);

/// `$1` cache, `$2` keys, `$3` microseconds from now.
pub(in super::super) const HOLD_OPEN: &str = concat!(
    "UPDATE mainstay_dirty SET open_until_us = greatest(open_until_us, $3 + ",
    now_us!(),
    ") WHERE cache = $1 AND key = ANY($2)"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_place_in_the_guard() {
        let text = guard("é'; --", 3, 5);
        assert!(text.contains("decode('c3a9273b202d2d', 'hex')"), "{text}");
        assert!(text.contains("epoch = 3") && text.ends_with("< 5"), "{text}");
    }
}
