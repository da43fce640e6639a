"""What a lock of a thread and a lock of a task have in common: whether it is held, and how long it may be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .calls import Grant
from .errors import LockLost, Unavailable
from .times import Duration, Moment, seconds

#: How a release ended. ``unknown``: nobody answered; the lock ends with its lease at the latest.
Released = Literal["released", "lost", "unknown"]

#: How long to wait when nothing is said, in seconds.
WAIT = 10.0


@dataclass(frozen=True)
class Wish:
    """How a lock is asked for."""

    name: str
    ttl: Duration | None
    wait: Duration
    require: str | None
    note: str | None
    renew: bool

    def seconds_to_wait(self) -> float:
        return seconds(self.wait)


class Lease:
    """Whether a lock is held."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._grant: Grant | None = None
        self._until = Moment(0, 0)
        self._state: Literal["free", "held", "lost", "released"] = "free"
        self._why = ""

    @property
    def name(self) -> str:
        return self._wish.name

    @property
    def token(self) -> int:
        """Higher than that of any holder before, where ``guarantee`` is ``fenced``: pass it on to whatever is changed."""
        return self._granted().token

    @property
    def guarantee(self) -> str:
        """fenced, best_effort, host or process."""
        return self._granted().guarantee

    @property
    def mode(self) -> str:
        """Who granted it: record, quorum, failover, redis or local."""
        return self._granted().mode

    @property
    def left(self) -> float:
        """Seconds for which it may be believed yet unless it is renewed; 0: it is not held."""
        return max(0.0, self._until.left()) if self._state == "held" else 0.0

    @property
    def held(self) -> bool:
        """Whether it may be believed."""
        return self.left > 0

    @property
    def lost(self) -> bool:
        """Whether it was held, and somebody else may hold it now."""
        return self._state == "lost" or (self._state == "held" and self._until.left() <= 0)

    def check(self) -> None:
        """To be asked before each step that others see: raises LockLost when somebody else may hold the lock."""
        if self.held:
            return
        if self._state in ("free", "released"):
            raise LockLost(f"the lock {self.name} is not held", kind="lock_released")
        raise self._lost()

    def _granted(self) -> Grant:
        if self._grant is None:
            raise LockLost(f"the lock {self.name} was not acquired", kind="lock_released")
        return self._grant

    def _hold(self, grant: Grant, until: Moment) -> None:
        if until.left() <= 0:
            raise Unavailable("the lock was granted too late to be believed", kind="timeout")
        self._grant, self._until, self._state, self._why = grant, until, "held", ""

    def _lost(self) -> LockLost:
        why = self._why or "its lease has ended"
        hint = "stop: another may hold it; acquire it again, and begin with what is there now"
        message = f"the lock {self.name}, token {self._granted().token}, is lost: {why}"
        return LockLost(message, kind="lock_lost", hint=hint)


def is_spent(grant: Grant) -> bool:
    """Counted from before the request, much of a lease is over when one has waited: a renewal says what is left."""
    return grant.until.left() < grant.ttl * 2 / 3
