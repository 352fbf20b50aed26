"""Starts the real programs as processes, on files in a temporary directory, and talks to them as a client would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.acceptance.backends import Backends

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "tests" / "data" / "clips"
PATIENCE = 30.0
"""Seconds after which something that should have happened has not."""


@dataclass
class Program:
    """A running program and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, event: str) -> dict[str, Any]:
        """The first log line of this event. Fails if the program ends before, or takes too long."""
        with self.log.open() as lines:
            for _ in range(int(PATIENCE / 0.02)):
                for line in iter(lines.readline, ""):
                    if line.startswith("{") and json.loads(line)["event"] == event:
                        found: dict[str, Any] = json.loads(line)
                        return found
                try:
                    self.process.wait(0.02)
                except subprocess.TimeoutExpired:
                    continue
                pytest.fail(f"the program ended before {event!r}:\n{self.log.read_text()}")
        pytest.fail(f"no {event!r} in time:\n{self.log.read_text()}")

    def kill(self) -> None:
        """As a power cut would: it can do nothing about it."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """As Kubernetes would; returns the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def slots(self) -> list[int]:
        """The process ids of its slots' children."""
        return [pid for pid in _children(self.process.pid) if "spawn_main" in _command(pid)]


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether the process still computes; one that is only waiting to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pids: list[int], within: float = PATIENCE) -> None:
    """Wait until none of these processes computes any more."""
    deadline = time.monotonic() + within
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} still run after {within} s"
        time.sleep(0.005)


@dataclass
class Installation:
    """A directory, the backends beside it, and the programs that work on them."""

    data: Path
    backends: Backends
    programs: list[Program] = field(default_factory=list)
    url: str = ""

    def start(self, *command: str, **settings: str) -> Program:
        log = self.data / f"log-{len(self.programs)}"
        environment = {
            **os.environ,
            "ANTIPHON_DATA": str(self.data / "files"),
            "ANTIPHON_SCRATCH": str(self.data / "scratch"),
            "ANTIPHON_LEASE_SECONDS": "3",
            "ANTIPHON_SWEEP_SECONDS": "0.5",
            "ANTIPHON_RETRY_BASE_SECONDS": "0.1",
            "ANTIPHON_HEALTH_PORT": "0",
            **self.backends.settings,
            **{f"ANTIPHON_{name.upper()}": value for name, value in settings.items()},
        }
        (self.data / "scratch").mkdir(exist_ok=True)
        with log.open("wb") as stderr:
            process = subprocess.Popen([sys.executable, "-m", *command], env=environment, stderr=stderr)
        program = Program(process, log)
        self.programs.append(program)
        return program

    def migrate(self) -> None:
        """Make the store, and register the pool, as `antiphon up` does."""
        program = """
import asyncio
from antiphon.pools import Pool
from antiphon.ports import PortSettings, open_ports
from antiphon.store.schema import migrate

async def main():
    settings = PortSettings()
    await migrate(settings.store())
    async with open_ports(settings) as ports:
        await ports.store.put_pool(Pool())

asyncio.run(main())
"""
        environment = {**os.environ, "ANTIPHON_DATA": str(self.data / "files"), **self.backends.settings}
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)

    def start_api(self, **settings: str) -> Program:
        """The API, answering; its address is `url`."""
        api = self.start("antiphon_api", "--port", "0", **settings)
        self.url = str(api.wait_for("listening")["address"])
        return api

    def start_worker(self, **settings: str) -> Program:
        """A worker whose slots hold their engines."""
        worker = self.start("antiphon_worker", **settings)
        worker.wait_for("worker ready")
        return worker

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE)

    def submit(self, recording: Path, **options: object) -> str:
        """The id of the accepted job."""
        with self.client() as client, recording.open("rb") as file:
            answer = client.post(
                "/v1/jobs", files={"file": (recording.name, file)}, data={"options": json.dumps(options)}
            )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job: str) -> dict[str, Any]:
        with self.client() as client:
            found: dict[str, Any] = client.get(f"/v1/jobs/{job}").raise_for_status().json()
        return found

    def events(self, job: str) -> Iterator[tuple[str, int | None, dict[str, Any]]]:
        """(event, number, job) as they come, until the stream ends."""
        with self.client() as client, client.stream("GET", f"/v1/jobs/{job}/events") as stream:
            fields: dict[str, str] = {}
            for line in stream.iter_lines():
                if line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif not line and "data" in fields:
                    yield fields["event"], int(fields["id"]) if "id" in fields else None, json.loads(fields["data"])
                    fields = {}

    def wait_until_transcribing(self, job: str) -> dict[str, Any]:
        """The job as soon as its transcription has come somewhere."""
        for _, _, state in self.events(job):
            if state["stage"] == "transcribe" and state["progress"] > 10:
                return state
        pytest.fail(f"the job ended before: {self.job(job)}")

    def wait_until_ended(self, job: str) -> dict[str, Any]:
        """The job as its terminal event tells it."""
        *_, (_, _, state) = self.events(job)
        assert state["finished_at"] is not None
        return state

    def wait_for_depth(self, **wanted: int) -> None:
        """Wait until the pool's queues together hold so many messages of each kind."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with self.client() as client:
                queues = client.get("/v1/queues").raise_for_status().json()["queues"]
            found = {kind: sum(queue[kind] for queue in queues) for kind in wanted}
            if found == wanted:
                return
            assert time.monotonic() < deadline, f"the queues hold {found} and not {wanted}"
            time.sleep(0.02)

    def result(self, job: str) -> dict[str, Any]:
        with self.client() as client:
            found: dict[str, Any] = client.get(f"/v1/jobs/{job}/result").raise_for_status().json()
        return found


@contextmanager
def installed(data: Path, backends: Backends) -> Iterator[Installation]:
    installation = Installation(data, backends)
    installation.migrate()
    try:
        yield installation
    finally:
        for program in installation.programs:
            if program.process.poll() is None:
                program.process.send_signal(signal.SIGKILL)
                program.process.wait()
