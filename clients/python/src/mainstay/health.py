"""The health of the storage, as an endpoint of your own service (WSGI, ASGI) and as something that each request knows."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from .aio import AsyncMainstay
from .client import Mainstay
from .errors import MainstayError

#: ``status`` (healthy, degraded, unhealthy), ``degraded``, ``activeBackend``, ``backends``; ``error`` when nothing is known.
State = dict[str, Any]

#: Where the endpoint is.
PATH = "/api/health/storage"

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_AsgiApp = Callable[[_Scope, _Receive, _Send], Awaitable[None]]
_WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Known:
    """The last answer, and how it is told."""

    def __init__(self, strict: bool, fresh: float, timeout: float) -> None:
        self._strict = strict
        self._fresh = fresh
        self._timeout = timeout
        self._last: tuple[float, State] | None = None

    @property
    def known(self) -> State | None:
        """The last answer, however old."""
        return None if self._last is None else self._last[1]

    def answer(self, state: State, query: str = "") -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body of the endpoint: degraded is 200, unless the strict way was asked for."""
        asked = parse_qs(query, keep_blank_values=True).get("strict", ["false"])[0] in ("", "true")
        failed = state["status"] == "unhealthy" or ((self._strict or asked) and state["status"] == "degraded")
        body = json.dumps(state).encode()
        headers = [("content-type", "application/json"), ("cache-control", "no-store"), ("content-length", str(len(body)))]
        if failed:
            headers.append(("retry-after", "1"))
        return (503 if failed else 200), headers, body

    def _is_fresh(self) -> bool:
        return self._last is not None and time.monotonic() - self._last[0] < self._fresh

    def _keep(self, state: State) -> State:
        self._last = (time.monotonic(), state)
        return state


class Health(_Known):
    """For threads. Asks once for all who ask within ``fresh`` seconds, and never raises."""

    def __init__(
        self, client: Mainstay, *, strict: bool = False, fresh: float = 1.0, timeout: float = 2.0
    ) -> None:
        super().__init__(strict, fresh, timeout)
        self._client = client
        self._one = threading.Lock()

    def check(self) -> State:
        """The state, at most ``fresh`` old."""
        with self._one:
            return self._ask()

    def glance(self) -> State:
        """What is known; asked anew behind the caller when it is old. Only the first one waits."""
        known = self.known
        if known is None:
            return self.check()
        if not self._is_fresh() and self._one.acquire(blocking=False):
            threading.Thread(target=self._refresh, name="mainstay-health", daemon=True).start()
        return known

    def _refresh(self) -> None:
        try:
            self._ask()
        finally:
            self._one.release()

    def _ask(self) -> State:
        if self._last is not None and self._is_fresh():
            return self._last[1]
        try:
            return self._keep(self._client.health(timeout=self._timeout))
        except (MainstayError, ValueError, KeyError) as error:
            return self._keep(_unknown(error))


class AsyncHealth(_Known):
    """For the tasks of one event loop."""

    def __init__(
        self, client: AsyncMainstay, *, strict: bool = False, fresh: float = 1.0, timeout: float = 2.0
    ) -> None:
        super().__init__(strict, fresh, timeout)
        self._client = client
        self._asking: asyncio.Task[State] | None = None

    async def check(self) -> State:
        """The state, at most ``fresh`` old."""
        if self._last is not None and self._is_fresh():
            return self._last[1]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="mainstay-health")
        # Others wait for the same answer: one who gives up must not end it.
        return await asyncio.shield(self._asking)

    async def glance(self) -> State:
        """What is known; asked anew behind the caller when it is old. Only the first one waits."""
        known = self.known
        if known is None:
            return await self.check()
        if not self._is_fresh() and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask(), name="mainstay-health")
        return known

    async def _ask(self) -> State:
        try:
            return self._keep(await self._client.health(timeout=self._timeout))
        except (MainstayError, ValueError, KeyError) as error:
            return self._keep(_unknown(error))


class WsgiHealth:
    """WSGI middleware: answers ``path``, and gives every other request the state as ``environ["mainstay.storage"]``."""

    def __init__(self, app: _WsgiApp, health: Health, *, path: str = PATH) -> None:
        self._app = app
        self._health = health
        self._path = path

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == self._path:
            status, headers, body = self._health.answer(self._health.check(), environ.get("QUERY_STRING", ""))
            start_response("200 OK" if status == 200 else "503 Service Unavailable", headers)
            return [body]
        environ["mainstay.storage"] = self._health.glance()
        return self._app(environ, start_response)


class AsgiHealth:
    """ASGI middleware: answers ``path``, and gives every other request the state as ``scope["state"]["storage"]``
    (Starlette, FastAPI: ``request.state.storage``)."""

    def __init__(self, app: _AsgiApp, health: AsyncHealth, *, path: str = PATH) -> None:
        self._app = app
        self._health = health
        self._path = path

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "http" and scope["path"] == self._path:
            query = scope.get("query_string", b"").decode("latin-1")
            status, headers, body = self._health.answer(await self._health.check(), query)
            raw = [(name.encode(), value.encode()) for name, value in headers]
            await send({"type": "http.response.start", "status": status, "headers": raw})
            await send({"type": "http.response.body", "body": body})
            return
        if scope["type"] in ("http", "websocket"):
            scope = {**scope, "state": {**(scope.get("state") or {}), "storage": await self._health.glance()}}
        await self._app(scope, receive, send)


def _unknown(error: Exception) -> State:
    return {"status": "unhealthy", "degraded": False, "activeBackend": None, "backends": {}, "error": str(error)}
