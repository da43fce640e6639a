"""For those who stay with redis-py: where a value came from, and what ``-UNAVAILABLE`` says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .entry import Worth
from .errors import RETRY_AFTER, Unavailable

_SAID = re.compile(r"-?UNAVAILABLE (.*)", re.DOTALL)
_RETRY = re.compile(r"; retry_after_ms=(\d+)")


class RespClient(Protocol):
    """redis.Redis."""

    def execute_command(self, *args: Any) -> Any: ...


class AsyncRespClient(Protocol):
    """redis.asyncio.Redis."""

    async def execute_command(self, *args: Any) -> Any: ...


@dataclass(frozen=True)
class KeyMeta:
    """What MAINSTAY.META says about a key. Times are in seconds."""

    source: str
    stale: bool
    worth: Worth
    age: float | None
    ttl: float | None
    version: str | None
    #: Bytes of the value.
    length: int


def meta(client: RespClient, key: str | bytes) -> KeyMeta | None:
    """Where the value of a key comes from now; None: there is no such key. It is a read of its own beside GET."""
    return _meta_of(client.execute_command("MAINSTAY.META", key))


async def async_meta(client: AsyncRespClient, key: str | bytes) -> KeyMeta | None:
    """The same over redis.asyncio."""
    return _meta_of(await client.execute_command("MAINSTAY.META", key))


def unavailable(error: BaseException) -> Unavailable | None:
    """What an error of redis-py says, if it is Mainstay's ``-UNAVAILABLE``; None: it is another error."""
    said = _SAID.fullmatch(str(error))
    if said is None:
        return None
    retry = _RETRY.search(said[1])
    return Unavailable(
        said[1],
        effect="unknown" if "; outcome unknown" in said[1] else "none",
        retry_after=RETRY_AFTER if retry is None else int(retry[1]) / 1000,
    )


def _meta_of(reply: Any) -> KeyMeta | None:
    if reply is None:
        return None
    # A map of RESP 3, or the list that RESP 2 has.
    pairs = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    fields = {_text(name): value for name, value in pairs}
    age, ttl, version = fields["age_ms"], fields["ttl_ms"], fields["version"]
    return KeyMeta(
        source=_text(fields["source"]),
        stale=bool(fields["stale"]),
        worth=_text(fields["worth"]),  # type: ignore[arg-type]
        age=None if age is None else age / 1000,
        ttl=None if ttl is None else ttl / 1000,
        version=None if version is None else _text(version),
        length=fields["length"],
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
