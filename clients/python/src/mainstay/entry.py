"""What is read and what a write answers, with what is known about it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Literal

#: How true a value is: ``linearizable``, ``bounded`` (older than an acknowledged write by a lease at most), ``pending`` (a
#: write of Mainstay's that waits in its journal), ``unpromised`` or ``unverified`` (the record does not answer).
Worth = Literal["linearizable", "bounded", "pending", "unpromised", "unverified"]


@dataclass(frozen=True)
class Entry:
    """A value, and where it comes from. Times are in seconds."""

    value: bytes
    #: The backend that answered.
    source: str
    #: Whether it is possibly older than the last acknowledged write.
    stale: bool
    worth: Worth
    #: Age of the copy, when a cache answered.
    age: float | None
    #: Time left to live; None: it does not expire.
    ttl: float | None
    #: The version, where the backend gives one: for ``if_version``.
    version: str | None

    def text(self) -> str:
        """The value as text."""
        return self.value.decode()

    def json(self) -> Any:
        """The value, parsed."""
        return json.loads(self.value)


@dataclass(frozen=True)
class Stored:
    """The record, or the best backend of a failover route, has it."""

    source: str | None
    version: str | None


@dataclass(frozen=True)
class Journaled:
    """The record is down; the write is on the disk of Mainstay's host and is applied when the record is back."""

    sequence: int


Ack = Stored | Journaled


def entry_of(body: bytes) -> Entry:
    """Reads the document of ``?meta``."""
    meta = json.loads(body)
    return Entry(
        value=bytes_of(meta["value"], meta["encoding"]),
        source=meta["source"],
        stale=meta["stale"],
        worth=meta["worth"],
        age=meta["age"],
        ttl=meta["ttl"],
        version=meta["version"],
    )


def bytes_of(text: str, encoding: str) -> bytes:
    """Bytes as JSON carries them."""
    return text.encode() if encoding == "utf8" else base64.b64decode(text)
