"""Send, receive and ack of no-op jobs: `SqliteQueue` beside bare sqlite3."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from antiphon.ids import new_id
from antiphon.messages import Message
from antiphon.queue import Queue, open_queue
from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.programs import stand
from antiphon_cli.bench.queue.raw import LEASE, RawQueue
from antiphon_cli.bench.report import Against, BenchError, Figure, Target
from antiphon_cli.bench.sampling import Tell, in_turn, median

ROUNDS = 15
JOBS = 3000
"""Per round and side: three changed rows each, so that each side has one checkpoint to do in a round."""
SIZES = {"one by one": 1, "in tens": 10}
AT_LEAST = Target("ratio", ">=", 0.5)

T = TypeVar("T")


def rates(effort: Effort, tell: Tell) -> list[Figure]:
    """Jobs a second, one by one and in tens."""
    jobs = effort.of(JOBS, 200)
    with stand() as here, asyncio.Runner() as runner:
        path = here.directory / "queue.db"
        queue = runner.run(_opened(path))
        try:
            with RawQueue(here.directory / "raw.db", _page_size(path)) as raw:
                sides: dict[str, Callable[[], float]] = {}
                for name, size in SIZES.items():
                    sides[f"ours, {name}"] = partial(_in_loop, runner, queue, jobs, size)
                    sides[f"raw, {name}"] = partial(_theirs, raw, jobs, size)
                found = in_turn(sides, effort.rounds(ROUNDS), lambda what: tell(f"rate, {what}"))
        finally:
            runner.run(queue.close())
    return [
        Figure(
            f"send, receive and ack, {name}",
            "jobs/s",
            median(found[f"ours, {name}"]),
            Against("raw sqlite3", median(found[f"raw, {name}"])),
            AT_LEAST,
        )
        for name in SIZES
    ]


async def _opened(path: Path) -> Queue:
    queue = open_queue(f"sqlite:///{path}")
    await queue.open()
    return queue


def _page_size(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        [size] = connection.execute("PRAGMA page_size").fetchone()
    return int(size)


def _in_loop(runner: asyncio.Runner, queue: Queue, jobs: int, size: int) -> float:
    return runner.run(_ours(queue, jobs, size))


async def _ours(queue: Queue, jobs: int, size: int) -> float:
    """Fill the queue, then empty it; jobs a second."""
    messages = [Message(new_id(), round=1, leg=0) for _ in range(jobs)]
    started = time.perf_counter()
    for batch in _batches(messages, size):
        await queue.send(batch)
    acked = 0
    while received := await queue.receive(size, wait=0, lease=LEASE):
        acked += sum(await queue.ack(received))
    return _rate(jobs, acked, time.perf_counter() - started)


def _theirs(queue: RawQueue, jobs: int, size: int) -> float:
    bodies = [Message(new_id(), round=1, leg=0).encode() for _ in range(jobs)]
    started = time.perf_counter()
    for batch in _batches(bodies, size):
        queue.send(batch)
    acked = 0
    while received := queue.receive(size):
        acked += queue.ack(received)
    queue.checkpoint()
    return _rate(jobs, acked, time.perf_counter() - started)


def _batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _rate(jobs: int, acked: int, seconds: float) -> float:
    if acked != jobs:
        raise BenchError(f"{acked} of {jobs} jobs came out of the queue; the rate would mean nothing")
    return jobs / seconds
