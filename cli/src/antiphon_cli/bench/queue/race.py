"""One system, alone on one Redis: how fast its worker processes get through jobs that wait for them.

Jobs are queued first and worked off then, as in the systems' own benchmarks
(https://github.com/Bogdanp/dramatiq/tree/master/benchmarks, https://github.com/tobymao/saq/tree/master/benchmarks).
But the worker processes are there before, and warm: they have handled jobs, wait for more, and are stopped (SIGSTOP)
while the others are queued. The clock runs from the moment at which they may go on to the end of the last job.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

from redis import Redis, RedisError

from antiphon_cli.bench.programs import Peer, Program, Stand, stand
from antiphon_cli.bench.queue.peers.systems import Entrant
from antiphon_cli.bench.queue.tally import Tally
from antiphon_cli.bench.report import BenchError

WARM_UP = 200
"""Jobs at a time, until every worker process has had some."""
PATIENCE = 60.0
"""Seconds for a warm-up."""
LOOK = 0.005


@dataclass(frozen=True, slots=True)
class Course:
    """So many jobs, for so many worker processes. Who needs more seconds is judged by what was done by then."""

    jobs: int
    processes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Finish:
    """What was done, and in how many seconds."""

    handled: int
    seconds: float

    @classmethod
    def of(cls, course: Course, handled: int, nanoseconds: int) -> Self:
        """Raises BenchError if nothing was done, or more than there was to do."""
        if not handled:
            raise BenchError(f"not one of {course.jobs} jobs was done in {course.seconds:g} s")
        if handled > course.jobs:
            raise BenchError(f"{handled} jobs were done where {course.jobs} were sent: some were done twice")
        return cls(handled, nanoseconds / 1e9)

    @property
    def rate(self) -> float:
        return self.handled / self.seconds


def run(entrant: Entrant, url: str, course: Course) -> Finish:
    """Empties the database first. Raises BenchError if a process ends, or if nothing can be concluded."""
    _empty(url)
    with stand() as here, Team.started(here, entrant, url, course.processes) as team:
        team.warm_up()
        before = team.handled
        with team.held():
            team.send(course.jobs)
            begin = time.monotonic_ns()
        team.wait_for(before + course.jobs, course.seconds)
        return Finish.of(course, team.handled - before, team.last - begin)


def _empty(url: str) -> None:
    try:
        with Redis.from_url(url) as server:
            server.flushdb()
    except RedisError as error:
        raise BenchError(f"the Redis of the race does not answer: {error}") from None


@dataclass(frozen=True, slots=True)
class Team:
    """The worker processes of a system, each with its tally, and a process that sends them jobs."""

    name: str
    sender: Peer
    workers: Sequence[Program]
    tallies: Sequence[Tally]

    @classmethod
    @contextmanager
    def started(cls, here: Stand, entrant: Entrant, url: str, processes: int) -> Iterator[Self]:
        """Processes are killed at the end: nothing is lost, and a stopped one hears of nothing else."""
        command = ("antiphon_cli.bench.queue.peers", entrant.name, url)
        files = [here.directory / f"tally-{number}" for number in range(processes)]
        tallies = [Tally(file) for file in files]
        with here.talk_to(*command) as sender, ExitStack() as cleanup:
            workers = []
            for file in files:
                worker = here.start(entrant.name, *command, str(file))
                cleanup.callback(worker.process.wait)
                cleanup.callback(worker.process.kill)
                workers.append(worker)
            yield cls(entrant.name, sender, workers, tallies)

    @property
    def handled(self) -> int:
        return sum(tally.handled for tally in self.tallies)

    @property
    def last(self) -> int:
        """When the last job ended: nanoseconds on CLOCK_MONOTONIC."""
        return max(tally.last for tally in self.tallies)

    def send(self, jobs: int) -> None:
        self.sender.say(str(jobs))
        self.sender.hear()

    def warm_up(self) -> None:
        """Have every worker process handle some jobs."""
        sent = 0
        deadline = time.monotonic() + PATIENCE
        while not all(tally.handled for tally in self.tallies):
            self.send(WARM_UP)
            sent += WARM_UP
            if not self.wait_for(sent, deadline - time.monotonic()):
                raise BenchError(f"{self.name} handled {self.handled} jobs of a warm-up of {sent} in {PATIENCE:g} s")

    @contextmanager
    def held(self) -> Iterator[None]:
        """No worker process does anything while the body runs. Raises BenchError if one has ended."""
        self._require_all_alive()
        for worker in self.workers:
            worker.process.send_signal(signal.SIGSTOP)
            # until it has stopped, it may do something yet; if it ends instead, WNOWAIT leaves that to `poll`
            os.waitid(os.P_PID, worker.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        yield
        for worker in self.workers:
            worker.process.send_signal(signal.SIGCONT)

    def wait_for(self, jobs: int, seconds: float) -> bool:
        """Whether so many were handled in time. Raises BenchError if a worker process ends."""
        deadline = time.monotonic() + seconds
        while self.handled < jobs:
            self._require_all_alive()
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK)
        return True

    def _require_all_alive(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is not None:
                raise BenchError(f"a worker process of {self.name} ended:\n{worker.last_words()}")
