//! The scripts of well-known lock clients, by their SHA-1: what each means, in words of our own.
//! It must not know where the keys are.
//!
//! A client that sends EVALSHA first finds its script here without having loaded it, also after Mainstay was restarted.

use std::time::Duration;

use bytes::Bytes;
use mainstay::{Change, Condition, Key, Op, TtlChange};

/// A script that is known before it was sent.
#[derive(Debug)]
pub(crate) struct Known {
    /// Does what the client's own text does.
    pub(crate) text: &'static str,
    pub(crate) native: Option<Native>,
}

/// What can be done in one step without running the script. `skip`: arguments before the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Native {
    /// Deletes the one key if it holds the token.
    Release { skip: usize },
    /// The same of several keys, each by itself; natively of one only.
    ReleaseEach { skip: usize },
    /// Gives the one key another expiry (milliseconds) if it holds the token.
    Extend,
    /// Sets all keys to the token, with an expiry, if there is none of them; how many.
    AcquireAll { skip: usize },
    /// The same if all of them hold the token.
    ExtendAll { skip: usize },
}

impl Native {
    /// The operation, and what it answers when it is applied. `None`: these arguments are for the script itself.
    pub(crate) fn op(self, keys: &[Bytes], argv: &[Bytes]) -> Option<(Op, i64)> {
        match self {
            Self::Release { skip } | Self::ReleaseEach { skip } => {
                let [key] = keys else { return None };
                let condition = Condition::ValueIs(argv.get(skip)?.clone());
                let key = Key::from(key.clone());
                Some((Op::Delete { key, condition, want_previous: false }, 1))
            }
            Self::Extend => {
                let [key] = keys else { return None };
                let (token, ttl) = token_and_ttl(argv, 0)?;
                let changes = vec![(Key::from(key.clone()), Change::Expire(ttl))];
                let expected = vec![(Key::from(key.clone()), Some(token))];
                Some((Op::Transact { expected, changes }, 1))
            }
            Self::AcquireAll { skip } => set_all(keys, argv, skip, false),
            Self::ExtendAll { skip } => set_all(keys, argv, skip, true),
        }
    }
}

fn set_all(keys: &[Bytes], argv: &[Bytes], skip: usize, held: bool) -> Option<(Op, i64)> {
    let (token, ttl) = token_and_ttl(argv, skip)?;
    let count = i64::try_from(keys.len()).ok().filter(|count| *count > 0)?;
    let mut keys: Vec<Key> = keys.iter().cloned().map(Key::from).collect();
    keys.sort_unstable();
    keys.dedup();
    let put = |key: &Key| (key.clone(), Change::Put { value: token.clone(), ttl });
    let expect = |key: &Key| (key.clone(), held.then(|| token.clone()));
    let (expected, changes) = (keys.iter().map(expect).collect(), keys.iter().map(put).collect());
    Some((Op::Transact { expected, changes }, count))
}

/// A plain positive number of milliseconds only: of all others the script knows what they do.
fn token_and_ttl(argv: &[Bytes], skip: usize) -> Option<(Bytes, TtlChange)> {
    let text = std::str::from_utf8(argv.get(skip + 1)?).ok()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let ms = text.parse::<u64>().ok().filter(|ms| plain && (1..1 << 48).contains(ms))?;
    Some((argv.get(skip)?.clone(), TtlChange::For(Duration::from_millis(ms))))
}

/// The script of this SHA-1 (lower case).
pub(crate) fn find(sha: &str) -> Option<&'static Known> {
    let of = |(known, names): &'static (Known, &[&str])| names.contains(&sha).then_some(known);
    KNOWN.iter().find_map(of)
}

const fn known(text: &'static str, native: Option<Native>) -> Known {
    Known { text, native }
}

/// What each means, and the names under which clients send it.
pub(super) static KNOWN: &[(Known, &[&str])] = &[
    (
        known(
            "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
             return redis.call('del', KEYS[1])",
            Some(Native::Release { skip: 0 }),
        ),
        &[
            "c3f8721cbb97f72bc19e972846bd7aaf91901658", // redis-py 4 to 8, release
            "a4aada0b36710970eedaaaeec4a6b7d8c78c4f80", // pottery 3.0.1, release
            "bfb9f817b2e860fe4fc58656b2bf657d3fdc2be1", // sherlock 0.4.1, release
            "cf0e94b2e9ffc7e04395cf88f7583fc309985910", // node redlock 3.1.2, unlock
            "7157921a7cc7cfba979acf6d63f073151df17d12", // redis-semaphore 5.8.0, release
            "8e4905cee18e7c3188d10f2b8b170e403baed34f", // redlock-rb 2.0.6, unlock
        ],
    ),
    (
        known(
            "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
             return redis.call('pexpire', KEYS[1], ARGV[2])",
            Some(Native::Extend),
        ),
        &[
            "1cac51482acf5858da00f6d685d68f886cd6b6b2", // redis-py 4 to 8, reacquire
            "ba015a80261b616e7a62d35df0b8e3edbe6c9414", // pottery 3.0.1, extend
            "a7aba3bc5d6e99b3003da8b9d80a63b9f4092ecf", // node redlock 3.1.2, extend
            "594683e49a64ebaf975caf5f8079a1d097c438f1", // redis-semaphore 5.8.0, refresh
            "d75bb8b5bd13532ddedd17762e772346e39b321e", // go-redsync v4, touch
        ],
    ),
    (
        known(ACQUIRE_ALL[0], Some(Native::AcquireAll { skip: 0 })),
        &[
            "e5a322e2634ef59a516e8ea150cb085afafee684", // node redlock 4.2.0, lock
            "96da70f7716f27d278a5218544df37fd8b0a5e4c", // node redlock 5.0.0-beta.2, acquire
        ],
    ),
    (
        known(ACQUIRE_ALL[1], Some(Native::AcquireAll { skip: 1 })),
        &["1b77b94aa78451d55dfa97e18819bfbfc596cb5b"], // @sesamecare-oss/redlock 1.4.0, acquire
    ),
    (
        known(EXTEND_ALL[0], Some(Native::ExtendAll { skip: 0 })),
        &[
            "ce46f80993d5dac20dd066eb301a4e37994bdbed", // node redlock 4.2.0, extend
            "aed6f382e410db8ba7926d4e5e9aab410bf2a78a", // node redlock 5.0.0-beta.2, extend
        ],
    ),
    (
        known(EXTEND_ALL[1], Some(Native::ExtendAll { skip: 1 })),
        &["820e9778d2b6733e9ed771e4be90ae73a95a6f3b"], // @sesamecare-oss/redlock 1.4.0, extend
    ),
    (
        known(RELEASE_EACH[0], Some(Native::ReleaseEach { skip: 0 })),
        &[
            "0f0f23b9048b36752b5be114f357ba083449f908", // node redlock 4.2.0, unlock
            "e4612211c9f8f51c257e26e056b0a654b3187242", // node redlock 5.0.0-beta.2, release
        ],
    ),
    (
        known(RELEASE_EACH[1], Some(Native::ReleaseEach { skip: 1 })),
        &["df51f6837dcfe303d334e6abea9aeae192bab216"], // @sesamecare-oss/redlock 1.4.0, release
    ),
    (
        known(
            "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
             local left = redis.call('pttl', KEYS[1])
             if left < 0 then return 0 end
             local wanted = ARGV[2]
             if ARGV[3] == '0' then wanted = wanted + left end
             redis.call('pexpire', KEYS[1], wanted)
             return 1",
            None,
        ),
        &["a4e8783852e6b949f9ef3a97212805108459a890"], // redis-py 4 to 8, extend
    ),
    (
        known(
            "local held = redis.call('get', KEYS[1])
             if not held then return -1 end
             if held ~= ARGV[1] then return 0 end
             return redis.call('del', KEYS[1])",
            None,
        ),
        &["e950836ed1e694540c503ef9972b8de518044d3b"], // go-redsync v4, delete
    ),
    (
        known(
            "if redis.call('get', KEYS[1]) == ARGV[1] then
               return redis.call('pexpire', KEYS[1], ARGV[2])
             end
             return redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2], 'nx') and 1 or 0",
            None,
        ),
        &["b6b55c439e02c6f52ffb8be7ec8c0d0ac816ea79"], // go-redsync v4, touch with SET NX
    ),
    (
        known("return redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', ARGV[2])", None),
        &["862f31bf38e9b63ce28d6e9e5143551bb34ef981"], // node redlock 3.1.2, lock
    ),
    (
        known(
            "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
             return math.max(redis.call('pttl', KEYS[1]), 0)",
            None,
        ),
        &["f5f7bd3a3aa4a63c507c1155c5ea1219b350d992"], // pottery 3.0.1, acquired
    ),
    (
        known(
            "local new = redis.call('setnx', KEYS[1], ARGV[1])
             if new == 1 then redis.call('expire', KEYS[1], ARGV[2]) end
             return new",
            None,
        ),
        &["7bcdefae3714859f68f1f2377bddae74a1af9391"], // sherlock 0.4.1, acquire
    ),
    (
        known(
            "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
             redis.call('expire', KEYS[1], ARGV[2])
             return 1",
            None,
        ),
        &["8a7fdef25bdef981900f982f5773edaf35000372"], // sherlock 0.4.1, renew
    ),
    (
        known(
            "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 1 end
             if redis.call('ttl', KEYS[1]) < 0 then return 2 end
             redis.call('expire', KEYS[1], ARGV[2])
             return 0",
            None,
        ),
        &["fed16109024d968d9496e4140fe1355bac05ebff"], // python-redis-lock 4.0.1, extend
    ),
    (
        known(
            "local held = redis.call('get', KEYS[1])
             if held == ARGV[1] or (not held and ARGV[3] == 'yes') then
               return redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
             end",
            None,
        ),
        &["ceb2b2062e40c51a2b3963fd078bc71f11bdc65c"], // redlock-rb 2.0.6, lock
    ),
    (
        known("return {redis.call('get', KEYS[1]), redis.call('pttl', KEYS[1])}", None),
        &["78d2ca48a6dc9ef6892059792a3a0c5237733d64"], // redlock-rb 2.0.6, pttl
    ),
    (
        known(
            "local size = tonumber(ARGV[2])
             local free, ours = true, true
             for _, key in ipairs(KEYS) do
               if redis.call('exists', key) == 1 then free = false end
               if redis.call('getrange', key, 0, size - 1) ~= string.sub(ARGV[1], 1, size) then
                 ours = false
               end
             end
             if not free and not ours then return false end
             for _, key in ipairs(KEYS) do
               redis.call('set', key, ARGV[1])
               redis.call('pexpire', key, ARGV[3])
             end
             return redis.status_reply('OK')",
            None,
        ),
        &["eb0c00d98f6f33b4262419a509002884540f30be"], // bsm/redislock, obtain
    ),
    (
        known(
            "for _, value in ipairs(redis.call('mget', unpack(KEYS))) do
               if value ~= ARGV[1] then return false end
             end
             for _, key in ipairs(KEYS) do redis.call('pexpire', key, ARGV[2]) end
             return redis.status_reply('OK')",
            None,
        ),
        &["5a22d7e8431313862816d4416b5e46dd70fc340d"], // bsm/redislock, refresh
    ),
    (
        known(
            "for _, value in ipairs(redis.call('mget', unpack(KEYS))) do
               if value ~= ARGV[1] then return false end
             end
             redis.call('del', unpack(KEYS))
             return redis.status_reply('OK')",
            None,
        ),
        &["9470c810040e272ee6c579d8d4331aaf6332a7b1"], // bsm/redislock, release
    ),
];

macro_rules! skipping {
    ($text:literal) => {
        [concat!("local skip = 0\n", $text), concat!("local skip = 1\n", $text)]
    };
}

const ACQUIRE_ALL: [&str; 2] = skipping!(
    "for _, key in ipairs(KEYS) do
       if redis.call('exists', key) == 1 then return 0 end
     end
     for _, key in ipairs(KEYS) do
       redis.call('set', key, ARGV[skip + 1], 'px', ARGV[skip + 2])
     end
     return #KEYS"
);

const EXTEND_ALL: [&str; 2] = skipping!(
    "for _, key in ipairs(KEYS) do
       if redis.call('get', key) ~= ARGV[skip + 1] then return 0 end
     end
     for _, key in ipairs(KEYS) do
       redis.call('set', key, ARGV[skip + 1], 'px', ARGV[skip + 2])
     end
     return #KEYS"
);

const RELEASE_EACH: [&str; 2] = skipping!(
    "local count = 0
     for _, key in ipairs(KEYS) do
       if redis.call('get', key) == ARGV[skip + 1] then
         redis.call('del', key)
         count = count + 1
       end
     end
     return count"
);
