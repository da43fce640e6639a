//! The statements on locks, fences and the fleet. Each is one round trip and commits by itself; the server's clock is
//! read again after a wait for a row.
//! It must not know when each is sent.

/// What must hold besides; an argument says which epoch or identity.
macro_rules! free {
    () => {
        "true"
    };
}
macro_rules! member {
    () => {
        "identity <> '' AND admitted_as = identity"
    };
}
macro_rules! epoch {
    ($at:literal) => {
        concat!("epoch = ", $at, " AND not_before_us <= ", now_us!())
    };
}
macro_rules! server {
    ($at:literal) => {
        concat!("identity = ", $at, " AND admitted_as = identity AND identity <> ''")
    };
}

/// Who is granted a lock, by one reading of the clock (`t.now`) for all columns: `own` begins its lease anew; `free`: no
/// lease lasts, nor is it kept for another than `$6`. `semantics::locks` has each in words.
macro_rules! row_after {
    () => {
        concat!(
            "SELECT CASE WHEN c.free OR c.own THEN $2 ELSE l.holder END, \
             CASE WHEN c.free AND $5 THEN greatest(l.token + 1, excluded.token) ELSE l.token END, \
             CASE WHEN c.free OR c.own THEN t.now + $3 ELSE l.expires_us END, \
             CASE WHEN c.free OR c.own THEN $4 ELSE l.note END, \
             CASE WHEN c.own THEN l.waiter WHEN NOT c.free THEN coalesce($6, l.waiter) \
             WHEN l.waiter = $6 OR l.holder IS NULL AND l.expires_us > 0 \
             OR l.waiter_until_us <= t.now THEN NULL ELSE l.waiter END, \
             CASE WHEN c.noted THEN t.now - $7 ELSE l.waiter_since_us END, \
             CASE WHEN c.noted THEN t.now + 2000000 ELSE l.waiter_until_us END, \
             CASE WHEN c.noted AND (l.waiter IS NULL OR l.waiter_until_us <= t.now) \
             THEN l.token ELSE l.waiter_token END \
             FROM (SELECT ",
            now_us!(),
            " AS now) AS t, \
             LATERAL (SELECT coalesce(l.holder = $2, false) AND l.expires_us > t.now AS own, \
             l.expires_us <= t.now OR l.holder IS NULL \
             AND (l.waiter IS NULL OR l.waiter IS NOT DISTINCT FROM $6) AS free) AS f, \
             LATERAL (SELECT f.own, f.free AND NOT f.own AS free, \
             NOT f.free AND NOT f.own AND $6 IS NOT NULL AS noted) AS c"
        )
    };
}

/// Whether something is to be changed: it may be granted, or somebody has waited longer than who is noted, or says again
/// that it waits.
macro_rules! worth_it {
    () => {
        concat!(
            "l.holder = $2 OR l.expires_us <= ",
            now_us!(),
            " OR l.holder IS NULL AND (l.waiter IS NULL OR l.waiter = $6) \
             OR $6 IS NOT NULL AND l.holder IS NOT NULL AND (l.waiter IS NULL \
             OR l.waiter_until_us <= ",
            now_us!(),
            " OR CASE WHEN l.waiter = $6 THEN l.waiter_until_us <= ",
            now_us!(),
            " + 1000000 ELSE l.waiter_since_us > ",
            now_us!(),
            " - $7 END)"
        )
    };
}

/// `$1` name, `$2` holder, `$3` microseconds, `$4` note, `$5` whether it counts here, `$6` the process that waits or null,
/// `$7` for how many microseconds. One row: the token if it was granted, now, whether the ground holds, and of whoever had
/// it before the statement: token, end, note.
macro_rules! acquire {
    ($ground:expr, $lock:literal) => {
        concat!(
            "WITH ground AS MATERIALIZED (SELECT floor FROM mainstay_fleet WHERE ",
            $ground,
            " ",
            $lock,
            "), got AS (INSERT INTO mainstay_lock AS l (name, holder, token, expires_us, note) \
             SELECT $1, $2, CASE WHEN $5 THEN floor + 1 ELSE 0 END, ",
            now_us!(),
            " + $3, $4 FROM ground ON CONFLICT (name) DO UPDATE SET \
             (holder, token, expires_us, note, \
             waiter, waiter_since_us, waiter_until_us, waiter_token) = (",
            row_after!(),
            ") WHERE ",
            worth_it!(),
            " RETURNING holder = $2 AS granted, token), \
             granted AS (SELECT token FROM got WHERE granted) \
             SELECT greatest((SELECT token FROM granted), (SELECT floor FROM ground, granted)), ",
            now_us!(),
            ", EXISTS (SELECT 1 FROM ground), \
             greatest(l.token, (SELECT floor FROM ground)), l.expires_us, l.note \
             FROM (SELECT 1) AS one LEFT JOIN mainstay_lock AS l ON l.name = $1"
        )
    };
}

/// As `acquire!`, on free ground.
pub(in super::super) const ACQUIRE: &str = acquire!(free!(), "");
/// As `acquire!`, where this backend may vote.
pub(in super::super) const ACQUIRE_MEMBER: &str = acquire!(member!(), "");
/// As `acquire!`, `$8` epoch. No authority moves meanwhile.
pub(in super::super) const ACQUIRE_EPOCH: &str = acquire!(epoch!("$8"), "FOR SHARE");
/// As `acquire!`, `$8` identity.
pub(in super::super) const ACQUIRE_SERVER: &str = acquire!(server!("$8"), "");

/// `$1` name, `$2` holder, `$3` microseconds. One row: the token if it was renewed, now, whether the ground holds.
macro_rules! renew {
    ($ground:expr, $lock:literal) => {
        concat!(
            "WITH ground AS MATERIALIZED (SELECT 1 FROM mainstay_fleet WHERE ",
            $ground,
            " ",
            $lock,
            "), done AS (UPDATE mainstay_lock SET expires_us = ",
            now_us!(),
            " + $3 WHERE name = $1 AND holder = $2 AND expires_us > ",
            now_us!(),
            " AND EXISTS (SELECT 1 FROM ground) RETURNING token) \
             SELECT (SELECT token FROM done), ",
            now_us!(),
            ", EXISTS (SELECT 1 FROM ground)"
        )
    };
}

/// As `renew!`, on free ground.
pub(in super::super) const RENEW: &str = renew!(free!(), "");
/// As `renew!`, where this backend may vote.
pub(in super::super) const RENEW_MEMBER: &str = renew!(member!(), "");
/// As `renew!`, `$4` epoch. No authority moves meanwhile.
pub(in super::super) const RENEW_EPOCH: &str = renew!(epoch!("$4"), "FOR SHARE");
/// As `renew!`, `$4` identity.
pub(in super::super) const RENEW_SERVER: &str = renew!(server!("$4"), "");

/// `$1` name, `$2` holder, `$3` token.
pub(in super::super) const COMMIT: &str = concat!(
    "UPDATE mainstay_lock SET token = $3 \
     WHERE name = $1 AND holder = $2 AND token < $3 AND expires_us > ",
    now_us!(),
    " RETURNING token, ",
    now_us!()
);

/// `$1` name, `$2` holder, `$3` a channel, `$4` what is told there if somebody waits. Kept for who has let sixteen pass.
pub(in super::super) const RELEASE: &str = concat!(
    "WITH done AS (UPDATE mainstay_lock SET holder = NULL, expires_us = \
     CASE WHEN waiter IS NOT NULL AND token - waiter_token >= 16 AND waiter_until_us > ",
    now_us!(),
    " THEN ",
    now_us!(),
    " + 100000 ELSE 0 END WHERE name = $1 AND holder = $2 AND expires_us > ",
    now_us!(),
    " RETURNING token, waiter, waiter_until_us) SELECT token, ",
    now_us!(),
    ", CASE WHEN waiter_until_us > ",
    now_us!(),
    " THEN pg_notify($3, $4 || coalesce(encode(waiter, 'hex'), '')) END FROM done"
);

/// `$1` resource, `$2` token: the highest that has been seen. Holds the row until the transaction ends.
pub(in super::super) const FENCE: &str = concat!(
    "INSERT INTO mainstay_fence AS f (resource, token) VALUES ($1, $2) \
     ON CONFLICT (resource) DO UPDATE SET token = greatest(f.token, $2) RETURNING token, ",
    now_us!()
);

/// `$1` name to go on after or null, `$2` limit.
pub(in super::super) const LIST: &str = concat!(
    "SELECT name, token, CASE WHEN holder IS NULL THEN 0 ELSE expires_us END, note, ",
    now_us!(),
    ", holder FROM mainstay_lock WHERE $1::bytea IS NULL OR name > $1 ORDER BY name LIMIT $2"
);

/// `$1` the identity of a database that has none.
pub(in super::super) const MEMBER: &str = concat!(
    "UPDATE mainstay_fleet SET since_us = CASE WHEN identity = '' THEN ",
    now_us!(),
    " ELSE since_us END, identity = CASE WHEN identity = '' THEN $1 ELSE identity END \
     RETURNING identity, admitted_as = identity, ",
    now_us!(),
    " - since_us, greatest(floor, (SELECT coalesce(max(token), 0) FROM mainstay_lock))"
);

/// `$1` identity, `$2` floor.
pub(in super::super) const ADMIT: &str = concat!(
    "UPDATE mainstay_fleet SET admitted_as = identity, floor = greatest(floor, $2) \
     WHERE identity = $1 AND identity <> '' RETURNING floor, ",
    now_us!()
);

/// Who grants.
pub(in super::super) const AUTHORITY: &str = concat!(
    "SELECT epoch, backend, seat_identity, ttl_max_us, view_us, not_before_us, ",
    now_us!(),
    " FROM mainstay_fleet"
);

/// `$1` epoch, `$2` backend, `$3` its identity, `$4` longest lease, `$5` view, `$6` wait; what is left of the wait before
/// stands. Waits for those who are granted locks at this epoch.
pub(in super::super) const MOVE: &str = concat!(
    "UPDATE mainstay_fleet SET epoch = epoch + 1, backend = $2, seat_identity = $3, \
     ttl_max_us = $4, view_us = $5, not_before_us = greatest(not_before_us, ",
    now_us!(),
    " + $6) WHERE epoch = $1 RETURNING epoch, ",
    now_us!()
);
