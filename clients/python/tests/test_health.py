"""The endpoint and the middleware, for WSGI and for ASGI."""

from __future__ import annotations

import json
import unittest
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from mainstay import AsgiHealth, AsyncHealth, AsyncMainstay, Health, Mainstay, WsgiHealth

from .support import Answer, Fake, document, nobody, until

BACKENDS = {"redis": {"health": "unhealthy", "circuitOpen": True, "failures": 5, "drained": False}}


def answers(status: str) -> Callable[[str, str, bytes], Answer]:
    code = 503 if status == "unhealthy" else 200
    return lambda *_: document(code, status=status, activeBackend="db", backends=BACKENDS)


class Wsgi(unittest.TestCase):
    def setUp(self) -> None:
        self.fake = Fake()
        self.addCleanup(self.fake.close)
        self.said: dict[str, Any] = {}

    def ask(self, app: WsgiHealth, path: str, query: str = "") -> tuple[int, dict[str, Any]]:
        answered: list[str] = []
        body = b"".join(app({"PATH_INFO": path, "QUERY_STRING": query}, lambda status, headers: answered.append(status)))
        return int(answered[0].split()[0]), json.loads(body)

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [json.dumps(environ["mainstay.storage"]).encode()]

    def test_degraded_is_200_unless_it_is_strict(self) -> None:
        self.fake.respond = answers("degraded")
        app = WsgiHealth(self.app, Health(Mainstay(self.fake.url)))
        code, body = self.ask(app, "/api/health/storage")
        self.assertEqual((code, body["status"], body["degraded"], body["activeBackend"]), (200, "degraded", True, "db"))
        self.assertEqual(body["backends"], BACKENDS)
        self.assertEqual(self.ask(app, "/api/health/storage", "strict")[0], 503)
        self.assertEqual(self.ask(app, "/api/health/storage", "strict=false")[0], 200)
        strict = WsgiHealth(self.app, Health(Mainstay(self.fake.url), strict=True), path="/health")
        self.assertEqual(self.ask(strict, "/health")[0], 503)

    def test_nothing_serves_or_nobody_answers(self) -> None:
        self.fake.respond = answers("unhealthy")
        code, body = self.ask(WsgiHealth(self.app, Health(Mainstay(self.fake.url))), "/api/health/storage")
        self.assertEqual((code, body["status"]), (503, "unhealthy"))
        with nobody() as url:
            code, body = self.ask(WsgiHealth(self.app, Health(Mainstay(url))), "/api/health/storage")
        self.assertEqual((code, body["status"], body["activeBackend"]), (503, "unhealthy", None))
        self.assertIn("cannot be reached", body["error"])

    def test_each_request_knows_and_one_asks_for_all(self) -> None:
        self.fake.respond = answers("healthy")
        app = WsgiHealth(self.app, Health(Mainstay(self.fake.url), fresh=3600))
        for _ in range(5):
            self.assertEqual(self.ask(app, "/anything")[1]["status"], "healthy")
        self.assertEqual(len(self.fake.asked), 1)
        old = WsgiHealth(self.app, Health(Mainstay(self.fake.url), fresh=0))
        self.assertEqual(self.ask(old, "/anything")[1]["status"], "healthy")
        self.fake.respond = answers("degraded")
        until("what is old to be asked anew", lambda: self.ask(old, "/anything")[1]["degraded"] is True)


class Asgi(unittest.IsolatedAsyncioTestCase):
    async def ask(self, app: AsgiHealth, path: str, query: bytes = b"") -> tuple[int, dict[str, Any]]:
        sent: list[MutableMapping[str, Any]] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        await app({"type": "http", "path": path, "query_string": query, "state": {"mine": 1}}, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])

    async def test_the_endpoint_and_what_each_request_knows(self) -> None:
        fake = Fake()
        self.addCleanup(fake.close)
        fake.respond = answers("degraded")

        async def inner(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(scope["state"]).encode()})

        app = AsgiHealth(inner, AsyncHealth(AsyncMainstay(fake.url), fresh=3600))
        code, body = await self.ask(app, "/api/health/storage")
        self.assertEqual((code, body["degraded"]), (200, True))
        self.assertEqual((await self.ask(app, "/api/health/storage", b"strict"))[0], 503)
        code, state = await self.ask(app, "/anything")
        self.assertEqual((state["mine"], state["storage"]["status"]), (1, "degraded"))
        self.assertEqual(len(fake.asked), 1)
        with nobody() as url:
            down = AsgiHealth(inner, AsyncHealth(AsyncMainstay(url)))
            self.assertEqual((await self.ask(down, "/api/health/storage"))[0], 503)


if __name__ == "__main__":
    unittest.main()
