# Contenders for locks of redis-py, straight on Redis: python3 lock_contenders.py PORT COUNT NAMES LEASE_SECONDS
# For each section a line: the number of the lock, one of the section, when it was entered and left by the kernel's clock.
# They stop when stdin ends; then each lock has to be free.
import itertools
import sys
import threading
import time

import redis

PORT, COUNT, NAMES, LEASE = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
LEASE_NS = int(LEASE * 1e9)
SHORT_NS = 40_000_000

over = threading.Event()
numbers = itertools.count(1)
now = time.monotonic_ns


def client():
    return redis.Redis(port=PORT, socket_timeout=5, socket_connect_timeout=5)


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def hold(lock, name, asked, use):
    enter, until = now(), asked + LEASE_NS
    stay = LEASE_NS * 3 // 2 if use == "long" else SHORT_NS
    renewed = enter
    while now() < until and now() - enter < stay:
        if use == "long" and now() - renewed > LEASE_NS // 3:
            renewed = now()
            try:
                lock.reacquire()
            except redis.exceptions.LockError:
                break
            except redis.exceptions.RedisError:
                continue
            if now() < until:
                until = renewed + LEASE_NS
        time.sleep(0.01)
    leave = min(now(), until)
    if leave > enter:
        say(f"section {name} {next(numbers)} {enter} {leave}")
    if use == "asleep":
        time.sleep(max(0, until + LEASE_NS // 3 - now()) / 1e9)
    lock.release()


def contend(number):
    connection = client()
    for turn in itertools.count(1):
        if over.is_set():
            return
        name = turn % NAMES
        use = {0: "long", 4: "long", 6: "asleep"}.get((turn + number * 3) % 8, "short")
        try:
            lock = connection.lock(f"lock-{name}", timeout=LEASE)
            asked = now()
            if lock.acquire(blocking=False):
                hold(lock, name, asked, use)
            else:
                time.sleep(0.02)
        except redis.exceptions.RedisError:
            time.sleep(0.05)


def main():
    say(f"version {redis.__version__}")
    threads = [threading.Thread(target=contend, args=(number,)) for number in range(COUNT)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    for name in range(NAMES):
        # Not LEASE: that could end before it is released.
        with client().lock(f"lock-{name}", timeout=60, blocking_timeout=30):
            say(f"free {name}")


main()
