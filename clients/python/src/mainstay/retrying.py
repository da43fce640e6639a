"""Trying again, when and as long as it makes sense."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import Unavailable
from .resp import unavailable
from .times import Duration, Moment, seconds

T = TypeVar("T")


def retry(work: Callable[[], T], *, within: Duration = 30.0) -> T:
    """Tries again while nothing can serve, each time after the pause that the error asks for; no attempt begins after
    ``within``. A write whose outcome is unknown is not repeated: that error comes out, and the caller reads before writing
    again. Takes errors of redis-py as well as those of this package."""
    until = Moment.now().plus(seconds(within))
    while True:
        try:
            return work()
        except Exception as error:
            time.sleep(_pause(error, until))


async def async_retry(work: Callable[[], Awaitable[T]], *, within: Duration = 30.0) -> T:
    """The same for asyncio."""
    until = Moment.now().plus(seconds(within))
    while True:
        try:
            return await work()
        except Exception as error:
            rest = _pause(error, until)
        await asyncio.sleep(rest)


def _pause(error: Exception, until: Moment) -> float:
    """How long to wait before the next attempt; raises the error when there is none."""
    refused = error if isinstance(error, Unavailable) else unavailable(error)
    if refused is None:
        raise error
    # Up to a quarter more: those who were refused together need not come back together.
    rest = refused.retry_after * (1 + random.random() / 4)
    if refused.effect == "unknown" or rest > until.left():
        if refused is error:
            raise error
        raise refused from error
    return rest
