"""Times: durations as people write them, and a clock that a suspended machine does not stop."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import timedelta

#: Seconds, a timedelta, or a text with a unit: ``"250ms"``, ``"30s"``, ``"5m"``.
Duration = float | timedelta | str

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(duration: Duration) -> float:
    """Seconds. Raises ValueError for what is no duration."""
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, str):
        parts = _WRITTEN.fullmatch(duration.strip())
        value = float(parts[1]) * _UNITS[parts[2]] if parts else -1.0
    else:
        value = float(duration)
    if not 0 <= value < float("inf"):
        raise ValueError(f'a duration is seconds, a timedelta, or a text as in "250ms", "30s", "5m", not {duration!r}')
    return value


def written(duration: Duration) -> str:
    """As Mainstay reads it."""
    return f"{round(seconds(duration) * 1000)}ms"


def _steady() -> float:
    # It goes on while the machine is suspended; where there is none, the wall clock tells of that.
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


@dataclass(frozen=True)
class Moment:
    """A moment by two clocks: what is left until then is the lesser of what both say, so that neither, when it stands
    still or is set, makes it longer."""

    steady: float
    wall: float

    @classmethod
    def now(cls) -> Moment:
        return cls(_steady(), time.time())

    def plus(self, secs: float) -> Moment:
        """So many seconds later."""
        return Moment(self.steady + secs, self.wall + secs)

    def left(self) -> float:
        """Seconds from now until then; not above 0 when it is past."""
        return min(self.steady - _steady(), self.wall - time.time())
