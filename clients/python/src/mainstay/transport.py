"""One request to Mainstay over a connection of a pool. Repeats no write: one whose outcome is unknown must not be sent again
behind the caller's back."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
from typing import TypeVar
from urllib.parse import urlsplit

from .calls import Call, Reply
from .errors import Unavailable

T = TypeVar("T")

#: Mainstay answers by its deadline; this is for the way. Seconds.
SLACK = 1.0
#: A connection that was idle for longer is not used again: Mainstay may be about to close it. Seconds.
IDLE_MAX = 4.0
#: Idle connections that are kept.
IDLE_COUNT = 16


class Target:
    """Where Mainstay is, and what each request carries."""

    def __init__(self, url: str, token: str | None, timeout: float, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"a URL as in http://127.0.0.1:6391, not {url!r}")
        self.host = parts.hostname
        self.tls = (context or ssl.create_default_context()) if parts.scheme == "https" else None
        self.port = parts.port or (443 if self.tls else 80)
        self.prefix = parts.path.rstrip("/")
        self.timeout = timeout
        self.headers = {} if token is None else {"authorization": f"Bearer {token}"}

    def limit(self, call: Call[T]) -> float:
        """By when the answer is due here, in seconds."""
        timeout = call.timeout or self.timeout
        return timeout + call.extra + min(SLACK, timeout)

    def headers_of(self, call: Call[T]) -> dict[str, str]:
        due = max(1, round((call.timeout or self.timeout) * 1000))
        return {"x-mainstay-timeout": f"{due}ms", **self.headers, **call.headers}


def unreached(error: BaseException, call: Call[T], sent: bool) -> Unavailable:
    """No answer came."""
    late = isinstance(error, TimeoutError)
    why = "it did not answer in time" if late else str(error) or type(error).__name__
    effect = "unknown" if sent and call.method != "GET" else "none"
    return Unavailable(f"mainstay cannot be reached: {why}", kind="unreachable", effect=effect)  # type: ignore[arg-type]


class Transport:
    """Safe to share between threads."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()

    def send(self, call: Call[T]) -> T:
        """What became of it."""
        connection, sent = self._take(self._target.limit(call)), False
        try:
            if connection.sock is None:
                connection.connect()
            sent = True
            path = self._target.prefix + call.path
            connection.request(call.method, path, body=call.body, headers=self._target.headers_of(call))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            reply = Reply(response.status, headers, response.read())
            reusable = not response.will_close
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise unreached(error, call, sent) from error
        except BaseException:
            # Whoever is interrupted must not leave half an answer to the next.
            connection.close()
            raise
        self._give_back(connection, reusable)
        return call.finish(reply)

    def close(self) -> None:
        """Closes idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _take(self, limit: float) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                since, connection = self._idle.pop() if self._idle else (0.0, None)
            if connection is None:
                return self._new(limit)
            sock = connection.sock
            if sock is not None and time.monotonic() - since < IDLE_MAX and not _is_readable(sock):
                sock.settimeout(limit)
                return connection
            connection.close()

    def _new(self, limit: float) -> http.client.HTTPConnection:
        target = self._target
        if target.tls is not None:
            return http.client.HTTPSConnection(target.host, target.port, timeout=limit, context=target.tls)
        return http.client.HTTPConnection(target.host, target.port, timeout=limit)

    def _give_back(self, connection: http.client.HTTPConnection, reusable: bool) -> None:
        with self._lock:
            if reusable and len(self._idle) < IDLE_COUNT:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()


def _is_readable(sock: socket.socket) -> bool:
    """Whether something has come on an idle connection: its end, as a rule."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])
