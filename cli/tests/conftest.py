"""Real processes, read line by line with a bound on the wait."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

PATIENCE = 20.0


@pytest.fixture(scope="session", autouse=True)
def hear_ctrl_c() -> None:
    """Where these tests run in the background of a shell, Ctrl-C is ignored, and children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Running:
    """A process that prints JSON lines."""

    def __init__(self, command: Sequence[str], *, stdin: str = "", env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(stdin)
        self.process.stdin.close()
        self.heard: list[dict[str, Any]] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: list[str] = []
        self._threads = [threading.Thread(target=read) for read in (self._read_lines, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def hear(self, event: str) -> dict[str, Any]:
        """The next line of this kind."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event!r} within {PATIENCE:.0f} s, only {self.heard}") from None
            if line is None:
                raise AssertionError(f"ended without {event!r}; heard {self.heard}; said {''.join(self._errors)}")
            self.heard.append(json.loads(line))
            if self.heard[-1]["event"] == event:
                return self.heard[-1]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(PATIENCE)

    def stderr(self) -> str:
        """All that it said on standard error, once it has ended."""
        self._threads[1].join(PATIENCE)
        return "".join(self._errors)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.extend(self.process.stderr)


Run = Callable[..., Running]


@pytest.fixture
def run() -> Iterator[Run]:
    """Start a process; it is ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(*command: str, stdin: str = "", env: dict[str, str] | None = None) -> Running:
            running = Running(command, stdin=stdin, env=env)
            stack.callback(running.close)
            return running

        yield start


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"{what} did not come true within {PATIENCE:.0f} s"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(OSError):
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    return status.parent.exists() or not Path("/proc").exists()


@pytest.fixture
def until() -> Callable[[Callable[[], bool], str], None]:
    return eventually


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return alive


@pytest.fixture(scope="session")
def antiphon() -> str:
    """The program as a user starts it."""
    return str(Path(sys.executable).with_name("antiphon"))


@pytest.fixture(scope="session")
def clips() -> Path:
    """The recordings of the repository."""
    return Path(__file__).parents[2] / "tests" / "data" / "clips"


@pytest.fixture(autouse=True)
def _untouched_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a developer has set for himself decides nothing here."""
    for name in list(os.environ):
        if name.startswith("ANTIPHON_"):
            monkeypatch.delenv(name)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """`cut`: the connection breaks after the body; `hold`: it stays open, and silent, after the body."""

    status: int = 200
    body: bytes | dict[str, Any] = b""
    cut: bool = False
    hold: bool = False
    media_type: str = "application/json"


class TinyServer:
    """An HTTP server that answers as a test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda _: Answer(404)
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked_for(self, path: str) -> list[Request]:
        return [request for request in self.asked if request.path.partition("?")[0] == path]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, self.path, dict(self.headers.items()), body)
                server.asked.append(request)
                answer = server.answer(request)
                content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.media_type)
                self.send_header("Content-Length", str(len(content) + (1 if answer.cut or answer.hold else 0)))
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()
                if answer.hold:
                    server.closing.wait(PATIENCE)
                self.close_connection = answer.cut or answer.hold

            do_GET = do_POST = do_DELETE = _respond  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        return Handler


@pytest.fixture
def tiny_server() -> Iterator[TinyServer]:
    with TinyServer() as server:
        yield server


@pytest.fixture
def answer() -> type[Answer]:
    """What a tiny server answers."""
    return Answer
