"""Locks against a server that grants, refuses, falls silent and forgets."""

from __future__ import annotations

import asyncio
import json
import time
import unittest

from mainstay import AsyncMainstay, LockHeld, LockLost, Mainstay, Unavailable

from .support import Answer, Fake, document, problem, until


class Locks:
    """A server of one lock. A client renews at a third of the first ``ttl``; a longer one of its renewals leaves it time."""

    def __init__(self, fake: Fake, ttl: float = 30.0, renewed: float | None = None) -> None:
        self.fake = fake
        self.ttl_ms = round(ttl * 1000)
        self.renewed_ms = self.ttl_ms if renewed is None else round(renewed * 1000)
        self.token = 2**60
        self.renewal: Answer | None = None
        self.wait = 0.0
        fake.respond = self.respond

    def grant(self, status: int, ttl_ms: int) -> Answer:
        grant = {"name": "n", "holder": "a" * 32, "guarantee": "fenced", "mode": "record", "ttl_ms": ttl_ms}
        return document(status, **grant, token=self.token)

    def respond(self, method: str, path: str, body: bytes) -> Answer | None:
        if method == "POST":
            time.sleep(self.wait)
            return self.grant(201, self.ttl_ms)
        if method == "PUT":
            return self.renewal or self.grant(200, self.renewed_ms)
        return 204, {}, b""

    def count(self, method: str) -> int:
        return sum(asked[0] == method for asked in self.fake.asked)


class Threads(unittest.TestCase):
    def setUp(self) -> None:
        self.fake = Fake()
        self.addCleanup(self.fake.close)
        self.storage = Mainstay(self.fake.url, timeout=5)

    def test_it_is_renewed_and_released(self) -> None:
        server = Locks(self.fake, ttl=3.0, renewed=30.0)
        with self.storage.lock("n", ttl="3000ms", require="fenced", note="me") as lock:
            self.assertEqual((lock.token, lock.guarantee, lock.mode), (2**60, "fenced", "record"))
            until("renewals", lambda: server.count("PUT") >= 3)
            lock.check()
            with self.assertRaises(RuntimeError):
                lock.acquire()
        method, path, _, body = self.fake.asked[0]
        asked = {"wait": "10000ms", "ttl": "3000ms", "require": "fenced", "note": "me"}
        self.assertEqual((method, path, json.loads(body)), ("POST", "/v1/locks/n", asked))
        renewed = json.loads(next(asked[3] for asked in self.fake.asked if asked[0] == "PUT"))
        self.assertEqual(renewed, {"holder": "a" * 32, "token": 2**60, "ttl": "3000ms"})
        self.assertEqual(self.fake.asked[-1][:2], ("DELETE", f"/v1/locks/n?holder={'a' * 32}&token={2**60}"))
        self.assertEqual((lock.held, lock.lost, lock.release()), (False, False, "released"))
        with self.assertRaises(LockLost):
            lock.check()

    def test_a_block_that_has_lost_its_lock_ends_so(self) -> None:
        server = Locks(self.fake, ttl=1.0)
        server.renewal = problem(412, "lock_lost")
        with self.assertRaises(LockLost) as lost, self.storage.lock("n") as lock:
            self.assertTrue(lock.wait_lost(30))
            self.assertEqual((lock.left, lock.lost), (0.0, True))
            with self.assertRaises(LockLost):
                lock.check()
        self.assertIn(str(2**60), str(lost.exception))
        self.assertEqual(lock.release(), "lost")
        # An error of the block itself goes first.
        with self.assertRaises(KeyError), self.storage.lock("n") as lock:
            lock.wait_lost(30)
            raise KeyError("mine")

    def test_it_ends_with_its_lease_while_nobody_answers(self) -> None:
        server = Locks(self.fake, ttl=4.5)
        lock = self.storage.lock("n")
        lock.acquire()
        server.renewal = problem(503, "unavailable")
        before = server.count("PUT")
        self.assertTrue(lock.wait_lost(30))
        self.assertGreater(server.count("PUT") - before, 1)

    def test_after_a_long_wait_a_renewal_says_what_is_left(self) -> None:
        server = Locks(self.fake, ttl=3.0)
        # More than a third of the lease.
        server.wait = 1.1
        lock = self.storage.lock("n", renew=False)
        lock.acquire()
        self.assertEqual(server.count("PUT"), 1)
        self.assertTrue(lock.held)
        lock.release()

    def test_a_grant_that_cannot_be_believed_is_given_back(self) -> None:
        server = Locks(self.fake, ttl=0.001)
        with self.assertRaises(Unavailable):
            self.storage.lock("n", wait=0).acquire()
        self.assertEqual(server.count("DELETE"), 1)
        server.ttl_ms, server.renewal = 1, problem(412, "lock_lost")
        with self.assertRaises(LockHeld):
            self.storage.lock("n", wait=0).acquire()

    def test_it_can_be_taken_again(self) -> None:
        server = Locks(self.fake, ttl=3.0, renewed=30.0)
        lock = self.storage.lock("n", ttl=3.0)
        for number in range(1, 4):
            server.token = number
            with lock:
                before = server.count("PUT")
                until("a renewal", lambda: server.count("PUT") > before)
                self.assertEqual((lock.token, lock.held), (number, True))
        self.assertEqual(server.count("DELETE"), 3)

    def test_nobody_answers_the_release(self) -> None:
        server = Locks(self.fake)
        lock = self.storage.lock("n")
        lock.acquire()
        self.fake.respond = lambda *_: problem(503, "release_unknown")
        self.assertEqual(lock.release(), "unknown")
        self.assertEqual(server.count("DELETE"), 1)


class Tasks(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.fake = Fake()
        self.addCleanup(self.fake.close)
        self.storage = AsyncMainstay(self.fake.url, timeout=5)

    async def test_it_is_renewed_and_released(self) -> None:
        server = Locks(self.fake, ttl=3.0, renewed=30.0)
        async with self.storage.lock("n", ttl=3.0) as lock:
            while server.count("PUT") < 3:
                await asyncio.sleep(0.01)
            lock.check()
        self.assertEqual(self.fake.asked[-1][0], "DELETE")
        self.assertEqual((lock.held, await lock.wait_lost(), await lock.release()), (False, False, "released"))

    async def test_the_task_that_has_lost_it_is_ended(self) -> None:
        server = Locks(self.fake, ttl=1.0)
        server.renewal = problem(412, "lock_lost")
        with self.assertRaises(LockLost):
            async with self.storage.lock("n"):
                await asyncio.sleep(60)
                self.fail("it was not ended")
        task = asyncio.current_task()
        assert task is not None
        self.assertEqual(task.cancelling(), 0)
        await asyncio.sleep(0)

    async def test_a_task_that_does_not_await_learns_it_at_the_end(self) -> None:
        server = Locks(self.fake, ttl=1.0)
        with self.assertRaises(LockLost):
            async with self.storage.lock("n") as lock:
                server.renewal = problem(503, "unavailable")
                until("the end of the lease", lambda: lock.lost)
                with self.assertRaises(LockLost):
                    lock.check()
        await asyncio.sleep(0)

    async def test_a_loss_behind_the_last_await_does_not_end_the_next_one(self) -> None:
        server = Locks(self.fake, ttl=1.0)
        server.renewal = problem(412, "lock_lost")
        with self.assertRaises(LockLost):
            async with self.storage.lock("n") as lock:
                # The task is cancelled at the moment at which it wakes up, so that the block ends without an error.
                lock._lose(lock._granted(), "for the test")
        await asyncio.sleep(0.01)

    async def test_being_cancelled_by_others_stays_that(self) -> None:
        server = Locks(self.fake)

        async def work() -> None:
            async with self.storage.lock("n"):
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        while server.count("POST") < 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_who_gives_up_waiting_closes_the_connection(self) -> None:
        closed = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            # It has asked: now it gives up.
            limit.reschedule(asyncio.get_running_loop().time())
            await reader.read()
            closed.set()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            storage = AsyncMainstay(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    await storage.lock("n", wait="1m").acquire()
            await asyncio.wait_for(closed.wait(), 30)


if __name__ == "__main__":
    unittest.main()
