//! The Lua scripts for what no single command of every supported server can do.
//! It must not know how they are sent.

use std::{fmt, sync::LazyLock};

use redis::{Cmd, Script};

use crate::entry::Key;

/// One script, known to the server by its hash.
pub(super) struct Lua {
    code: &'static str,
    script: LazyLock<Script>,
}

impl fmt::Debug for Lua {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lua").field(&self.script.get_hash()).finish()
    }
}

impl Lua {
    pub(super) const fn new(code: &'static str, script: fn() -> Script) -> Self {
        Self { code, script: LazyLock::new(script) }
    }

    /// A call of this script on these keys; the arguments follow.
    pub(super) fn on(&self, keys: &[&Key]) -> Cmd {
        let size = keys.iter().map(|key| key.as_bytes().len()).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + keys.len() + 6, 64 + size);
        command.arg("EVALSHA").arg(self.script.get_hash()).arg(keys.len());
        for key in keys {
            command.arg(key.as_bytes());
        }
        command
    }

    /// The command that makes the script known to a server.
    pub(super) fn load(&self) -> Cmd {
        redis::cmd("SCRIPT").arg("LOAD").arg(self.code).take()
    }
}

macro_rules! lua {
    ($(#[$doc:meta])* $name:ident, $code:expr) => {
        $(#[$doc])*
        pub(super) static $name: $crate::backend::redis::script::Lua =
            $crate::backend::redis::script::Lua::new($code, || redis::Script::new($code));
    };
}
pub(super) use lua;

/// Shared by SET and DELETE: leaves when the condition does not hold.
/// ARGV: condition, operand, whether the previous value is wanted.
macro_rules! conditional {
    ($rest:literal) => {
        concat!(
            "local current = redis.call('GET', KEYS[1])\n\
             local condition, holds = ARGV[1], true\n\
             if condition == 'ABSENT' then holds = not current\n\
             elseif condition == 'PRESENT' then holds = current\n\
             elseif condition == 'IS' then holds = current == ARGV[2]\n\
             elseif condition == 'ISNOT' then holds = current ~= ARGV[2] end\n\
             local previous = ARGV[3] == '1' and current\n\
             if previous and string.sub(previous, 1, 15) == '\\0mainstay:hash\\1' then\n\
               return redis.error_reply('WRONGTYPE Operation against a key holding the wrong kind of value')\n\
             end\n\
             if not holds then return {0, previous} end\n",
            $rest
        )
    };
}

/// Leaves where the key holds a hash (`crate::hash::MARK`): the script after it would look into it, or spoil it.
macro_rules! strings_only {
    ($rest:literal) => {
        concat!(
            "if redis.call('GETRANGE', KEYS[1], 0, 14) == '\\0mainstay:hash\\1' then\n\
               return redis.error_reply('WRONGTYPE Operation against a key holding the wrong kind of value')\n\
             end\n",
            $rest
        )
    };
}

lua!(
    /// ARGV: condition, operand, previous wanted, value, then the words of the expiry, if any.
    /// → {applied, previous or nil}.
    SET,
    conditional!(
        "if #ARGV == 4 then redis.call('SET', KEYS[1], ARGV[4])\n\
         else redis.call('SET', KEYS[1], ARGV[4], unpack(ARGV, 5)) end\n\
         return {1, previous}"
    )
);

lua!(
    /// ARGV: condition, operand, previous wanted. → {applied, previous or nil}.
    DELETE,
    conditional!(
        "if not current then return {0, previous} end\n\
         redis.call('UNLINK', KEYS[1])\n\
         return {1, previous}"
    )
);

lua!(
    /// Sets all keys or none. ARGV: the two words of the expiry, then the values. → applied.
    SET_ALL_ABSENT,
    "for _, key in ipairs(KEYS) do if redis.call('EXISTS', key) == 1 then return 0 end end\n\
     for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 2], ARGV[1], ARGV[2]) end\n\
     return 1"
);

lua!(
    /// PEXPIRE and PEXPIREAT with a condition, for servers before 7.0. ARGV: command, milliseconds, condition.
    /// → applied.
    EXPIRE_IF,
    "local left = redis.call('PTTL', KEYS[1])\n\
     if left == -2 then return 0 end\n\
     local wanted = tonumber(ARGV[2])\n\
     if ARGV[1] == 'PEXPIREAT' then\n\
       local now = redis.call('TIME')\n\
       wanted = wanted - (now[1] * 1000 + math.floor(now[2] / 1000))\n\
     end\n\
     local condition = ARGV[3]\n\
     if condition == 'NX' and left ~= -1 then return 0 end\n\
     if condition == 'XX' and left == -1 then return 0 end\n\
     if condition == 'GT' and (left == -1 or wanted <= left) then return 0 end\n\
     if condition == 'LT' and left ~= -1 and wanted >= left then return 0 end\n\
     return redis.call(ARGV[1], KEYS[1], ARGV[2])"
);

lua!(
    /// Changes keys when all expected ones hold that. KEYS: the expected, then the changed. ARGV: how many are expected; of
    /// each whether it is there, and its value; of each change its kind (P, X, D), its value, and the two words of its
    /// expiry. → applied.
    TRANSACT,
    "local expected, at = tonumber(ARGV[1]), 2\n\
     for i = 1, expected do\n\
       local current = redis.call('GET', KEYS[i])\n\
       if ARGV[at] == '1' then\n\
         if current ~= ARGV[at + 1] then return 0 end\n\
       elseif current then return 0 end\n\
       at = at + 2\n\
     end\n\
     for i = expected + 1, #KEYS do\n\
       local key, kind, word = KEYS[i], ARGV[at], ARGV[at + 2]\n\
       if kind == 'D' then redis.call('UNLINK', key)\n\
       elseif kind == 'X' and word == 'PERSIST' then redis.call(word, key)\n\
       elseif kind == 'X' then redis.call(word, key, ARGV[at + 3])\n\
       elseif word == '' then redis.call('SET', key, ARGV[at + 1])\n\
       elseif word == 'KEEPTTL' then redis.call('SET', key, ARGV[at + 1], word)\n\
       else redis.call('SET', key, ARGV[at + 1], word, ARGV[at + 3]) end\n\
       at = at + 4\n\
     end\n\
     return 1"
);

lua!(
    /// APPEND within a limit. ARGV: value, the longest length. → the new length, or -1 - the length that is there.
    APPEND,
    strings_only!(
        "local length = redis.call('STRLEN', KEYS[1])\n\
     if length + #ARGV[1] > tonumber(ARGV[2]) then return -1 - length end\n\
     return redis.call('APPEND', KEYS[1], ARGV[1])"
    )
);

lua!(
    /// SETRANGE. ARGV: offset, value. → the new length.
    SET_RANGE,
    strings_only!("return redis.call('SETRANGE', KEYS[1], ARGV[1], ARGV[2])")
);

lua!(
    /// Copies unless the target exists. → -1 without a source, else applied.
    COPY_IF_ABSENT,
    "if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end\n\
     return redis.call('COPY', KEYS[1], KEYS[2])"
);
