# Lock clients of Python in normal use, and while Redis dies under a lock that is held: python3 locks.py PORT
# At a line that ends with "?" it waits for a line.
import sys
import time

import pottery
import redis
import redis.lock
import sherlock

PORT = int(sys.argv[1])


def client():
    return redis.Redis(port=PORT)


def refused(work, kind):
    try:
        work()
    except kind:
        return
    raise AssertionError(f"it was not refused with {kind}")


def redis_py(held):
    lock, second = client().lock("py:lock", timeout=30), client().lock("py:lock", timeout=30)
    begun = time.monotonic()
    assert lock.acquire(blocking=False) and lock.owned() and lock.locked()
    assert not second.acquire(blocking=False)
    assert not second.acquire(blocking=True, blocking_timeout=0.3)
    held()
    assert lock.owned() and second.locked() and not second.owned()
    assert not second.acquire(blocking=False)
    assert lock.extend(10)
    left = client().pttl("py:lock")
    elapsed = time.monotonic() - begun
    assert 40_000 - 1000 * elapsed - 50 < left <= 40_000, (left, elapsed)
    assert lock.extend(20, replace_ttl=True)
    left = client().pttl("py:lock")
    assert 10_000 < left <= 20_000, left
    assert lock.reacquire()
    assert 20_000 < client().pttl("py:lock") <= 30_000
    lock.release()
    refused(lock.release, redis.exceptions.LockError)
    assert second.acquire(blocking=True, blocking_timeout=5)
    lock.local.token = b"stolen"
    refused(lock.release, redis.exceptions.LockNotOwnedError)
    lock.local.token = b"stolen"
    refused(lambda: lock.extend(5), redis.exceptions.LockNotOwnedError)
    second.release()
    with client().lock("py:lock", timeout=30, blocking_timeout=5) as lock:
        assert lock.owned()
    assert client().get("py:lock") is None


def of_pottery(held):
    def lock():
        return pottery.Redlock(key="py", masters={client()}, auto_release_time=30)

    first, second = lock(), lock()
    assert first.acquire(blocking=False) and first.locked() > 0
    assert not second.acquire(blocking=False)
    held()
    assert not second.acquire(blocking=False)
    assert first.locked() > 0
    first.extend()
    first.release()
    assert not first.locked()
    assert second.acquire(timeout=5)
    second.release()
    with lock():
        pass


def of_sherlock(held):
    def lock():
        return sherlock.RedisLock("sherlock:py", client=client(), expire=30, timeout=5, retry_interval=0.05)

    first, second = lock(), lock()
    assert first.acquire(blocking=False) and first.locked()
    assert not second.acquire(blocking=False)
    held()
    assert not second.acquire(blocking=False)
    assert first.renew()
    first.release()
    assert not first.locked()
    with second:
        assert second.locked()
    refused(first.release, sherlock.LockException)


def wait(word):
    print(word + "?", flush=True)
    assert sys.stdin.readline().strip() == "go"


def main():
    for use in (redis_py, of_pottery, of_sherlock):
        use(lambda: None)
        print(f"{use.__name__} works", flush=True)
    for use in (redis_py, of_pottery, of_sherlock):
        use(lambda: wait(f"{use.__name__} held"))
        print(f"{use.__name__} works through an outage", flush=True)
        wait("over")
    print("done", flush=True)


main()
