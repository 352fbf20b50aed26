"""Starts programs as processes of their own, hears their first line of log, and ends them by their process id."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from antiphon_cli.bench.report import BenchError

PATIENCE = 60.0
"""Seconds after which a program that should be ready is not."""
GRACE = 10.0
"""Seconds from SIGTERM to SIGKILL."""


@dataclass(frozen=True, slots=True)
class Program:
    """A process of ours, and the file that its log lines go to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, event: str) -> dict[str, Any]:
        """The first log line of this event. Raises BenchError if the program ends before, or takes too long."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if line.startswith("{") and line.endswith("}") and json.loads(line).get("event") == event:
                    found: dict[str, Any] = json.loads(line)
                    return found
            if self.process.poll() is not None:
                raise BenchError(f"the {self.name} ended before it was ready:\n{self.last_words()}")
            time.sleep(0.02)
        raise BenchError(f"the {self.name} is not ready after {PATIENCE:.0f} s:\n{self.last_words()}")

    def memory(self, kind: str) -> float:
        """MB of `VmRSS`, what it holds now, or `VmHWM`, the most that it ever held (proc(5))."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == kind:
                return int(value.split()[0]) * 1024 / 1e6
        raise BenchError(f"this system does not tell {kind} of a process; the bench needs Linux")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text().splitlines()[-15:])


@dataclass(frozen=True)
class Stand:
    """A temporary directory, and the programs that work in it. Their only settings are those given here.

    `lifeline` is a pipe's descriptor that programs inherit: it closes when the bench ends, however it ends.
    """

    directory: Path
    lifeline: int
    _cleanup: ExitStack
    _started: list[str] = field(default_factory=list)

    def start(self, name: str, *command: str, settings: Mapping[str, str] | None = None) -> Program:
        """Run `python -m command`; it is ended with the stand."""
        log = self.directory / f"{len(self._started)}-{name}.log"
        self._started.append(name)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", *command],
                env={**inherited, **(settings or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(self.lifeline,),
            )
        program = Program(name, process, log)
        self._cleanup.callback(program.end)
        return program

    @contextmanager
    def talk_to(self, *command: str) -> Iterator["Peer"]:
        """Run `python -m command`, which answers lines with lines, while the body runs."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
        with subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", *command], env=inherited, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            try:
                yield Peer(process)
            finally:
                process.kill()


class Peer:
    """A process that we talk to, line by line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def say(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def hear(self) -> str:
        """The next line. Raises BenchError if the process has ended."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"a process of the bench ended with status {self._process.wait()}; see what it said above")
        return line.decode().rstrip("\n")


@contextmanager
def stand() -> Iterator[Stand]:
    """An empty one. Programs are ended, the newest first, before the directory goes."""
    with TemporaryDirectory(prefix="antiphon-bench-") as directory, ExitStack() as cleanup:
        reading, writing = os.pipe()
        for end in (reading, writing):
            cleanup.callback(os.close, end)
        yield Stand(Path(directory), reading, cleanup)
