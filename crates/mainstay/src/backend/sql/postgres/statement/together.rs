//! The statements for single writes of many callers: a row for each, in ascending order of the keys.
//! It must not know when each is sent.

/// A lock is not waited for long by many together. For this statement's transaction only, and before its first lock.
macro_rules! patience {
    () => {
        "patience AS MATERIALIZED (SELECT set_config('lock_timeout', '50ms', true) AS given)"
    };
}

macro_rules! patient {
    () => {
        "(SELECT given FROM patience) IS NOT NULL"
    };
}

/// The rows of a set, from `$FROM` and of those that are `$DUE`; a row that was written before is written where `$IN_TIME`.
macro_rules! set {
    ($with:expr, $from:expr, $due:expr, $in_time:expr) => {
        concat!(
            "WITH ",
            patience!(),
            $with,
            " INSERT INTO mainstay_kv AS kv \
             (key, epoch, counter, value, deleted, expires_at, updated_at) \
             SELECT k, (SELECT epoch FROM mainstay_meta), ",
            now_us!(),
            ", v, false, coalesce(unix, ms + ",
            now_ms!(),
            "), ",
            now_ms!(),
            " FROM ",
            $from,
            " WHERE ",
            patient!(),
            $due,
            " ORDER BY k ON CONFLICT (key) DO UPDATE SET epoch = excluded.epoch, \
             counter = kv.counter + 1, value = excluded.value, deleted = false, \
             expires_at = excluded.expires_at, updated_at = ",
            now_ms!(),
            $in_time,
            " RETURNING key, epoch::bigint, counter"
        )
    };
}

/// `$1` keys, `$2` values, `$3` milliseconds to live or null, `$4` expiries or null.
pub(in super::super) const SET: &str = set!(
    "",
    "unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[]) AS t(k, v, ms, unix)",
    "",
    ""
);

/// As `SET`, and `$5` cache, `$6` epoch, `$7` deadlines, `$8` the first of them. A key without a row: overtaken. The time
/// is tested again where a row lock may have been waited for, most often by one look at the first deadline.
pub(in super::super) const MARKED_SET: &str = set!(
    ", guard AS (SELECT cache FROM mainstay_cache WHERE cache = $5 AND active AND epoch = $6)",
    "guard CROSS JOIN unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $7::bigint[]) \
     AS t(k, v, ms, unix, until_us)",
    concat!(" AND ", now_us!(), " < until_us"),
    concat!(
        " WHERE CASE WHEN ",
        now_us!(),
        " < $8 THEN true ELSE ",
        now_us!(),
        " < ($7::bigint[])[array_position($1::bytea[], excluded.key)] END"
    )
);

/// Locks the rows of the keys that are due, in ascending order, and removes those that are alive and `$IN_TIME`.
macro_rules! delete {
    ($with:expr, $due:expr, $in_time:expr) => {
        concat!(
            "WITH ",
            patience!(),
            $with,
            ", due AS MATERIALIZED (SELECT k, until_us FROM ",
            $due,
            "), locked AS MATERIALIZED (SELECT kv.key, due.until_us FROM mainstay_kv AS kv \
             JOIN due ON kv.key = due.k ORDER BY kv.key FOR UPDATE OF kv), \
             removed AS (UPDATE mainstay_kv AS kv SET epoch = (SELECT epoch FROM mainstay_meta), \
             counter = kv.counter + 1, value = NULL, deleted = true, expires_at = ",
            now_ms!(),
            ", updated_at = ",
            now_ms!(),
            " FROM locked WHERE kv.key = locked.key AND NOT kv.deleted \
             AND (kv.expires_at IS NULL OR kv.expires_at > ",
            now_ms!(),
            ")",
            $in_time,
            " RETURNING kv.key, kv.epoch::bigint AS epoch, kv.counter) \
             SELECT due.k, removed.epoch, removed.counter, coalesce(",
            now_us!(),
            " < due.until_us, true) FROM due LEFT JOIN removed ON removed.key = due.k"
        )
    };
}

/// `$1` keys. A row for each: key, version or null, true.
pub(in super::super) const DELETE: &str = delete!(
    "",
    concat!("unnest($1::bytea[]) AS t(k), (SELECT NULL::bigint) AS u(until_us) WHERE ", patient!()),
    ""
);

/// As `DELETE`, and `$2` cache, `$3` epoch, `$4` deadlines. A key without a row, or one with neither a version nor time
/// left: overtaken. What is left of the time is looked at when all is done.
pub(in super::super) const MARKED_DELETE: &str = delete!(
    ", guard AS (SELECT cache FROM mainstay_cache WHERE cache = $2 AND active AND epoch = $3)",
    concat!(
        "guard CROSS JOIN unnest($1::bytea[], $4::bigint[]) AS t(k, until_us) WHERE ",
        patient!(),
        " AND ",
        now_us!(),
        " < until_us"
    ),
    concat!(" AND ", now_us!(), " < locked.until_us")
);

#[cfg(test)]
mod tests {
    use super::super::super::super::together::PATIENCE;

    #[test]
    fn locks_are_waited_for_as_long_as_patience_lasts() {
        let stated = format!("'{}ms'", PATIENCE.as_millis());
        assert!([super::SET, super::MARKED_DELETE].iter().all(|sql| sql.contains(&stated)));
    }
}
