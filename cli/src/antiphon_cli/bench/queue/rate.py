"""Send, receive and ack of no-op jobs: `SqliteQueue` beside bare sqlite3."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from antiphon.ids import new_id
from antiphon.messages import Message
from antiphon.queue import Queue, open_queue
from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.programs import stand
from antiphon_cli.bench.queue.raw import ALIKE, LEASE, PLAIN, RawQueue
from antiphon_cli.bench.report import Against, BenchError, Figure, Target
from antiphon_cli.bench.sampling import Tell, in_turn, median

ROUNDS = 15
JOBS = 3000
"""Per round and side: three changed rows each, so that each side has one checkpoint to do in a round."""
SIZES = {"one by one": 1, "in tens": 10}
PEERS = {"raw sqlite3": PLAIN, "raw sqlite3 with the same columns and indexes": ALIKE}
AT_LEAST = {"raw sqlite3": Target("ratio", ">=", 0.5)}
OURS = "ours"

T = TypeVar("T")
Fill = Callable[[int, int], float]
"""Fills and empties a queue with so many jobs, so many per call; jobs a second."""


def rates(effort: Effort, tell: Tell) -> list[Figure]:
    """Jobs a second, one by one and in tens."""
    jobs = effort.of(JOBS, 200)
    with _queues() as queues:
        sides = {
            (name, peer): partial(fill, jobs, size) for name, size in SIZES.items() for peer, fill in queues.items()
        }
        found = in_turn(sides, effort.rounds(ROUNDS), lambda what: tell(f"rate, {what}"))
    return [
        Figure(
            f"send, receive and ack, {name}",
            "jobs/s",
            median(found[name, OURS]),
            Against(peer, median(found[name, peer])),
            AT_LEAST.get(peer),
        )
        for name in SIZES
        for peer in PEERS
    ]


@contextmanager
def _queues() -> Iterator[dict[str, Fill]]:
    """Ours and the peers, each on a file of its own."""
    with stand() as here, asyncio.Runner() as runner, ExitStack() as cleanup:
        path = here.directory / "queue.db"
        queue = open_queue(f"sqlite:///{path}")
        runner.run(queue.open())
        cleanup.callback(lambda: runner.run(queue.close()))
        queues: dict[str, Fill] = {OURS: lambda jobs, size: runner.run(_ours(queue, jobs, size))}
        for number, (peer, table) in enumerate(PEERS.items()):
            raw = cleanup.enter_context(RawQueue(here.directory / f"raw-{number}.db", _page_size(path), table))
            queues[peer] = partial(_theirs, raw)
        yield queues


def _page_size(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        [size] = connection.execute("PRAGMA page_size").fetchone()
    return int(size)


async def _ours(queue: Queue, jobs: int, size: int) -> float:
    messages = [Message(new_id(), round=1, leg=0) for _ in range(jobs)]
    started = time.perf_counter()
    for batch in _batches(messages, size):
        await queue.send(batch)
    acked = 0
    while received := await queue.receive(size, wait=0, lease=LEASE):
        acked += sum(await queue.ack(received))
    return _rate(jobs, acked, time.perf_counter() - started)


def _theirs(queue: RawQueue, jobs: int, size: int) -> float:
    messages = [Message(new_id(), round=1, leg=0) for _ in range(jobs)]
    ready = [(message.key, message.encode()) for message in messages]
    started = time.perf_counter()
    for batch in _batches(ready, size):
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
