"""Values, counters, keys and locks of one Mainstay, for threads."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

from . import calls
from .calls import Key
from .entry import Ack, Entry
from .lease import WAIT, Wish
from .lock import Lock
from .times import Duration
from .transport import Target, Transport

#: Where Mainstay listens when nothing is configured.
URL = "http://127.0.0.1:6391"


class Mainstay:
    """A client. Safe to share between threads.

    ``timeout`` says by when each answer is due, in seconds; Mainstay is told. ``token`` is ``http.token`` of Mainstay's
    configuration.
    """

    def __init__(
        self, url: str = URL, *, token: str | None = None, timeout: float = 5.0, context: ssl.SSLContext | None = None
    ) -> None:
        self._transport = Transport(Target(url, token, timeout, context))

    def get(self, key: Key) -> Entry | None:
        """The value and where it came from; None: there is no such key."""
        return self._transport.send(calls.get(key))

    def set(
        self,
        key: Key,
        value: str | bytes,
        *,
        ttl: Duration | None = None,
        if_version: str | None = None,
        if_absent: bool = False,
    ) -> Ack:
        """Writes a value; without a ttl it has the route's. Raises Conflict when the condition does not hold."""
        return self._transport.send(calls.put(key, value, ttl, if_version, if_absent))

    def delete(self, key: Key, *, if_version: str | None = None) -> Ack:
        """Deletes a key; one that is not there is no error, unless a version was asked for."""
        return self._transport.send(calls.delete(key, if_version))

    def increment(self, key: Key, by: int = 1) -> int:
        """Adds to a counter and answers the new value; a missing key counts as 0."""
        return self._transport.send(calls.increment(key, by))

    def keys(self, prefix: Key = "") -> Iterator[Key]:
        """The keys that begin with this, page by page. A key that is not text comes as bytes."""
        cursor: str | None = None
        while True:
            page = self._transport.send(calls.keys(prefix, cursor))
            yield from page.keys
            cursor = page.cursor
            if cursor is None:
                return

    def lock(
        self,
        name: str,
        *,
        ttl: Duration | None = None,
        wait: Duration = WAIT,
        require: str | None = None,
        note: str | None = None,
        renew: bool = True,
    ) -> Lock:
        """A lock, to be acquired by ``with`` or ``acquire()``.

        ``ttl`` (default 30 s) is how long others wait after this process has died; ``wait`` how long to wait while somebody
        else holds it; with ``require="fenced"`` it is refused where it would promise less.
        """
        return Lock(self._transport, Wish(name, ttl, wait, require, note, renew))

    def health(self, *, timeout: float | None = None) -> dict[str, Any]:
        """The state of the storage behind Mainstay. ``Health`` is the same for the endpoints of a service."""
        return self._transport.send(calls.health(timeout))

    def close(self) -> None:
        """Closes idle connections."""
        self._transport.close()

    def __enter__(self) -> Mainstay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
