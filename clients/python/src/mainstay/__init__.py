"""Client of Mainstay: values with where they came from, fenced locks that renew themselves, health for your service."""

from .aio import AsyncLock, AsyncMainstay
from .calls import Key
from .client import Mainstay
from .entry import Ack, Entry, Journaled, Stored, Worth
from .errors import Conflict, LockHeld, LockLost, MainstayError, Unavailable
from .health import AsgiHealth, AsyncHealth, Health, WsgiHealth
from .lease import Released
from .lock import Lock
from .resp import KeyMeta, async_meta, meta, unavailable
from .retrying import async_retry, retry
from .times import Duration

__all__ = [
    "Ack",
    "AsgiHealth",
    "AsyncHealth",
    "AsyncLock",
    "AsyncMainstay",
    "Conflict",
    "Duration",
    "Entry",
    "Health",
    "Journaled",
    "Key",
    "KeyMeta",
    "Lock",
    "LockHeld",
    "LockLost",
    "Mainstay",
    "MainstayError",
    "Released",
    "Stored",
    "Unavailable",
    "Worth",
    "WsgiHealth",
    "async_meta",
    "async_retry",
    "meta",
    "retry",
    "unavailable",
]
