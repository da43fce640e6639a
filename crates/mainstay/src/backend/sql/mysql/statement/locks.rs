//! The statements on locks, fences and the fleet: a change and a look at what it did, sent as one text. Names are never
//! text: they are hexadecimal.
//! It must not know connections, nor when each is sent.

use super::record::hex;
use crate::{
    backend::semantics::{control::micros, locks::Asking},
    op::{Counting, Ground, LockOp, Seat, Waiter},
};

pub(super) const CREATE_LOCK: &str = "CREATE TABLE IF NOT EXISTS mainstay_lock (
        name VARBINARY(2048) NOT NULL PRIMARY KEY,
        holder BINARY(16),
        token BIGINT UNSIGNED NOT NULL,
        expires_us BIGINT NOT NULL,
        note VARBINARY(1024) NOT NULL,
        waiter BINARY(16),
        waiter_since_us BIGINT NOT NULL DEFAULT 0,
        waiter_until_us BIGINT NOT NULL DEFAULT 0,
        waiter_token BIGINT UNSIGNED NOT NULL DEFAULT 0
    ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";

/// Whether the table is older than those who wait: schema 3.
pub(in super::super) const LACKS_WAITERS: &str = "SELECT COUNT(*) = 0 FROM information_schema.columns \
     WHERE table_schema = DATABASE() AND table_name = 'mainstay_lock' AND column_name = 'waiter'";

/// What it lacks then.
pub(in super::super) const ADD_WAITERS: &str = "ALTER TABLE mainstay_lock ADD COLUMN waiter BINARY(16), \
     ADD COLUMN waiter_since_us BIGINT NOT NULL DEFAULT 0, \
     ADD COLUMN waiter_until_us BIGINT NOT NULL DEFAULT 0, \
     ADD COLUMN waiter_token BIGINT UNSIGNED NOT NULL DEFAULT 0";

pub(super) const CREATE_FENCE: &str = "CREATE TABLE IF NOT EXISTS mainstay_fence (
        resource VARBINARY(2048) NOT NULL PRIMARY KEY,
        token BIGINT UNSIGNED NOT NULL
    ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";

pub(super) const CREATE_FLEET: &str = "CREATE TABLE IF NOT EXISTS mainstay_fleet (
        id TINYINT NOT NULL PRIMARY KEY,
        epoch BIGINT UNSIGNED NOT NULL,
        backend VARBINARY(255) NOT NULL,
        seat_identity VARBINARY(512) NOT NULL,
        ttl_max_us BIGINT NOT NULL,
        view_us BIGINT NOT NULL,
        not_before_us BIGINT NOT NULL,
        identity VARBINARY(512) NOT NULL,
        since_us BIGINT NOT NULL,
        admitted_as VARBINARY(512) NOT NULL,
        floor BIGINT UNSIGNED NOT NULL
    ) ENGINE = InnoDB";

pub(super) const FIRST_FLEET: &str = "INSERT INTO mainstay_fleet (id, epoch, backend, seat_identity, ttl_max_us, view_us, not_before_us, \
     identity, since_us, admitted_as, floor) VALUES (1, 0, '', '', 0, 0, 0, '', 0, '', 0) ON DUPLICATE KEY UPDATE id = id";

/// Name to go on after, or empty, limit.
pub(in super::super) const LIST: &str = concat!(
    "SELECT name, token, IF(holder IS NULL, 0, expires_us), note, ",
    now_us!(),
    ", holder FROM mainstay_lock WHERE name > ? ORDER BY name LIMIT ?"
);

/// Who grants.
pub(in super::super) const AUTHORITY: &str = concat!(
    "SELECT epoch, backend, seat_identity, ttl_max_us, view_us, not_before_us, ",
    now_us!(),
    " FROM mainstay_fleet"
);

/// A row for a lock that has none.
pub(in super::super) fn new_lock(name: &[u8]) -> String {
    let name = hex(name);
    format!(
        "INSERT IGNORE INTO mainstay_lock (name, holder, token, expires_us, note) VALUES ({name}, NULL, 0, 0, '')"
    )
}

/// What must hold besides, as a condition on the row of the fleet.
fn condition(ground: &Ground) -> String {
    match ground {
        Ground::Free => "1 = 1".to_owned(),
        Ground::Member => "admitted_as = identity AND identity <> ''".to_owned(),
        Ground::Epoch(epoch) => {
            format!(concat!("epoch = {} AND not_before_us <= ", clock_us!()), epoch)
        }
        Ground::Server(identity) => {
            let identity = hex(identity.as_bytes());
            format!("identity = {identity} AND admitted_as = identity AND identity <> ''")
        }
    }
}

/// In a change: no authority moves before it is committed.
fn held(ground: &Ground) -> String {
    match ground {
        Ground::Free => "1 = 1".to_owned(),
        Ground::Epoch(_) => {
            let condition = condition(ground);
            format!("EXISTS (SELECT 1 FROM mainstay_fleet WHERE {condition} LOCK IN SHARE MODE)")
        }
        Ground::Member | Ground::Server(_) => {
            format!("EXISTS (SELECT 1 FROM mainstay_fleet WHERE {})", condition(ground))
        }
    }
}

/// Before a change on the ground of an epoch: whether it holds already. What a change finds not yet open may be open when
/// it is looked at, and would be taken for somebody's lock; an epoch that is open stays so until it moves.
fn first(ground: &Ground) -> String {
    match ground {
        Ground::Epoch(_) => {
            let condition = condition(ground);
            format!("SET @mainstay_open = (SELECT {condition} FROM mainstay_fleet); ")
        }
        Ground::Free | Ground::Member | Ground::Server(_) => String::new(),
    }
}

/// Rows changed, the last insert identifier, now, whether the ground holds and held; then of the lock: its counter with
/// the floor, end, note, or nulls where there is no row.
fn look(name: &[u8], ground: &Ground) -> String {
    format!(
        concat!(
            "SELECT ROW_COUNT(), LAST_INSERT_ID(), ",
            clock_us!(),
            ", ({before}{ground}), GREATEST(l.token, f.floor), l.expires_us, l.note \
             FROM mainstay_fleet f LEFT JOIN mainstay_lock l ON l.name = {name}"
        ),
        before = if matches!(ground, Ground::Epoch(_)) { "@mainstay_open AND " } else { "" },
        ground = condition(ground),
        name = hex(name)
    )
}

/// A change before an acquisition: if it is held, who has waited longest is noted. Each condition is read before what it
/// looks at is assigned.
fn note_waiter(name: &str, holder: &str, waiter: &Waiter, ground: &str) -> String {
    format!(
        concat!(
            "UPDATE mainstay_lock SET waiter_token = IF(waiter IS NULL OR waiter_until_us <= ",
            clock_us!(),
            ", token, waiter_token), waiter = {waiter}, waiter_since_us = ",
            clock_us!(),
            " - {waited}, waiter_until_us = ",
            clock_us!(),
            " + 2000000 WHERE name = {name} AND holder <> {holder} AND expires_us > ",
            clock_us!(),
            " AND (waiter IS NULL OR waiter_until_us <= ",
            clock_us!(),
            " OR IF(waiter = {waiter}, waiter_until_us <= ",
            clock_us!(),
            " + 1000000, waiter_since_us > ",
            clock_us!(),
            " - {waited})) AND {ground}; "
        ),
        name = name,
        holder = holder,
        waiter = hex(&waiter.process.to_be_bytes()),
        waited = micros(waiter.waited),
        ground = ground
    )
}

/// `LockOp::Acquire`: the row's token before its holder, for assignments run from left to right; likewise the waiter
/// before what says that the lock was kept.
pub(in super::super) fn acquire(name: &[u8], asking: &Asking<'_>, ground: &Ground) -> String {
    let Asking { holder, ttl, counting, note, waiter } = *asking;
    let holder = hex(&holder.to_be_bytes());
    let process = waiter.map_or("NULL".to_owned(), |own| hex(&own.process.to_be_bytes()));
    let noted = waiter.map(|own| note_waiter(&hex(name), &holder, &own, &held(ground)));
    let floor = "(SELECT floor FROM mainstay_fleet)";
    let token = match counting {
        Counting::Here => format!(
            concat!(
                "LAST_INSERT_ID(IF(holder <=> {holder} AND expires_us > ",
                clock_us!(),
                ", GREATEST(token, {floor}), GREATEST(token, {floor}) + 1))"
            ),
            holder = holder,
            floor = floor
        ),
        // Only told.
        Counting::Later => format!("token + 0 * LAST_INSERT_ID(GREATEST(token, {floor}))"),
    };
    format!(
        concat!(
            "{first}{noted}UPDATE mainstay_lock SET token = {token}, \
             waiter = IF(holder = {holder} AND expires_us > ",
            clock_us!(),
            ", waiter, IF(waiter <=> {process} OR holder IS NULL AND expires_us > 0 \
             OR waiter_until_us <= ",
            clock_us!(),
            ", NULL, waiter)), holder = {holder}, note = {note}, expires_us = ",
            clock_us!(),
            " + {ttl} WHERE name = {name} AND (holder = {holder} OR expires_us <= ",
            clock_us!(),
            " OR holder IS NULL AND (waiter IS NULL OR waiter = {process})) \
             AND {ground}; {look}"
        ),
        first = first(ground),
        noted = noted.unwrap_or_default(),
        process = process,
        token = token,
        holder = holder,
        note = hex(note.as_bytes()),
        ttl = micros(ttl),
        name = hex(name),
        ground = held(ground),
        look = look(name, ground)
    )
}

/// `LockOp::Renew`.
pub(in super::super) fn renew(
    name: &[u8],
    holder: u128,
    ttl: std::time::Duration,
    ground: &Ground,
) -> String {
    format!(
        concat!(
            "{first}UPDATE mainstay_lock SET expires_us = ",
            clock_us!(),
            " + {ttl} WHERE name = {name} AND holder = {holder} AND expires_us > ",
            clock_us!(),
            " AND {ground}; {look}"
        ),
        first = first(ground),
        ttl = micros(ttl),
        name = hex(name),
        holder = hex(&holder.to_be_bytes()),
        ground = held(ground),
        look = look(name, ground)
    )
}

/// `LockOp::Commit`.
pub(in super::super) fn commit(name: &[u8], holder: u128, token: u64) -> String {
    format!(
        concat!(
            "UPDATE mainstay_lock SET token = {token} WHERE name = {name} AND holder = {holder} \
             AND token < {token} AND expires_us > ",
            clock_us!(),
            "; {look}"
        ),
        token = token,
        name = hex(name),
        holder = hex(&holder.to_be_bytes()),
        look = look(name, &Ground::Free)
    )
}

/// `LockOp::Release`. Kept for who has let sixteen pass.
pub(in super::super) fn release(name: &[u8], holder: u128) -> String {
    let (shown, holder) = (look(name, &Ground::Free), hex(&holder.to_be_bytes()));
    format!(
        concat!(
            "UPDATE mainstay_lock SET holder = NULL, expires_us = \
             IF(waiter IS NOT NULL AND token >= waiter_token + 16 AND waiter_until_us > ",
            clock_us!(),
            ", ",
            clock_us!(),
            " + 100000, 0) WHERE name = {name} AND holder = {holder} AND expires_us > ",
            clock_us!(),
            "; {shown}"
        ),
        name = hex(name),
        holder = holder,
        shown = shown
    )
}

/// `LockOp::Fence`, and the first step of a fenced write: the highest token that has been seen, and now.
pub(in super::super) fn fence(resource: &[u8], token: u64) -> String {
    let resource = hex(resource);
    format!(
        concat!(
            "INSERT INTO mainstay_fence (resource, token) VALUES ({resource}, {token}) \
             ON DUPLICATE KEY UPDATE token = GREATEST(token, {token}); SELECT token, ",
            clock_us!(),
            " FROM mainstay_fence WHERE resource = {resource}"
        ),
        resource = resource,
        token = token
    )
}

/// `LockOp::Member`: identity, whether it may vote, how long it has been this one, its highest counter.
pub(in super::super) fn member(id: u128) -> String {
    let id = hex(format!("{id:032x}").as_bytes());
    format!(
        concat!(
            "UPDATE mainstay_fleet SET since_us = IF(identity = '', ",
            clock_us!(),
            ", since_us), identity = IF(identity = '', {id}, identity); \
             SELECT identity, admitted_as = identity, ",
            clock_us!(),
            " - since_us, GREATEST(floor, (SELECT COALESCE(MAX(token), 0) FROM mainstay_lock)) FROM mainstay_fleet"
        ),
        id = id
    )
}

/// `LockOp::Admit`: whether it is this one, its floor, now.
pub(in super::super) fn admit(identity: &str, floor: u64) -> String {
    let identity = hex(identity.as_bytes());
    format!(
        concat!(
            "UPDATE mainstay_fleet SET admitted_as = identity, floor = GREATEST(floor, {floor}) \
             WHERE identity = {identity} AND identity <> ''; \
             SELECT identity = {identity} AND identity <> '' AND admitted_as = identity, floor, ",
            clock_us!(),
            " FROM mainstay_fleet"
        ),
        floor = floor,
        identity = identity
    )
}

/// `LockOp::Move`: rows changed, the epoch, now. What is left of the wait before stands. Waits for those who are granted locks at this epoch.
pub(in super::super) fn move_on(epoch: u64, to: &Seat, wait: std::time::Duration) -> String {
    format!(
        concat!(
            "UPDATE mainstay_fleet SET epoch = epoch + 1, backend = {backend}, seat_identity = {identity}, \
             ttl_max_us = {ttl_max}, view_us = {view}, not_before_us = GREATEST(not_before_us, ",
            clock_us!(),
            " + {wait}) WHERE epoch = {epoch}; SELECT ROW_COUNT(), epoch, ",
            clock_us!(),
            " FROM mainstay_fleet"
        ),
        backend = hex(to.backend.as_bytes()),
        identity = hex(to.identity.as_bytes()),
        ttl_max = micros(to.ttl_max),
        view = micros(to.view),
        wait = micros(wait),
        epoch = epoch
    )
}

/// The text of an operation on one row; `None` for the others.
pub(in super::super) fn of(op: &LockOp) -> Option<String> {
    match op {
        LockOp::Acquire { name, holder, ttl, counting, note, ground, waiter } => {
            let (holder, ttl, counting, waiter) = (*holder, *ttl, *counting, *waiter);
            let asking = Asking { holder, ttl, counting, note, waiter };
            Some(acquire(name.as_bytes(), &asking, ground))
        }
        LockOp::Commit { name, holder, token } => Some(commit(name.as_bytes(), *holder, *token)),
        LockOp::Renew { name, holder, ttl, ground } => {
            Some(renew(name.as_bytes(), *holder, *ttl, ground))
        }
        LockOp::Release { name, holder } => Some(release(name.as_bytes(), *holder)),
        LockOp::Fence { .. }
        | LockOp::List { .. }
        | LockOp::Member { .. }
        | LockOp::Admit { .. }
        | LockOp::Authority
        | LockOp::Move { .. } => None,
    }
}
