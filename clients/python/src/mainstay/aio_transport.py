"""HTTP/1.1 over asyncio streams, as much of it as Mainstay speaks. A request that is cancelled closes its connection, which
tells Mainstay that nobody waits any more."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

from .calls import Call, Reply
from .transport import IDLE_COUNT, IDLE_MAX, Target, unreached

T = TypeVar("T")

#: The longest line of a head, in bytes, and the most of them.
LINE_MAX = 64 << 10
LINES_MAX = 200

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class BadAnswer(ConnectionError):
    """What came is no HTTP."""


class AsyncTransport:
    """For the tasks of one event loop."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._idle: list[tuple[float, _Connection]] = []

    async def send(self, call: Call[T]) -> T:
        """What became of it."""
        sent = False
        try:
            async with asyncio.timeout(self._target.limit(call)):
                reader, writer = await self._take()
                try:
                    sent = True
                    writer.write(self._written(call))
                    await writer.drain()
                    reply, reusable = await _read(reader)
                except BaseException:
                    writer.close()
                    raise
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise unreached(error, call, sent) from error
        if reusable and len(self._idle) < IDLE_COUNT:
            self._idle.append((time.monotonic(), (reader, writer)))
        else:
            writer.close()
        return call.finish(reply)

    async def close(self) -> None:
        """Closes idle connections."""
        idle, self._idle = self._idle, []
        for _, (_, writer) in idle:
            writer.close()

    async def _take(self) -> _Connection:
        while self._idle:
            since, (reader, writer) = self._idle.pop()
            if time.monotonic() - since < IDLE_MAX and not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        target = self._target
        return await asyncio.open_connection(target.host, target.port, ssl=target.tls, limit=LINE_MAX)

    def _written(self, call: Call[T]) -> bytes:
        target = self._target
        host = f"[{target.host}]" if ":" in target.host else target.host
        headers = {"host": f"{host}:{target.port}", **target.headers_of(call)}
        if call.body is not None:
            headers["content-length"] = str(len(call.body))
        lines = [f"{call.method} {target.prefix}{call.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header holds no line ends")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (call.body or b"")


async def _read(reader: asyncio.StreamReader) -> tuple[Reply, bool]:
    status, headers = await _head(reader)
    while status < 200:
        status, headers = await _head(reader)
    reusable = headers.get("connection", "").lower() != "close"
    if status in (204, 304):
        return Reply(status, headers, b""), reusable
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Reply(status, headers, await _chunks(reader)), reusable
    if "content-length" in headers:
        return Reply(status, headers, await reader.readexactly(int(headers["content-length"]))), reusable
    return Reply(status, headers, await reader.read()), False


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first = await _line(reader)
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise BadAnswer(f"this is no answer of HTTP/1.1: {first[:80]!r}")
    headers: dict[str, str] = {}
    for _ in range(LINES_MAX):
        line = await _line(reader)
        if not line:
            return int(parts[1]), headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise BadAnswer("the head of the answer does not end")


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := _size(await _line(reader)):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await _line(reader):
        pass
    return bytes(body)


def _size(line: str) -> int:
    try:
        return int(line.partition(";")[0], 16)
    except ValueError as error:
        raise BadAnswer(f"this is no size of a chunk: {line[:80]!r}") from error


async def _line(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\n")).rstrip(b"\r\n").decode("latin-1")
