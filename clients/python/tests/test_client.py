"""Values, acknowledgements and errors, against answers of every kind."""

from __future__ import annotations

import asyncio
import socket
import unittest

from mainstay import (
    AsyncMainstay,
    Conflict,
    Journaled,
    LockHeld,
    Mainstay,
    MainstayError,
    Stored,
    Unavailable,
    async_retry,
    retry,
    unavailable,
)
from mainstay.times import Moment, seconds, written

from .support import Fake, document, nobody, problem


class Values(unittest.TestCase):
    def setUp(self) -> None:
        self.fake = Fake()
        self.storage = Mainstay(self.fake.url, token="secret")
        self.addCleanup(self.fake.close)
        self.addCleanup(self.storage.close)

    def test_an_entry_says_where_it_comes_from(self) -> None:
        meta = {"value": "ada", "encoding": "utf8", "source": "redis", "stale": True, "worth": "unverified"}
        self.fake.respond = lambda *_: document(200, **meta, age=1.5, ttl=58.25, version="1-17")
        entry = self.storage.get("user:1/ä")
        assert entry is not None
        self.assertEqual((entry.text(), entry.source, entry.stale, entry.worth), ("ada", "redis", True, "unverified"))
        self.assertEqual((entry.age, entry.ttl, entry.version), (1.5, 58.25, "1-17"))
        method, path, headers, _ = self.fake.asked[0]
        self.assertEqual((method, path), ("GET", "/v1/kv/user%3A1%2F%C3%A4?meta"))
        self.assertEqual((headers["authorization"], headers["x-mainstay-timeout"]), ("Bearer secret", "5000ms"))

    def test_bytes_and_absence(self) -> None:
        meta = {"value": "/wA=", "encoding": "base64", "source": "db", "stale": False, "worth": "linearizable"}
        self.fake.respond = lambda *_: document(200, **meta, age=None, ttl=None, version=None)
        entry = self.storage.get(b"\xff")
        assert entry is not None
        self.assertEqual((entry.value, entry.age, entry.ttl, entry.version), (b"\xff\x00", None, None, None))
        self.assertEqual(self.fake.asked[0][1], "/v1/kv/%FF?meta")
        self.fake.respond = lambda *_: problem(404, "no_such_key")
        self.assertIsNone(self.storage.get("nobody"))
        for name in ("", ".", "..", b".."):
            with self.assertRaises(ValueError):
                self.storage.get(name)

    def test_an_acknowledgement_says_what_it_is_worth(self) -> None:
        self.fake.respond = lambda *_: (204, {"etag": '"1-18"', "x-mainstay-source": "db"}, b"")
        self.assertEqual(self.storage.set("a", "1", ttl="1.5s", if_version="1-17"), Stored("db", "1-18"))
        method, path, headers, body = self.fake.asked[0]
        self.assertEqual((method, path, headers["if-match"], body), ("PUT", "/v1/kv/a?ttl=1500ms", '"1-17"', b"1"))
        self.fake.respond = lambda *_: document(202, journaled=7)
        self.assertEqual(self.storage.delete("a"), Journaled(7))
        with self.assertRaises(ValueError):
            self.storage.set("a", "1", if_version="1-17", if_absent=True)

    def test_errors_have_types(self) -> None:
        self.fake.respond = lambda *_: problem(412, "precondition_failed", hint="read it")
        with self.assertRaises(Conflict) as conflict:
            self.storage.set("a", "1", if_absent=True)
        self.assertEqual((conflict.exception.kind, conflict.exception.hint), ("precondition_failed", "read it"))
        self.fake.respond = lambda *_: problem(503, "breaker_open", backend="db", retry_after_ms=4200, effect="unknown")
        with self.assertRaises(Unavailable) as refused:
            self.storage.increment("a")
        error = refused.exception
        self.assertEqual((error.retry_after, error.effect, error.backend, error.status), (4.2, "unknown", "db", 503))
        self.fake.respond = lambda *_: problem(409, "lock_held", retry_after_ms=1200)
        with self.assertRaises(LockHeld) as held:
            self.storage.lock("a").acquire()
        self.assertEqual(held.exception.retry_after, 1.2)
        self.assertFalse(self.storage.lock("a").try_acquire())
        self.fake.respond = lambda *_: (418, {}, b"a teapot")
        with self.assertRaises(MainstayError) as other:
            self.storage.get("a")
        self.assertEqual((other.exception.kind, other.exception.status), ("http_418", 418))

    def test_connections_are_used_again_and_a_write_is_sent_once(self) -> None:
        for _ in range(3):
            self.storage.delete("a")
        self.assertEqual(self.fake.connections, 1)
        self.fake.respond = lambda *_: None
        with self.assertRaises(Unavailable) as lost:
            self.storage.increment("a")
        self.assertEqual((lost.exception.kind, lost.exception.effect), ("unreachable", "unknown"))
        self.assertEqual(len(self.fake.asked), 4)
        with nobody() as url, self.assertRaises(Unavailable) as unsent:
            Mainstay(url).increment("a")
        self.assertEqual(unsent.exception.effect, "none")

    def test_silence_ends_with_the_timeout(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with self.assertRaises(Unavailable) as late:
                Mainstay(url, timeout=0.1).set("a", "1")
            self.assertEqual(late.exception.effect, "unknown")
            with self.assertRaises(Unavailable) as asynchronous:
                asyncio.run(AsyncMainstay(url, timeout=0.1).get("a"))
            self.assertEqual(asynchronous.exception.effect, "none")

    def test_keys_come_page_by_page(self) -> None:
        pages = {
            "/v1/kv?limit=1000&prefix=u%3A": document(200, keys=[{"key": "u:1", "encoding": "utf8"}], cursor="x+y"),
            "/v1/kv?limit=1000&prefix=u%3A&cursor=x%2By": document(200, keys=[{"key": "/w==", "encoding": "base64"}], cursor=None),
        }
        self.fake.respond = lambda method, path, body: pages[path]
        self.assertEqual(list(self.storage.keys("u:")), ["u:1", b"\xff"])


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def test_the_twin_says_the_same(self) -> None:
        fake = Fake()
        self.addCleanup(fake.close)
        async with AsyncMainstay(fake.url) as storage:
            for _ in range(3):
                self.assertEqual(await storage.set("a", b"1"), Stored(None, None))
            self.assertEqual(fake.connections, 1)
            fake.respond = lambda *_: document(200, value=3, version=None)
            self.assertEqual(await storage.increment("n", by=-2), 3)
            self.assertEqual(fake.asked[-1][1], "/v1/kv/n/incr?by=-2")
            fake.respond = lambda *_: None
            with self.assertRaises(Unavailable) as lost:
                await storage.delete("a")
            self.assertEqual(lost.exception.effect, "unknown")

    async def test_an_answer_in_chunks(self) -> None:
        fake = Fake()
        self.addCleanup(fake.close)
        chunked = b'5\r\n{"val\r\nA;x=y\r\nue": 41  }\r\n0\r\n\r\n'

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            self.assertEqual(await AsyncMainstay(f"http://127.0.0.1:{port}").increment("n"), 41)

    async def test_nonsense_is_no_answer(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with self.assertRaises(Unavailable):
                await AsyncMainstay(f"http://127.0.0.1:{port}").get("a")

    async def test_it_tries_again_until_it_is_unknown(self) -> None:
        errors: list[Exception] = [Unavailable("down", retry_after=0.001), Exception("UNAVAILABLE db down; retry_after_ms=1")]

        async def work() -> str:
            if errors:
                raise errors.pop()
            return "done"

        self.assertEqual(await async_retry(work), "done")


class Trying(unittest.TestCase):
    def test_refusals_are_repeated_and_what_may_have_happened_is_not(self) -> None:
        attempts: list[int] = []

        def refused() -> str:
            attempts.append(1)
            if len(attempts) < 3:
                raise Unavailable("down", retry_after=0.001)
            return "done"

        self.assertEqual(retry(refused), "done")

        def unknown() -> None:
            attempts.append(1)
            raise Exception("UNAVAILABLE db lost; outcome unknown; retry_after_ms=1")

        attempts.clear()
        with self.assertRaises(Unavailable) as error:
            retry(unknown)
        self.assertEqual((error.exception.effect, len(attempts)), ("unknown", 1))
        with self.assertRaises(Unavailable):
            retry(lambda: self._raise(Unavailable("down", retry_after=5.0)), within="1s")
        with self.assertRaises(KeyError):
            retry(lambda: self._raise(KeyError("mine")))

    def test_what_redis_py_raises(self) -> None:
        said = unavailable(Exception("UNAVAILABLE db breaker open; outcome unknown; retry_after_ms=4200"))
        assert said is not None
        self.assertEqual((said.retry_after, said.effect), (4.2, "unknown"))
        self.assertIsNone(unavailable(Exception("WRONGTYPE Operation against a key")))

    def _raise(self, error: Exception) -> None:
        raise error


class Times(unittest.TestCase):
    def test_durations(self) -> None:
        self.assertEqual([seconds(text) for text in ("250ms", "1.5s", "2m", 3)], [0.25, 1.5, 120.0, 3.0])
        self.assertEqual(written("5m"), "300000ms")
        for bad in ("5", "s", "-1s", -1.0, float("inf"), float("nan")):
            with self.assertRaises(ValueError):
                seconds(bad)

    def test_the_lesser_of_two_clocks_counts(self) -> None:
        now = Moment.now()
        self.assertLessEqual(Moment(now.steady + 1000, now.wall + 5).left(), 5)
        self.assertLessEqual(Moment(now.steady + 5, now.wall + 1000).left(), 5)


if __name__ == "__main__":
    unittest.main()
