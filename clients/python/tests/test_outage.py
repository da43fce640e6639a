"""The real Mainstay, while its Redis dies and comes back, and while it dies itself. Needs MAINSTAY_BIN and redis-server."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import unittest
from typing import Any

from mainstay import (
    AsyncHealth,
    AsyncMainstay,
    Conflict,
    Health,
    LockHeld,
    LockLost,
    Mainstay,
    Stored,
    Unavailable,
    async_retry,
    meta,
)

from .support import Real, until

redis: Any = importlib.import_module("redis") if importlib.util.find_spec("redis") else None


@unittest.skipUnless("MAINSTAY_BIN" in os.environ, "MAINSTAY_BIN names no binary")
class Outage(unittest.TestCase):
    def setUp(self) -> None:
        self.real = Real()
        self.addCleanup(self.real.close)
        self.storage = Mainstay(self.real.url)
        self.addCleanup(self.storage.close)
        until("everything to be up", lambda: self.storage.health()["status"] == "healthy")

    def test_values_and_locks_outlive_redis(self) -> None:
        storage, health = self.storage, Health(self.storage, fresh=0)
        first = storage.set("user:1", "ada", ttl="10m")
        assert isinstance(first, Stored) and first.version is not None
        until("a copy in Redis", lambda: self._source("user:1") == "redis")
        with storage.lock("nightly", require="host") as lock:
            self.real.kill_redis()
            until("the outage to be noticed", lambda: health.check()["degraded"] is True)
            entry = storage.get("user:1")
            assert entry is not None and entry.ttl is not None
            self.assertEqual((entry.text(), entry.source, entry.stale), ("ada", "db", False))
            self.assertLessEqual(entry.ttl, 600)
            second = storage.set("user:1", b"\xff\x00", if_version=first.version)
            assert isinstance(second, Stored)
            with self.assertRaises(Conflict):
                storage.set("user:1", "late", if_version=first.version)
            self.assertEqual([storage.increment("n"), storage.increment("n", 41)], [1, 42])
            lock.check()
            self.assertFalse(storage.lock("nightly").try_acquire())
            with self.assertRaises(LockHeld) as held:
                storage.lock("nightly", wait="100ms").acquire()
            assert held.exception.retry_after is not None
            self.assertTrue(0 < held.exception.retry_after <= 30)
            code, _, _ = health.answer(health.check())
            self.assertEqual((code, health.answer(health.check(), "strict")[0]), (200, 503))
            self.real.start_redis()
            until("Redis to be back", lambda: health.check()["status"] == "healthy")
            lock.check()
        again = storage.lock("nightly")
        with again:
            self.assertGreater(again.token, lock.token)
        until("a copy of the new value", lambda: self._source("user:1") == "redis")
        entry = storage.get("user:1")
        assert entry is not None
        self.assertEqual(entry.value, b"\xff\x00")
        self.assertEqual(sorted(map(str, storage.keys("user:"))), ["user:1"])
        self.assertIsInstance(storage.delete("user:1"), Stored)
        self.assertIsNone(storage.get("user:1"))

    def test_a_lock_that_nobody_renews_is_lost(self) -> None:
        with self.assertRaises(LockLost), self.storage.lock("short", ttl="3s") as lock:
            self.real.signal(signal.SIGSTOP)
            self.assertTrue(lock.wait_lost(60))
            self.real.signal(signal.SIGCONT)
        with self.storage.lock("short", wait="30s") as after:
            self.assertGreater(after.token, lock.token)

    @unittest.skipIf(redis is None, "redis-py is not installed")
    def test_beside_redis_py(self) -> None:
        for protocol in (2, 3):
            client = redis.Redis(port=self.real.resp_port, protocol=protocol)
            client.set("k", "value", ex=60)
            known = meta(client, "k")
            assert known is not None and known.ttl is not None
            self.assertEqual((known.length, known.stale), (5, False))
            self.assertIn(known.source, ("db", "redis"))
            self.assertTrue(50 < known.ttl <= 60, known)
            self.assertIsNone(meta(client, "nothing"))
            client.close()

    def _source(self, key: str) -> str | None:
        entry = self.storage.get(key)
        return None if entry is None else entry.source


@unittest.skipUnless("MAINSTAY_BIN" in os.environ, "MAINSTAY_BIN names no binary")
class AsynchronousOutage(unittest.IsolatedAsyncioTestCase):
    async def test_a_task_is_ended_with_its_lock_and_goes_on_afterwards(self) -> None:
        real = await asyncio.to_thread(Real)
        self.addCleanup(real.close)
        async with AsyncMainstay(real.url) as storage:
            health = AsyncHealth(storage, fresh=0)
            while (await health.check())["status"] != "healthy":
                await asyncio.sleep(0.05)
            await storage.set("k", "v")
            async with storage.lock("job", ttl="6s") as lock:
                await asyncio.to_thread(real.kill_redis)
                while not (await health.check())["degraded"]:
                    await asyncio.sleep(0.05)
                entry = await storage.get("k")
                assert entry is not None
                self.assertEqual((entry.text(), entry.source), ("v", "db"))
                # What is left grows by a renewal alone: this one comes during the outage.
                left = lock.left
                while lock.left <= left:
                    left = lock.left
                    await asyncio.sleep(0.02)
                lock.check()
            with self.assertRaises(LockLost):
                async with storage.lock("job", ttl="3s"):
                    await asyncio.to_thread(real.kill)
                    await asyncio.sleep(60)
            self.assertEqual((await health.check())["status"], "unhealthy")
            with self.assertRaises(Unavailable) as down:
                await storage.set("k", "w")
            self.assertEqual(down.exception.effect, "none")
            trying = asyncio.create_task(async_retry(lambda: storage.set("k", "w"), within=60))
            await asyncio.to_thread(real.start)
            self.assertIsInstance(await trying, Stored)
            self.assertEqual([key async for key in storage.keys()], ["k"])


if __name__ == "__main__":
    unittest.main()
