"""Uploads to the running program: what it holds in memory, and what becomes of clients that misbehave."""

import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.jobs import DEFAULT_TENANT
from antiphon.ports import Ports
from antiphon_api.settings import ApiSettings

Program = Any
Blobs = Callable[[], list[str]]

HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="clip.wav"\r\n\r\n'
END = b"\r\n--b--\r\n"


def request(length: int | None) -> bytes:
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: api\r\nContent-Type: multipart/form-data; boundary=b\r\n{size}\r\n\r\n"
    return head.encode()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> ApiSettings:
    """One program serves all of these tests."""
    data = tmp_path_factory.mktemp("data")
    shutil.copy(empty_store, data / "store.db")
    return ApiSettings(data=data)


@pytest.fixture(scope="module")
def program(launch: Callable[..., Program], settings: ApiSettings) -> Program:
    return launch(settings, ANTIPHON_MAX_UPLOAD_BYTES=str(300_000_000))


async def test_an_upload_of_200_mb_adds_less_than_20_mb_of_memory(program: Program, ports: Ports) -> None:
    size, piece = 200 * 1024 * 1024, os.urandom(1024 * 1024)

    async def body(pieces: int) -> AsyncIterator[bytes]:
        yield HEAD
        for _ in range(pieces):
            yield piece
        yield END

    async with httpx.AsyncClient(base_url=program.url, timeout=60) as http:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        for _ in range(3):  # what a first request loads stays, and is not the upload's
            assert (await http.post("/v1/jobs", content=body(1), headers=headers)).status_code == 202
        memory = Memory(program.process.pid)
        response = await http.post("/v1/jobs", content=body(200), headers=headers)
    assert response.status_code == 202
    assert (await ports.store.job(DEFAULT_TENANT, response.json()["id"])).source.size == size
    assert memory.added() < 20_000_000


class Memory:
    """How much a process takes more than now, at its worst."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        if not self._proc.exists():
            pytest.skip("needs /proc")
        (self._proc / "clear_refs").write_text("5")  # the peak starts anew: proc(5)
        self._before = self._bytes("VmRSS")

    def added(self) -> int:
        return self._bytes("VmHWM") - self._before

    def _bytes(self, name: str) -> int:
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(name)


async def test_who_leaves_in_the_middle_of_an_upload_leaves_nothing_behind(
    program: Program, ports: Ports, blobs: Blobs
) -> None:
    before = blobs(), await ports.store.jobs(DEFAULT_TENANT, limit=100)
    with socket.create_connection(program.address) as leaving:
        leaving.sendall(request(500_000) + HEAD + b"x" * 400_000)
    line = 'antiphon_http_request_seconds_count{method="POST",route="/v1/jobs",status="400"} 1.0'
    async with httpx.AsyncClient(base_url=program.url) as http:
        while line not in (await http.get("/metrics")).text:
            pass
    assert (blobs(), await ports.store.jobs(DEFAULT_TENANT, limit=100)) == before


def test_an_upload_that_never_ends_is_cut_off(program: Program, blobs: Blobs) -> None:
    before = blobs()
    with socket.create_connection(program.address, timeout=10) as endless:
        endless.sendall(request(None) + b"%x\r\n%s\r\n" % (len(HEAD), HEAD))

        def send_for_ever() -> None:
            while True:
                endless.sendall(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")

        with pytest.raises(OSError, match=r"reset|pipe"):
            send_for_ever()
    assert blobs() == before


def test_an_upload_that_is_too_long_is_refused_before_it_is_sent(program: Program) -> None:
    with socket.create_connection(program.address, timeout=10) as large:
        large.sendall(request(10**12))
        answer = b""
        while b"audio_too_large" not in answer:
            piece = large.recv(65_536)
            assert piece, answer
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_client_that_sends_on_can_still_read_why_it_is_refused(program: Program) -> None:
    length = 1_500_000
    with socket.create_connection(program.address, timeout=10) as stubborn:
        stubborn.sendall(request(length).replace(b"multipart/form-data", b"audio/wav"))
        stubborn.sendall(b"x" * length)
        answer = stubborn.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 415")
    assert b"connection: close" in answer.lower()


def test_a_small_refused_body_costs_no_connection(program: Program) -> None:
    with httpx.Client(base_url=program.url) as http:
        assert "close" not in http.post("/v1/jobs", content=b"x" * 1000).headers.get("Connection", "")
        assert http.get("/healthz").status_code == 200
