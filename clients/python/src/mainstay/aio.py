"""The same for asyncio: values, counters, keys, and locks that end the task that has lost them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

from . import calls
from .aio_transport import AsyncTransport
from .calls import Grant, Key
from .client import URL
from .entry import Ack, Entry
from .errors import LockHeld, LockLost, MainstayError
from .lease import WAIT, Lease, Released, Wish, is_spent
from .times import Duration, Moment
from .transport import Target


class AsyncLock(Lease):
    """A lease with a fencing token that renews itself, and that ends the block that has lost it.

    ``async with storage.lock("nightly") as lock:`` acquires and releases it. At the end of the lease the task inside is
    cancelled, and the block ends with LockLost. Call ``lock.check()`` before each step that others see: a task that does
    not await cannot be cancelled.
    """

    def __init__(self, transport: AsyncTransport, wish: Wish) -> None:
        super().__init__(wish)
        self._transport = transport
        self._keeper: asyncio.Task[None] | None = None
        self._inside: asyncio.Task[Any] | None = None
        self._interrupted = False
        self._over = asyncio.Event()

    async def acquire(self) -> None:
        """Waits for it. Raises LockHeld when somebody else still holds it at the end of the wait."""
        await self._acquire(self._wish.seconds_to_wait())

    async def try_acquire(self) -> bool:
        """Takes it if it is free; False: somebody else holds it."""
        try:
            await self._acquire(0.0)
        except LockHeld:
            return False
        return True

    async def wait_lost(self) -> bool:
        """Waits until it is lost, or released (False)."""
        await self._over.wait()
        return self.lost

    async def release(self) -> Released:
        """Releases it, and says what became of it. Raises nothing; a second time it changes nothing."""
        if self.lost:
            return "lost"
        if self._state != "held":
            return "released"
        self._state = "released"
        self._over.set()
        if self._keeper is not None:
            self._keeper.cancel()
        return await self._give_back(self._granted())

    async def __aenter__(self) -> AsyncLock:
        await self.acquire()
        self._inside, self._interrupted = asyncio.current_task(), False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._inside = self._inside, None
        if self._interrupted and task is not None:
            still_cancelled = task.uncancel() > 0
            if kind is None and not still_cancelled:
                # It was cancelled behind its last await: that is over here.
                await _settle()
            if kind is None or (issubclass(kind, asyncio.CancelledError) and not still_cancelled):
                raise self._lost() from error
            return
        if await self.release() == "lost" and kind is None:
            raise self._lost()

    async def _acquire(self, wait: float) -> None:
        if self.held:
            raise RuntimeError(f"the lock {self.name} is held already: it is not re-entrant")
        wish, until = self._wish, Moment.now().plus(wait)
        # The first request asks for what the caller said, to the millisecond; the next ones for what is left of it.
        left = wait
        while True:
            grant = await self._transport.send(calls.lock(wish.name, left, wish.ttl, wish.require, wish.note))
            try:
                spent = is_spent(grant)
                self._hold(grant, await self._transport.send(calls.renew(grant, wish.ttl)) if spent else grant.until)
                break
            except LockLost as lost:
                left = until.left()
                if left <= 0:
                    raise LockHeld(str(lost)) from lost
            except BaseException:
                _in_background(self._give_back(grant))
                raise
        self._over = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep(grant), name=f"mainstay-lock-{wish.name}")

    async def _keep(self, grant: Grant) -> None:
        """Renews it at a third of the lease, tries again at every twelfth while nobody answers, and notices its end."""
        pause = grant.ttl / 3
        while True:
            await asyncio.sleep(max(0.0, min(pause, self._until.left())))
            if self.lost:
                return self._lose(grant, "")
            if not self._wish.renew:
                continue
            try:
                # The end of the lease is noticed while a renewal hangs, too.
                async with asyncio.timeout(max(0.001, self._until.left())):
                    call = calls.renew(grant, self._wish.ttl, max(0.1, grant.ttl / 4))
                    renewed = await self._transport.send(call)
            except LockLost as lost:
                return self._lose(grant, str(lost))
            except (MainstayError, TimeoutError):
                pause = grant.ttl / 12
                continue
            # One that comes after the end of the lease before is not believed: somebody else may have had the lock.
            if self.lost:
                return self._lose(grant, "")
            self._until, pause = renewed, grant.ttl / 3

    def _lose(self, grant: Grant, why: str) -> None:
        self._state, self._why = "lost", why
        self._over.set()
        if self._inside is not None:
            self._interrupted = True
            self._inside.cancel(f"the lock {self.name} is lost")
        # What the granter still has of it only keeps others waiting.
        _in_background(self._give_back(grant))

    async def _give_back(self, grant: Grant) -> Released:
        try:
            await self._transport.send(calls.release(grant))
            return "released"
        except LockLost:
            return "lost"
        except MainstayError:
            return "unknown"


class AsyncMainstay:
    """A client for the tasks of one event loop; its methods are those of ``Mainstay``."""

    def __init__(
        self, url: str = URL, *, token: str | None = None, timeout: float = 5.0, context: ssl.SSLContext | None = None
    ) -> None:
        self._transport = AsyncTransport(Target(url, token, timeout, context))

    async def get(self, key: Key) -> Entry | None:
        """The value and where it came from; None: there is no such key."""
        return await self._transport.send(calls.get(key))

    async def set(
        self,
        key: Key,
        value: str | bytes,
        *,
        ttl: Duration | None = None,
        if_version: str | None = None,
        if_absent: bool = False,
    ) -> Ack:
        """Writes a value; without a ttl it has the route's. Raises Conflict when the condition does not hold."""
        return await self._transport.send(calls.put(key, value, ttl, if_version, if_absent))

    async def delete(self, key: Key, *, if_version: str | None = None) -> Ack:
        """Deletes a key; one that is not there is no error, unless a version was asked for."""
        return await self._transport.send(calls.delete(key, if_version))

    async def increment(self, key: Key, by: int = 1) -> int:
        """Adds to a counter and answers the new value; a missing key counts as 0."""
        return await self._transport.send(calls.increment(key, by))

    async def keys(self, prefix: Key = "") -> AsyncIterator[Key]:
        """The keys that begin with this, page by page. A key that is not text comes as bytes."""
        cursor: str | None = None
        while True:
            page = await self._transport.send(calls.keys(prefix, cursor))
            for key in page.keys:
                yield key
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
    ) -> AsyncLock:
        """A lock, to be acquired by ``async with`` or ``await acquire()``; see ``Mainstay.lock``."""
        return AsyncLock(self._transport, Wish(name, ttl, wait, require, note, renew))

    async def health(self, *, timeout: float | None = None) -> dict[str, Any]:
        """The state of the storage behind Mainstay. ``AsyncHealth`` is the same for the endpoints of a service."""
        return await self._transport.send(calls.health(timeout))

    async def close(self) -> None:
        """Closes idle connections."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncMainstay:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


_background: set[asyncio.Task[Any]] = set()


def _in_background(work: Any) -> None:
    # The loop keeps only weak references.
    task = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_background.discard)


async def _settle() -> None:
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        pass
