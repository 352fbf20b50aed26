"""The API as a program: how it starts, and how it stops."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from antiphon.ports import Ports
from antiphon_api.settings import ApiSettings

Program = Any
Start = Callable[..., Program]
Blobs = Callable[[], list[str]]

HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="clip.wav"\r\n\r\n'
END = b"\r\n--b--\r\n"


def request(length: int | None) -> bytes:
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: api\r\nContent-Type: multipart/form-data; boundary=b\r\n{size}\r\n\r\n"
    return head.encode()


def started(settings: ApiSettings, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start the program where it should not start."""
    return subprocess.run(
        [sys.executable, "-m", "antiphon_api", *arguments],
        env={**os.environ, "ANTIPHON_DATA": str(settings.data), **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


# --- start


def test_it_serves_on_the_socket_that_it_is_given(program: Program) -> None:
    assert httpx.get(f"{program.url}/readyz").status_code == 200
    assert program.stop() == 0


def test_it_serves_where_it_is_told_to_and_says_where(settings: ApiSettings) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "antiphon_api", "--port", "0"],
        env={**os.environ, "ANTIPHON_DATA": str(settings.data)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        address = json.loads(process.stderr.readline())["address"]
        assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ((), {"ANTIPHON_LISTEN_PORT": "hunter2"}, "ANTIPHON_LISTEN_PORT"),
        ((), {"ANTIPHON_MAX_UPLOAD_BYTES": "0"}, "ANTIPHON_MAX_UPLOAD_BYTES"),
        ((), {"ANTIPHON_LOG_LEVEL": "loud"}, "ANTIPHON_LOG_LEVEL"),
        ((), {"ANTIPHON_STORE_URL": "mysql://me:hunter2@host/db"}, "mysql"),
        (("--fd", "77"), {}, "--fd 77"),
        (("--host", "192.0.2.1"), {}, "192.0.2.1"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_line(
    settings: ApiSettings, arguments: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    ended = started(settings, *arguments, **environment)
    assert ended.returncode == os.EX_CONFIG
    [line] = ended.stderr.splitlines()
    assert said in line
    assert "hunter2" not in line


def test_a_store_without_tables_ends_the_start_with_the_remedy(settings: ApiSettings) -> None:
    (settings.data / "store.db").write_bytes(b"")
    ended = started(settings)
    assert ended.returncode == os.EX_CONFIG
    [line] = ended.stderr.splitlines()
    assert "antiphon migrate" in line


def test_an_address_that_is_taken_is_named(settings: ApiSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = started(settings, "--port", str(taken.getsockname()[1]))
    assert ended.returncode == os.EX_CONFIG
    assert "Address already in use" in ended.stderr


# --- stop


def test_sigterm_ends_it_at_once_with_exit_code_0(program: Program) -> None:
    httpx.get(f"{program.url}/healthz")
    stopping = time.monotonic()
    assert program.stop() == 0
    assert time.monotonic() - stopping < 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_event_streams_cleanly(program: Program, number: signal.Signals) -> None:
    with httpx.Client(base_url=program.url, timeout=10) as http:
        job = http.post("/v1/jobs", files={"file": ("clip.wav", b"x")}).json()["id"]
        with http.stream("GET", f"/v1/jobs/{job}/events") as response:
            lines = response.iter_lines()
            next(lines)
            program.process.send_signal(number)
            for _ in lines:  # to the end; a broken stream would raise
                pass
    assert program.process.wait(5) == 0


def test_a_stop_lets_requests_finish_that_have_begun(program: Program) -> None:
    body = HEAD + b"some audio" + END
    with socket.create_connection(program.address, timeout=10) as slow:
        slow.sendall(request(len(body)) + body[:50])
        httpx.get(f"{program.url}/healthz")  # answered after the request above has begun
        program.process.terminate()
        for line in program.process.stderr:
            if "stopping" in line:
                break
        slow.sendall(body[50:])
        answer = slow.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 202")
    assert program.process.wait(5) == 0


def test_a_stop_does_not_wait_for_ever_and_what_it_cuts_off_leaves_nothing(start: Start, blobs: Blobs) -> None:
    program = start(ANTIPHON_SHUTDOWN_SECONDS="1")
    with socket.create_connection(program.address) as stalled:
        stalled.sendall(request(500_000) + HEAD + b"x" * 300_000)
        httpx.get(f"{program.url}/healthz")
        assert program.stop() == 0
    assert blobs() == []


def test_it_goes_when_whoever_started_it_is_gone(start: Start) -> None:
    reading, writing = os.pipe()
    program = start("--lifeline", str(reading), descriptors=(reading,))
    os.close(reading)
    assert httpx.get(f"{program.url}/healthz").status_code == 200
    os.close(writing)
    assert program.process.wait(5) == 0


def test_a_crash_beside_the_server_ends_the_program_where_all_can_see_it(start: Start, settings: ApiSettings) -> None:
    """The sweeper meets a tombstone that no program could have left."""
    with sqlite3.connect(settings.data / "store.db") as store:
        store.execute("INSERT INTO tombstones (job, tenant, deleted_at, swept) VALUES ('../..', 'default', 0, 0)")
    store.close()
    program = start()
    assert program.process.wait(10) == 1
    assert "ValueError" in program.process.stderr.read()


# --- what happens by itself


async def test_an_accepted_job_reaches_the_queue(program: Program, ports: Ports) -> None:
    async with httpx.AsyncClient(base_url=program.url) as http:
        job = (await http.post("/v1/jobs", files={"file": ("clip.wav", b"x")})).json()["id"]
    [received] = await ports.queue.receive(1, wait=10, lease=30)
    assert received.message.job == job
