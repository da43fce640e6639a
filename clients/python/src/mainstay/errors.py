"""What can go wrong, by type."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

Effect = Literal["none", "unknown"]

#: How long to wait where nobody said how long, in seconds.
RETRY_AFTER = 1.0


class MainstayError(Exception):
    """Everything that this package raises by itself.

    ``kind`` is a word for programs that does not change; ``status`` the HTTP status, where there was an answer; ``hint``
    what to do about it. ``effect`` is ``unknown`` when a write may have been applied: read before writing again.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "error",
        status: int | None = None,
        hint: str | None = None,
        effect: Effect = "none",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.hint = hint
        self.effect = effect


class Unavailable(MainstayError):
    """Nothing can serve this now: a backend is down, the deadline passed, or Mainstay itself cannot be reached.

    ``retry_after`` says when it is worth trying again, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "unavailable",
        status: int | None = None,
        hint: str | None = None,
        effect: Effect = "none",
        retry_after: float = RETRY_AFTER,
        backend: str | None = None,
        causes: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__(message, kind=kind, status=status, hint=hint, effect=effect)
        self.retry_after = retry_after
        self.backend = backend
        self.causes = tuple(causes)


class Conflict(MainstayError):
    """What is there now does not allow it: another version, another type, a key that exists already."""


class LockHeld(Conflict):
    """Somebody else holds the lock, and went on holding it for as long as one was ready to wait.

    ``retry_after`` says for how long its lease lasts yet, in seconds, unless it is renewed or released; None: not known.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "lock_held",
        status: int | None = None,
        hint: str | None = None,
        effect: Effect = "none",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, kind=kind, status=status, hint=hint, effect=effect)
        self.retry_after = retry_after


class LockLost(MainstayError):
    """The lock's lease has ended: somebody else may hold it. Stop, and begin with what is there now."""


def problem_of(status: int, body: bytes) -> MainstayError:
    """The answer to a request, made into an error."""
    problem = _parse(body)
    kind = str(problem.get("type", "")).rpartition(":")[2] or f"http_{status}"
    message = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
    hint = problem.get("hint")
    effect: Effect = "unknown" if problem.get("effect") == "unknown" else "none"
    retry = problem.get("retry_after_ms")
    if kind == "lock_held":
        after = None if retry is None else retry / 1000
        return LockHeld(message, kind=kind, status=status, hint=hint, effect=effect, retry_after=after)
    if status in (503, 504):
        return Unavailable(
            message,
            kind=kind,
            status=status,
            hint=hint,
            effect=effect,
            retry_after=RETRY_AFTER if retry is None else retry / 1000,
            backend=problem.get("backend"),
            causes=problem.get("causes", ()),
        )
    error: type[MainstayError] = MainstayError
    if kind in ("lock_lost", "fenced"):
        error = LockLost
    elif status in (409, 412):
        error = Conflict
    return error(message, kind=kind, status=status, hint=hint, effect=effect)


def _parse(body: bytes) -> dict[str, Any]:
    """Something between us and Mainstay may answer with anything."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
