//! One line for each command.
//! It must not know how the table is searched.

use super::{Handler, Kind, Spec};
use crate::resp::command::{
    Context, Job, Parsed, Request,
    data::{counters, expiry, invalidate, keys, scan, strings, write},
    local::{client, config, handshake, info, introspect, own, server},
    locks, script,
};

const NO_KEYS: (i64, i64, i64) = (0, 0, 0);
const ONE: (i64, i64, i64) = (1, 1, 1);
const TWO: (i64, i64, i64) = (1, 2, 1);
const ALL: (i64, i64, i64) = (1, -1, 1);
const PAIRS: (i64, i64, i64) = (1, -1, 2);

type Data = fn(&Request<'_>) -> Parsed<Job>;
type Local = fn(&mut Context<'_>) -> Parsed<()>;
type Keys = (i64, i64, i64);

const fn data(
    name: &'static str,
    arity: i64,
    keys: Keys,
    (group, kind): (&'static str, Kind),
    handler: Data,
    summary: &'static str,
) -> Spec {
    Spec { name, arity, keys, kind, group, summary, handler: Handler::Data(handler) }
}

const fn local(
    name: &'static str,
    arity: i64,
    (group, kind): (&'static str, Kind),
    handler: Local,
    summary: &'static str,
) -> Spec {
    Spec { name, arity, keys: NO_KEYS, kind, group, summary, handler: Handler::Local(handler) }
}

const fn open(name: &'static str, arity: i64, handler: Local, summary: &'static str) -> Spec {
    Spec {
        name,
        arity,
        keys: NO_KEYS,
        kind: Kind::Connection,
        group: "connection",
        summary,
        handler: Handler::Open(handler),
    }
}

const STRING_READ: (&str, Kind) = ("string", Kind::Read);
const STRING_WRITE: (&str, Kind) = ("string", Kind::Write);
const KEY_READ: (&str, Kind) = ("generic", Kind::Read);
const KEY_WRITE: (&str, Kind) = ("generic", Kind::Write);
const CONNECTION: (&str, Kind) = ("connection", Kind::Connection);
const SERVER: (&str, Kind) = ("server", Kind::Connection);
const CLUSTER: (&str, Kind) = ("cluster", Kind::Connection);
const ADMIN: (&str, Kind) = ("server", Kind::Admin);
const LOCK: (&str, Kind) = ("lock", Kind::Write);
const SCRIPT: (&str, Kind) = ("scripting", Kind::Write);
const SCRIPT_READ: (&str, Kind) = ("scripting", Kind::Read);
const FLUSH: (&str, Kind) = ("server", Kind::Write);

pub(super) static GET: Spec =
    data("get", 2, ONE, STRING_READ, strings::get, "Returns the string value of a key.");
pub(super) static SET: Spec =
    data("set", -3, ONE, STRING_WRITE, write::set, "Sets the string value of a key.");

/// Every command, by name.
pub(in crate::resp) static TABLE: &[&Spec] = &[
    &data(
        "append",
        3,
        ONE,
        STRING_WRITE,
        strings::append,
        "Appends a string to the value of a key.",
    ),
    &open("auth", -2, handshake::auth, "Authenticates the connection."),
    &local("client", -2, CONNECTION, client::client, "A container for client connection commands."),
    &local("cluster", -2, CLUSTER, server::cluster, "Refused: this is not a cluster."),
    &local(
        "command",
        -1,
        SERVER,
        introspect::command,
        "Returns detailed information about all commands.",
    ),
    &local("config", -2, ADMIN, config::config, "A container for server configuration commands."),
    &data("copy", -3, TWO, KEY_WRITE, keys::copy, "Copies the value of a key to a new key."),
    &data(
        "dbsize",
        1,
        NO_KEYS,
        ("server", Kind::Read),
        scan::dbsize,
        "Returns the number of keys.",
    ),
    &data(
        "decr",
        2,
        ONE,
        STRING_WRITE,
        counters::decr,
        "Decrements the integer value of a key by one.",
    ),
    &data(
        "decrby",
        3,
        ONE,
        STRING_WRITE,
        counters::decrby,
        "Decrements the integer value of a key by a number.",
    ),
    &data("del", -2, ALL, KEY_WRITE, write::del, "Deletes one or more keys."),
    &data(
        "delex",
        -2,
        ONE,
        STRING_WRITE,
        write::delex,
        "Deletes a key if its value meets a condition.",
    ),
    &local("echo", 2, CONNECTION, handshake::echo, "Returns the given string."),
    &data("eval", -3, NO_KEYS, SCRIPT, script::eval, "Executes a server-side Lua script."),
    &data(
        "eval_ro",
        -3,
        NO_KEYS,
        SCRIPT_READ,
        script::eval_ro,
        "Executes a read-only server-side Lua script.",
    ),
    &data(
        "evalsha",
        -3,
        NO_KEYS,
        SCRIPT,
        script::evalsha,
        "Executes a server-side Lua script by SHA1 digest.",
    ),
    &data(
        "evalsha_ro",
        -3,
        NO_KEYS,
        SCRIPT_READ,
        script::evalsha_ro,
        "Executes a read-only server-side Lua script by SHA1 digest.",
    ),
    &data("exists", -2, ALL, KEY_READ, keys::exists, "Determines whether one or more keys exist."),
    &data(
        "expire",
        -3,
        ONE,
        KEY_WRITE,
        expiry::expire,
        "Sets the expiration time of a key in seconds.",
    ),
    &data(
        "expireat",
        -3,
        ONE,
        KEY_WRITE,
        expiry::expireat,
        "Sets the expiration time of a key to a Unix timestamp.",
    ),
    &data(
        "expiretime",
        2,
        ONE,
        KEY_READ,
        expiry::expiretime,
        "Returns the expiration time of a key as a Unix timestamp.",
    ),
    &data(
        "flushall",
        -1,
        NO_KEYS,
        FLUSH,
        scan::flush,
        "Removes all keys, where the configuration allows it.",
    ),
    &data(
        "flushdb",
        -1,
        NO_KEYS,
        FLUSH,
        scan::flush,
        "Removes all keys, where the configuration allows it.",
    ),
    &GET,
    &data(
        "getdel",
        2,
        ONE,
        STRING_WRITE,
        strings::getdel,
        "Returns the string value of a key after deleting the key.",
    ),
    &data(
        "getex",
        -2,
        ONE,
        STRING_WRITE,
        strings::getex,
        "Returns the string value of a key after setting its expiration time.",
    ),
    &data(
        "getrange",
        4,
        ONE,
        STRING_READ,
        strings::getrange,
        "Returns a substring of the string stored at a key.",
    ),
    &data(
        "getset",
        3,
        ONE,
        STRING_WRITE,
        strings::getset,
        "Returns the previous string value of a key after setting it to a new value.",
    ),
    &open("hello", -1, handshake::hello, "Handshakes with the server."),
    &data(
        "incr",
        2,
        ONE,
        STRING_WRITE,
        counters::incr,
        "Increments the integer value of a key by one.",
    ),
    &data(
        "incrby",
        3,
        ONE,
        STRING_WRITE,
        counters::incrby,
        "Increments the integer value of a key by a number.",
    ),
    &data(
        "incrbyfloat",
        3,
        ONE,
        STRING_WRITE,
        counters::incrbyfloat,
        "Increments the floating point value of a key by a number.",
    ),
    &local("info", -1, SERVER, info::info, "Returns information and statistics about the server."),
    &data("keys", 2, NO_KEYS, KEY_READ, scan::keys, "Returns all key names that match a pattern."),
    &local(
        "mainstay.breaker",
        -3,
        ADMIN,
        own::breaker,
        "Forces the breaker of a backend, or gives it back.",
    ),
    &local("mainstay.events", -1, ADMIN, own::events, "Returns the last events as JSON."),
    &local("mainstay.help", 1, SERVER, own::own_help, "Explains the commands of Mainstay itself."),
    &data(
        "mainstay.invalidate",
        -3,
        NO_KEYS,
        KEY_WRITE,
        invalidate::invalidate,
        "Ends loaded values by key, prefix or tag.",
    ),
    &data(
        "mainstay.lock",
        -2,
        NO_KEYS,
        LOCK,
        locks::lock,
        "Takes a lock: holder, token, guarantee and milliseconds; nil while somebody else holds it.",
    ),
    &data(
        "mainstay.meta",
        2,
        ONE,
        KEY_READ,
        keys::meta,
        "Returns where the value of a key comes from and what it is worth.",
    ),
    &data(
        "mainstay.renew",
        -4,
        NO_KEYS,
        LOCK,
        locks::renew,
        "Renews a lock: 0 when its lease had ended.",
    ),
    &local("mainstay.status", 1, SERVER, own::status, "Returns the state of the storage as JSON."),
    &data(
        "mainstay.unlock",
        4,
        NO_KEYS,
        LOCK,
        locks::unlock,
        "Releases a lock: 0 when its lease had ended before.",
    ),
    &data(
        "mget",
        -2,
        ALL,
        STRING_READ,
        strings::mget,
        "Returns the string values of one or more keys.",
    ),
    &data(
        "mset",
        -3,
        PAIRS,
        STRING_WRITE,
        write::mset,
        "Sets the string values of one or more keys.",
    ),
    &data(
        "msetnx",
        -3,
        PAIRS,
        STRING_WRITE,
        write::msetnx,
        "Sets the string values of one or more keys when none of them exists.",
    ),
    &data("persist", 2, ONE, KEY_WRITE, expiry::persist, "Removes the expiration time of a key."),
    &data(
        "pexpire",
        -3,
        ONE,
        KEY_WRITE,
        expiry::pexpire,
        "Sets the expiration time of a key in milliseconds.",
    ),
    &data(
        "pexpireat",
        -3,
        ONE,
        KEY_WRITE,
        expiry::pexpireat,
        "Sets the expiration time of a key to a Unix milliseconds timestamp.",
    ),
    &data(
        "pexpiretime",
        2,
        ONE,
        KEY_READ,
        expiry::pexpiretime,
        "Returns the expiration time of a key as a Unix milliseconds timestamp.",
    ),
    &local("ping", -1, CONNECTION, handshake::ping, "Returns the server's liveliness response."),
    &data(
        "psetex",
        4,
        ONE,
        STRING_WRITE,
        write::psetex,
        "Sets the value and the expiration time in milliseconds of a key.",
    ),
    &data(
        "pttl",
        2,
        ONE,
        KEY_READ,
        expiry::pttl,
        "Returns the expiration time in milliseconds of a key.",
    ),
    &open("quit", -1, handshake::quit, "Closes the connection."),
    &data("randomkey", 1, NO_KEYS, KEY_READ, scan::randomkey, "Returns some key name."),
    &local("readonly", 1, CLUSTER, server::no_cluster, "Refused: this is not a cluster."),
    &local("readwrite", 1, CLUSTER, server::no_cluster, "Refused: this is not a cluster."),
    &data(
        "rename",
        3,
        TWO,
        KEY_WRITE,
        keys::rename,
        "Renames a key and overwrites the destination.",
    ),
    &data(
        "renamenx",
        3,
        TWO,
        KEY_WRITE,
        keys::renamenx,
        "Renames a key only when the target key name doesn't exist.",
    ),
    &open("reset", 1, handshake::reset, "Resets the connection."),
    &local("role", 1, SERVER, server::role, "Returns the replication role."),
    &data("scan", -2, NO_KEYS, KEY_READ, scan::scan, "Iterates over the key names."),
    &data(
        "script",
        -2,
        NO_KEYS,
        SCRIPT_READ,
        script::script,
        "A container for Lua scripts management commands.",
    ),
    &local(
        "select",
        2,
        CONNECTION,
        handshake::select,
        "Changes the selected database; there is only 0.",
    ),
    &SET,
    &data(
        "setex",
        4,
        ONE,
        STRING_WRITE,
        write::setex,
        "Sets the string value and expiration time of a key.",
    ),
    &data(
        "setnx",
        3,
        ONE,
        STRING_WRITE,
        write::setnx,
        "Sets the string value of a key only when the key doesn't exist.",
    ),
    &data(
        "setrange",
        4,
        ONE,
        STRING_WRITE,
        strings::setrange,
        "Overwrites a part of a string value with another by an offset.",
    ),
    &data("strlen", 2, ONE, STRING_READ, strings::strlen, "Returns the length of a string value."),
    &data(
        "substr",
        4,
        ONE,
        STRING_READ,
        strings::getrange,
        "Returns a substring from a string value.",
    ),
    &local("time", 1, SERVER, server::time, "Returns the server time."),
    &data(
        "touch",
        -2,
        ALL,
        KEY_READ,
        keys::exists,
        "Returns the number of existing keys out of those specified.",
    ),
    &data("ttl", 2, ONE, KEY_READ, expiry::ttl, "Returns the expiration time in seconds of a key."),
    &data("type", 2, ONE, KEY_READ, keys::type_of, "Determines the type of value stored at a key."),
    &data("unlink", -2, ALL, KEY_WRITE, write::del, "Deletes one or more keys."),
    &local(
        "wait",
        3,
        ("generic", Kind::Connection),
        server::wait,
        "Returns 0: there are no replicas of this server.",
    ),
];
