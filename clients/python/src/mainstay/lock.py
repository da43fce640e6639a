"""A lock for threads: held by a ``with``, renewed by a thread of its own."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING

from . import calls
from .calls import Grant
from .errors import LockHeld, LockLost, MainstayError
from .lease import Lease, Released, Wish, is_spent
from .times import Moment

if TYPE_CHECKING:
    from .transport import Transport


class Lock(Lease):
    """A lease with a fencing token that renews itself, and that says when it is lost.

    ``with storage.lock("nightly") as lock:`` acquires and releases it. Call ``lock.check()`` before each step that others
    see; a block whose lock was lost ends with LockLost.
    """

    def __init__(self, transport: Transport, wish: Wish) -> None:
        super().__init__(wish)
        self._transport = transport
        self._over = threading.Event()

    def acquire(self) -> None:
        """Waits for it. Raises LockHeld when somebody else still holds it at the end of the wait."""
        self._acquire(self._wish.seconds_to_wait())

    def try_acquire(self) -> bool:
        """Takes it if it is free; False: somebody else holds it."""
        try:
            self._acquire(0.0)
        except LockHeld:
            return False
        return True

    def wait_lost(self, timeout: float | None = None) -> bool:
        """Waits until it is lost, or released (False), at most for so many seconds (False)."""
        self._over.wait(timeout)
        return self.lost

    def release(self) -> Released:
        """Releases it, and says what became of it. Raises nothing; a second time it changes nothing."""
        if self.lost:
            return "lost"
        if self._state != "held":
            return "released"
        self._state = "released"
        self._over.set()
        return self._give_back(self._granted())

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.release() == "lost" and kind is None:
            raise self._lost()

    def _acquire(self, wait: float) -> None:
        if self.held:
            raise RuntimeError(f"the lock {self.name} is held already: it is not re-entrant")
        wish, until = self._wish, Moment.now().plus(wait)
        # The first request asks for what the caller said, to the millisecond; the next ones for what is left of it.
        left = wait
        while True:
            grant = self._transport.send(calls.lock(wish.name, left, wish.ttl, wish.require, wish.note))
            try:
                spent = is_spent(grant)
                self._hold(grant, self._transport.send(calls.renew(grant, wish.ttl)) if spent else grant.until)
                break
            except LockLost as lost:
                left = until.left()
                if left <= 0:
                    raise LockHeld(str(lost)) from lost
            except BaseException:
                self._give_back(grant)
                raise
        self._over = threading.Event()
        name = f"mainstay-lock-{wish.name}"
        threading.Thread(target=self._keep, args=(grant, self._over), name=name, daemon=True).start()

    def _keep(self, grant: Grant, over: threading.Event) -> None:
        """Renews it at a third of the lease, tries again at every twelfth while nobody answers, and notices its end."""
        pause = grant.ttl / 3
        while not over.wait(max(0.0, min(pause, self._until.left()))):
            if self.lost:
                return self._lose(grant, "", over)
            if not self._wish.renew:
                continue
            try:
                renewed = self._transport.send(calls.renew(grant, self._wish.ttl, max(0.1, grant.ttl / 4)))
            except LockLost as lost:
                return self._lose(grant, str(lost), over)
            except MainstayError:
                pause = grant.ttl / 12
                continue
            # It was released meanwhile, and may be held anew.
            if over.is_set():
                return
            # One that comes after the end of the lease before is not believed: somebody else may have had the lock.
            if self.lost:
                return self._lose(grant, "", over)
            self._until, pause = renewed, grant.ttl / 3

    def _lose(self, grant: Grant, why: str, over: threading.Event) -> None:
        if over.is_set():
            return
        self._state, self._why = "lost", why
        over.set()
        # What the granter still has of it only keeps others waiting.
        self._give_back(grant)

    def _give_back(self, grant: Grant) -> Released:
        try:
            self._transport.send(calls.release(grant))
            return "released"
        except LockLost:
            return "lost"
        except MainstayError:
            return "unknown"
