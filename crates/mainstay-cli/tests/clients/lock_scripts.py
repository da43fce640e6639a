# What well-known scripts do on Redis by their text, they do on Mainstay by their SHA-1, without having been loaded:
# python3 lock_scripts.py MAINSTAY_PORT REDIS_PORT TEXTS_OF_NODE
import hashlib
import json
import sys

import pottery.redlock
import redis
import redis.lock
import redis_lock
import sherlock.lock

mainstay = redis.Redis(port=int(sys.argv[1]))
bare = redis.Redis(port=int(sys.argv[2]))


def texts():
    lock = redis.lock.Lock
    yield from (lock.LUA_RELEASE_SCRIPT, lock.LUA_EXTEND_SCRIPT, lock.LUA_REACQUIRE_SCRIPT)
    pottery.redlock.Redlock(key="any", masters={bare})
    of = pottery.redlock.Redlock
    yield from (script.script for script in (of._acquired_script, of._extend_script, of._release_script))
    of = sherlock.lock.RedisLock
    yield from (of._acquire_script, of._release_script, of._renew_script)
    extend = redis_lock.EXTEND_SCRIPT
    yield extend.decode() if isinstance(extend, bytes) else extend
    yield from json.loads(sys.argv[3])


STATES = (None, (b"token", None), (b"token", 20_000), (b"other", 20_000))
ARGUMENTS = (
    ("token", "30000", "0"), ("token", "30000", "1"), ("token", "0", "0"), ("token", "-5", "1"), ("token", "1.5", "0"),
    ("token", "", "0"), ("", "30000", "0"), ("token",), (),
)


def outcome(client, run, keys, states, arguments):
    client.delete("{k}1", "{k}2")
    for key, state in zip(keys, states):
        if state:
            client.set(key, state[0], px=state[1])
    try:
        reply = run(client, keys, arguments)
    except redis.exceptions.ResponseError as error:
        reply = str(error)
    if isinstance(reply, int):
        reply = roughly(reply)
    return reply, client.mget(keys), [roughly(client.pttl(key)) for key in keys]


def roughly(ms):
    """A time to live, and numbers that are none as they are."""
    return (ms + 5_000) // 10_000 * 10_000 if ms > 1_000 else ms


def main():
    count = 0
    for text in dict.fromkeys(texts()):
        sha = hashlib.sha1(text.encode()).hexdigest()
        assert mainstay.script_exists(sha) == [True], text
        pairs = [(first, second) for first in STATES for second in STATES]
        for states in [(first,) for first in STATES] + pairs:
            for arguments in ARGUMENTS:
                case = (["{k}1", "{k}2"][: len(states)], states, arguments)
                ours = outcome(mainstay, lambda c, k, a: c.evalsha(sha, len(k), *k, *a), *case)
                theirs = outcome(bare, lambda c, k, a: c.eval(text, len(k), *k, *a), *case)
                if isinstance(theirs[0], str) and isinstance(ours[0], str):
                    # The words differ where the texts do; and Redis keeps what a script has done before it fails.
                    ours, theirs = None, None
                assert ours == theirs, (text, case, ours, theirs)
                count += 1
    print(f"{count} runs agree")


main()
