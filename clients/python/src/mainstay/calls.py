"""Requests as values: what is sent, and how the answer is read. Knows no sockets: the client and its asynchronous twin share
it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, quote_from_bytes

from .entry import Ack, Entry, Journaled, Stored, bytes_of, entry_of
from .errors import problem_of
from .times import Duration, Moment, written

T = TypeVar("T")

#: A key: text, or bytes.
Key = str | bytes

_JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request."""

    method: str
    path: str
    read: Callable[[Reply], T]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    #: Seconds beyond the client's own timeout: a wait that is part of the request.
    extra: float = 0.0
    #: Seconds in place of the client's own timeout.
    timeout: float | None = None
    #: Statuses above 399 that are answers.
    expected: tuple[int, ...] = ()

    def finish(self, reply: Reply) -> T:
        """What the reply means; raises what it says otherwise."""
        if reply.status >= 400 and reply.status not in self.expected:
            raise problem_of(reply.status, reply.body)
        return self.read(reply)


@dataclass(frozen=True)
class Grant:
    """A lock that was granted."""

    name: str
    holder: str
    token: int
    guarantee: str
    mode: str
    #: Seconds from when the request was sent.
    ttl: float
    #: When it may be believed no longer.
    until: Moment


@dataclass(frozen=True)
class Page:
    """Some keys, and where to go on."""

    keys: list[Key]
    cursor: str | None


def segment(name: Key) -> str:
    """A key or a name as the last part of a path."""
    if not name:
        raise ValueError("a name has at least one byte")
    if name in (".", "..", b".", b".."):
        # URLs take these for steps between folders.
        raise ValueError(f"the name {name!r} cannot stand in a URL")
    return quote(name, safe="") if isinstance(name, str) else quote_from_bytes(name, safe="")


def get(key: Key) -> Call[Entry | None]:
    def read(reply: Reply) -> Entry | None:
        return None if reply.status == 404 else entry_of(reply.body)

    return Call("GET", f"/v1/kv/{segment(key)}?meta", read, expected=(404,))


def put(key: Key, value: str | bytes, ttl: Duration | None, if_version: str | None, if_absent: bool) -> Call[Ack]:
    if if_version is not None and if_absent:
        raise ValueError("if_version and if_absent exclude each other")
    headers = {"content-type": "application/octet-stream", **_if_match(if_version)}
    if if_absent:
        headers["if-none-match"] = "*"
    query = "" if ttl is None else f"?ttl={written(ttl)}"
    body = value.encode() if isinstance(value, str) else value
    return Call("PUT", f"/v1/kv/{segment(key)}{query}", _ack, headers, body)


def delete(key: Key, if_version: str | None) -> Call[Ack]:
    return Call("DELETE", f"/v1/kv/{segment(key)}", _ack, _if_match(if_version))


def increment(key: Key, by: int) -> Call[int]:
    return Call("POST", f"/v1/kv/{segment(key)}/incr?by={by}", lambda reply: int(json.loads(reply.body)["value"]))


def keys(prefix: Key, cursor: str | None) -> Call[Page]:
    def read(reply: Reply) -> Page:
        page = json.loads(reply.body)
        found: list[Key] = [
            key["key"] if key["encoding"] == "utf8" else bytes_of(key["key"], "base64") for key in page["keys"]
        ]
        return Page(found, page["cursor"])

    start = quote(prefix, safe="")
    following = "" if cursor is None else f"&cursor={quote(cursor, safe='')}"
    return Call("GET", f"/v1/kv?limit=1000&prefix={start}{following}", read)


def health(timeout: float | None) -> Call[dict[str, Any]]:
    def read(reply: Reply) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(reply.body)
        return {**state, "degraded": state["status"] == "degraded"}

    return Call("GET", "/api/health/storage", read, timeout=timeout, expected=(503,))


def lock(name: str, wait: float, ttl: Duration | None, require: str | None, note: str | None) -> Call[Grant]:
    """To be sent at once: the lease counts from now."""
    sent = Moment.now()
    request = {"wait": written(wait), "require": require, "note": note}
    request["ttl"] = None if ttl is None else written(ttl)
    body = json.dumps({name: value for name, value in request.items() if value is not None}).encode()

    def read(reply: Reply) -> Grant:
        said = json.loads(reply.body)
        lasts = said["ttl_ms"] / 1000
        until = _believed(sent, lasts)
        return Grant(name, said["holder"], said["token"], said["guarantee"], said["mode"], lasts, until)

    return Call("POST", f"/v1/locks/{segment(name)}", read, _JSON, body, extra=wait)


def renew(grant: Grant, ttl: Duration | None, timeout: float | None = None) -> Call[Moment]:
    """To be sent at once. Until when the lock may be believed then."""
    sent = Moment.now()
    request: dict[str, Any] = {"holder": grant.holder, "token": grant.token}
    if ttl is not None:
        request["ttl"] = written(ttl)

    def read(reply: Reply) -> Moment:
        return _believed(sent, json.loads(reply.body)["ttl_ms"] / 1000)

    return Call("PUT", f"/v1/locks/{segment(grant.name)}", read, _JSON, json.dumps(request).encode(), timeout=timeout)


def release(grant: Grant) -> Call[None]:
    path = f"/v1/locks/{segment(grant.name)}?holder={grant.holder}&token={grant.token}"
    return Call("DELETE", path, lambda _: None)


def _believed(sent: Moment, ttl: float) -> Moment:
    # Our clock may run slower than the one that the server counted by.
    return sent.plus(ttl * 0.99 - 0.002)


def _if_match(version: str | None) -> dict[str, str]:
    return {} if version is None else {"if-match": f'"{version}"'}


def _ack(reply: Reply) -> Ack:
    if reply.status == 202:
        return Journaled(json.loads(reply.body)["journaled"])
    tag = reply.headers.get("etag")
    return Stored(reply.headers.get("x-mainstay-source"), None if tag is None else tag.strip('"'))
