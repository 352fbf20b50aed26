"""The queue in an SQLite file: the embedded default, for processes of one machine.

Statements run directly on the event loop: one takes 5 to 25 us, a hop to a thread and back takes 80. What could block is
kept off it:

* Locks. SQLite takes one writer at a time (https://www.sqlite.org/wal.html#concurrency). The connection does not wait for
  it (busy timeout 0); a call that finds it taken sleeps on the loop for a moment and tries again.
* fsync. With `synchronous = NORMAL` a commit in WAL mode does none; only a checkpoint does. Checkpoints run in a thread on
  a connection of their own. A power cut may take the last commits along: the store is the truth, and its sweeper sends
  again what was lost (https://www.sqlite.org/pragma.html#pragma_synchronous).
* Counting, which takes as long as the queue is deep: in a thread as well.

`receive` waits by looking every 5 ms at `PRAGMA data_version`, which changes when another connection has committed
(https://www.sqlite.org/pragma.html#pragma_data_version, 3 us), and is woken at once by what this object sends itself.
A receipt is the row's id and a number that is drawn for every delivery, so that it fits neither a later delivery nor a row
of a newer file. A lease that ended while nobody else took the message can still be extended and acked.
Times are those of the wall clock, since they are shared with other processes and outlive them.
"""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, ClassVar, TypeVar

import structlog

from antiphon.errors import MessageInvalid, Unavailable
from antiphon.jobs import Priority
from antiphon.messages import DEFAULT_POOL, MAX_BYTES, Message, decode
from antiphon.queue.base import Capability, DeadLetter, Depth, Queue, Received, SendOutcome
from antiphon.queue.sqlite_file import DAMAGE, LOCKS, QueueFile, explained, primary_code
from antiphon.queue.weights import WeightedDraw

logger = structlog.get_logger()

LOOK = 0.005
"""Seconds between two looks at what other processes did."""
FILE_LOOK = 0.5
"""Seconds after which a look also asks whether the file is still the one at the path."""
LOCK_PATIENCE = 5.0
"""Seconds to wait for another process's write lock, which is held for some 20 us."""
CHECKPOINT_AFTER = 2000
"""Rows to change before the next checkpoint, some 5 MB of write-ahead log."""

# message_by_key refuses the second living message of a key
SEND = "INSERT INTO message (pool, priority, visible_at, key, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
# message_by_turn: no sorting
WAITING = """
    SELECT id, visible_at, deliveries, body FROM message
    WHERE pool = ? AND priority = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT ?"""
# what another receiver took since has another visible_at
TAKE = "UPDATE message SET token = ?, visible_at = ?, deliveries = deliveries + 1 WHERE id = ? AND visible_at = ?"
EXTEND = "UPDATE message SET visible_at = ? WHERE id = ? AND token = ?"
ACK = "DELETE FROM message WHERE id = ? AND token = ?"
RELEASE = "UPDATE message SET visible_at = ?, token = NULL WHERE id = ? AND token = ?"
BURY = """
    INSERT INTO dead (id, pool, priority, key, body, reason, died_at)
    SELECT ?, pool, priority, key, body, ?, ? FROM message WHERE id = ? AND token = ?"""
# message_by_turn: one step per priority
NEXT = "SELECT min(visible_at) FROM message WHERE pool = ? AND priority = ?"
DEAD = "SELECT id, body, reason, died_at FROM dead WHERE pool = ? ORDER BY number LIMIT ?"
REDRIVE = """
    INSERT INTO message (pool, priority, visible_at, key, body)
    SELECT pool, priority, ?, key, body FROM dead WHERE id = ? AND pool = ? ON CONFLICT DO NOTHING"""
FORGET = "DELETE FROM dead WHERE id = ? AND pool = ?"
# message_by_turn for what is due; rows of the others are read for their token
DEPTH = """
    SELECT priority, sum(visible_at <= ?1), sum(visible_at > ?1 AND token IS NOT NULL),
           sum(visible_at > ?1 AND token IS NULL), 0
    FROM message WHERE pool = ?2 GROUP BY priority
    UNION ALL SELECT priority, 0, 0, 0, count(*) FROM dead WHERE pool = ?2 GROUP BY priority"""
REASON_LENGTH = 1000

T = TypeVar("T")
Row = tuple[Any, ...]


class SqliteQueue(Queue):
    """Every promise but ORDER."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.DEDUPLICATION, Capability.LONG_DELAY, Capability.CHECKED_RECEIPTS}
    )

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time, random: Random | None = None) -> None:
        self._file = QueueFile(path)
        self._clock = clock
        self._random = Random() if random is None else random  # noqa: S311  spreads load, guards nothing
        self._draw = WeightedDraw()
        self._tokens = count(secrets.randbits(62))
        self._connection: sqlite3.Connection | None = None
        self._open = False
        self._opening = asyncio.Lock()
        self._looked_at = 0.0
        self._waiters: set[asyncio.Future[None]] = set()
        self._checkpoint: asyncio.Task[None] | None = None
        self._home = 0

    async def open(self) -> None:
        self._open = True
        await self._connect()

    async def close(self) -> None:
        self._open = False
        self._wake()
        if self._checkpoint is not None:
            await self._checkpoint
        async with self._opening:
            connection, self._connection = self._connection, None
            if connection is not None:
                # the last one to leave brings the write-ahead log home
                await asyncio.to_thread(connection.close)

    async def ping(self) -> None:
        def try_to_write(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")

        await self._run(try_to_write, look=True)

    async def send(self, messages: Sequence[Message], *, delay: float = 0.0) -> list[SendOutcome]:
        visible_at = self._clock() + delay
        rows = [(m.pool, int(m.priority), visible_at, m.key, m.encode()) for m in messages]
        fitting = [row for row in rows if len(row[4]) <= MAX_BYTES]
        changed = iter(await self._run(lambda connection: _each(connection, SEND, fitting), look=True))
        self._wake()
        return [
            SendOutcome.FAILED if len(row[4]) > MAX_BYTES else SendOutcome.SENT if next(changed) else SendOutcome.DUPLICATE
            for row in rows
        ]

    async def receive(self, limit: int, *, wait: float, lease: float, pool: str = DEFAULT_POOL) -> list[Received]:
        if limit < 1:
            raise ValueError(f"a receive needs a limit of at least 1, not {limit}")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            # the version comes first, so that nothing is missed between the search and the waiting
            rows, version, next_at = await self._run(lambda c: self._take(c, pool, limit, lease))
            if rows:
                received = await self._read(rows)
                if received:
                    return received
            elif not await self._news(version, next_at, deadline):
                return []

    async def extend(self, received: Sequence[Received], lease: float) -> list[bool]:
        until = self._clock() + lease
        rows = [(until, *_row_of(each)) for each in received]
        return await self._run(lambda connection: _each(connection, EXTEND, rows))

    async def ack(self, received: Sequence[Received]) -> list[bool]:
        rows = [_row_of(each) for each in received]
        return await self._run(lambda connection: _each(connection, ACK, rows))

    async def release(self, received: Sequence[Received], *, delay: float = 0.0) -> list[bool]:
        visible_at = self._clock() + delay
        rows = [(visible_at, *_row_of(each)) for each in received]
        released = await self._run(lambda connection: _each(connection, RELEASE, rows))
        self._wake()
        return released

    async def dead_letter(self, received: Received, reason: str) -> bool:
        [moved] = await self._bury([(*_row_of(received), reason)])
        return moved

    async def dead(self, limit: int, *, pool: str = DEFAULT_POOL) -> list[DeadLetter]:
        rows = await self._run(lambda connection: connection.execute(DEAD, (pool, limit)).fetchall(), look=True)
        return [DeadLetter(*row) for row in rows]

    async def redrive(self, ids: Sequence[str], *, pool: str = DEFAULT_POOL) -> int:
        def move(connection: sqlite3.Connection) -> int:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(REDRIVE, [(now, each, pool) for each in ids])
            moved = connection.executemany(FORGET, [(each, pool) for each in ids]).rowcount
            connection.execute("COMMIT")
            return max(0, moved)

        now = self._clock()
        moved = await self._run(move, look=True)
        self._wake()
        return moved

    async def delete_dead(self, ids: Sequence[str], *, pool: str = DEFAULT_POOL) -> int:
        rows = [(each, pool) for each in ids]
        return sum(await self._run(lambda connection: _each(connection, FORGET, rows), look=True))

    async def depth(self, pool: str = DEFAULT_POOL) -> Mapping[Priority, Depth]:
        await self._current(look=True)
        depths = dict.fromkeys(Priority, Depth())
        for priority, *counts in await asyncio.to_thread(self._file.read, DEPTH, (self._clock(), pool)):
            depths[Priority(priority)] = _sum(depths[Priority(priority)], Depth(*counts))
        return depths

    def _take(self, connection: sqlite3.Connection, pool: str, limit: int, lease: float) -> tuple[list[Row], int, float]:
        """Lease what waits. Without a hit: the version of the file that was searched, and when to search again."""
        now = self._clock()
        waiting: list[Row] = []
        for priority in self._draw.order(self._random):
            waiting += connection.execute(WAITING, (pool, int(priority), now, limit - len(waiting)))
            if len(waiting) == limit:
                break
        if waiting:
            token, until = next(self._tokens), now + lease
            taken = _each(connection, TAKE, [(token, until, id_, visible_at) for id_, visible_at, _, _ in waiting])
            return [(row[0], token, row[2] + 1, row[3]) for row, ours in zip(waiting, taken, strict=True) if ours], 0, now
        return [], 0, now
