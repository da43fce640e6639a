"""A Mainstay that answers what a test says, and the real one with a Redis of its own."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

#: Only a failure waits for it. Seconds.
PATIENCE = 60.0
#: Below those that systems give out by themselves: nobody gets one of these while Mainstay is dead.
PORTS = range(30_000, 32_768)
#: Attempts to find a free port, and to start on ports that nobody else takes.
ATTEMPTS = 10

#: Status, headers, body.
Answer = tuple[int, dict[str, str], bytes]


def until(what: str, condition: Callable[[], bool]) -> None:
    """Looks at a condition until it holds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"waited for {what}")


def problem(status: int, kind: str, /, **more: Any) -> Answer:
    body = {"type": f"urn:mainstay:error:{kind}", "title": "T", "status": status, "detail": "because", **more}
    return status, {"content-type": "application/problem+json"}, json.dumps(body).encode()


def document(status: int, /, **members: Any) -> Answer:
    return status, {"content-type": "application/json"}, json.dumps(members).encode()


class Fake:
    """Answers as ``respond`` says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0
        self.respond: Callable[[str, str, bytes], Answer | None] = lambda method, path, body: (204, {}, b"")
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                fake.connections += 1
                super().setup()

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                fake.asked.append((self.command, self.path, headers, body))
                answer = fake.respond(self.command, self.path, body)
                if answer is None:
                    self.close_connection = True
                    return
                status, more, content = answer
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = handle_one

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def nobody() -> Iterator[str]:
    """A URL at which nobody listens: its port is taken, so that nobody else comes to listen there."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


def free_port() -> int:
    for _ in range(ATTEMPTS):
        port = random.choice(PORTS)
        try:
            with socket.socket() as door:
                door.bind(("127.0.0.1", port))
            return port
        except OSError:
            continue
    raise AssertionError("no port is free")


class Real:
    """The binary that MAINSTAY_BIN names, before a Redis and a SQLite file of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mainstay-client-"))
        self.resp, self.http = "", ""
        self._redis: subprocess.Popen[bytes] | None = None
        self._mainstay: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self.start_redis()
        # Somebody else may take a free port before the process does.
        for _ in range(ATTEMPTS):
            self.resp, self.http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
            if self._try_start():
                return
        self.close()
        raise AssertionError("mainstay did not start")

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    @property
    def resp_port(self) -> int:
        return int(self.resp.rpartition(":")[2])

    def start_redis(self) -> None:
        # A socket in its folder is nobody else's while it is dead.
        options = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        self._redis = subprocess.Popen(["redis-server", *options], cwd=self.folder, stdout=subprocess.DEVNULL)

    @property
    def _socket(self) -> Path:
        return self.folder / "redis.sock"

    def kill_redis(self) -> None:
        assert self._redis is not None
        self._redis.kill()
        self._redis.wait()

    def start(self) -> None:
        """Starts it again where it was."""
        if not self._try_start():
            raise AssertionError("mainstay did not start")

    def _try_start(self) -> bool:
        env = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY__")}
        env |= {"REDIS_URL": f"redis+unix://{self._socket}", "DATABASE_URL": "sqlite:client.db"}
        # By itself it would leave locks to Redis: a SQLite file is no database that hosts share.
        env["MAINSTAY__LOCKS__MODE"] = "local"
        serve = [os.environ["MAINSTAY_BIN"], "serve", "--resp", self.resp, "--http", self.http, "--log-format", "json"]
        self._mainstay = subprocess.Popen(
            serve, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        log = self._mainstay.stderr
        assert log is not None
        for line in log:
            # The error with which it ends is no JSON.
            if line.startswith("{") and json.loads(line).get("message") == "serving":
                self._readers.append(threading.Thread(target=_drain, args=(log,), daemon=True))
                self._readers[-1].start()
                return True
        log.close()
        self._mainstay.wait()
        return False

    def kill(self) -> None:
        assert self._mainstay is not None
        self._mainstay.kill()
        self._mainstay.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self._mainstay is not None
        self._mainstay.send_signal(number)

    def close(self) -> None:
        for process in (self._mainstay, self._redis):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        # Its reader ends with it.
        for reader in self._readers:
            reader.join()
        shutil.rmtree(self.folder, ignore_errors=True)


def _drain(log: IO[str]) -> None:
    """A process must not wait for a reader of its log."""
    with log:
        for _ in log:
            pass
