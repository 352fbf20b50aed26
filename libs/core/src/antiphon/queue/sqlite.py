"""The queue in an SQLite file: the embedded default, for processes of one machine.

Statements run directly on the event loop: one takes 5 to 25 us, a hop to a thread and back takes 80. What could block
is kept off it:

* Locks. SQLite takes one writer at a time (https://www.sqlite.org/wal.html#concurrency). The connection does not wait
  for it (busy timeout 0); a call that finds it taken sleeps on the loop for a moment and tries again.
* fsync. With `synchronous = NORMAL` a commit in WAL mode does none; only a checkpoint does. Checkpoints run in a thread
  on a connection of their own. A power cut may take the last commits along: the store is the truth, and its sweeper
  sends again what was lost (https://www.sqlite.org/pragma.html#pragma_synchronous).
* Counting, which takes as long as the queue is deep: in a thread as well.

`receive` waits by looking every 5 ms at `PRAGMA data_version`, which changes when another connection has committed
(https://www.sqlite.org/pragma.html#pragma_data_version, 3 us), and is woken at once by what this object sends itself.
A receipt is the row's id and a number that is drawn for every delivery, so that it fits neither a later delivery nor a
row of a newer file. A lease that ended while nobody else took the message can still be extended and acked.
Times are those of the wall clock, since they are shared with other processes and outlive them.
"""

import asyncio
import logging
import math
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, ClassVar, TypeVar

from antiphon.errors import MessageInvalid, Unavailable
from antiphon.jobs import Priority
from antiphon.messages import DEFAULT_POOL, MAX_BYTES, Message, decode
from antiphon.queue import sqlite_statements as statements
from antiphon.queue.base import PRIORITIES, Capability, DeadLetter, Depth, Queue, Received, SendOutcome, Waiting
from antiphon.queue.sqlite_file import DAMAGE, LOCKS, QueueFile, explained, primary_code
from antiphon.queue.weights import WeightedDraw

logger = logging.getLogger(__name__)

LOOK = 0.005
"""Seconds between two looks at what other processes did."""
FILE_LOOK = 0.5
"""Seconds after which a look also asks whether the file is still the one at the path."""
LOCK_PATIENCE = 5.0
"""Seconds to wait for another process's write lock, which is held for some 20 us."""
CHECKPOINT_AFTER = 8000
"""Rows to change before the next checkpoint: at most some 30 MB of write-ahead log."""

REASON_LENGTH = 1000

T = TypeVar("T")
Row = tuple[Any, ...]


class SqliteQueue(Queue):
    """Every promise but ORDER."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.DEDUPLICATION,
            Capability.LONG_DELAY,
            Capability.CHECKED_RECEIPTS,
            Capability.EXACT_DEPTH,
            Capability.PEEK,
        }
    )

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time, random: Random | None = None) -> None:
        self._file = QueueFile(path)
        self._clock = clock
        self._random = Random() if random is None else random
        self._draw = WeightedDraw()
        self._tokens = count(secrets.randbits(62))
        self._connection: sqlite3.Connection | None = None
        self._open = False
        self._opening = asyncio.Lock()
        self._next_look = 0.0
        self._generation = 0
        self._waiters: set[asyncio.Future[None]] = set()
        self._changes = 0
        self._thread: ThreadPoolExecutor | None = None
        self._checkpoint: Future[None] | None = None
        self._home = 0

    async def open(self) -> None:
        self._open = True
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="queue-checkpoint")
        await self._current()

    async def close(self) -> None:
        self._open = False
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.shutdown)
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
        rows = [(m.pool, m.priority, visible_at, m.key, m.encode()) for m in messages]
        fits = [len(row[4]) <= MAX_BYTES for row in rows]
        fitting = rows if all(fits) else [row for row, fit in zip(rows, fits, strict=True) if fit]
        changed = iter(await self._run(lambda connection: _each(connection, statements.SEND, fitting), look=True))
        self._wake()
        sent, duplicate, failed = SendOutcome.SENT, SendOutcome.DUPLICATE, SendOutcome.FAILED
        return [(sent if next(changed) else duplicate) if fit else failed for fit in fits]

    async def receive(
        self,
        limit: int,
        *,
        wait: float,
        lease: float,
        pool: str = DEFAULT_POOL,
        priorities: Collection[Priority] = PRIORITIES,
    ) -> list[Received]:
        if limit < 1:
            raise ValueError(f"a receive needs a limit of at least 1, not {limit}")
        deadline = asyncio.get_running_loop().time() + wait
        token = next(self._tokens)
        while True:
            rows = await self._run(lambda connection: self._take(connection, pool, priorities, limit, lease, token))
            if rows:
                received = await self._read(rows, token)
                if received:
                    return received
            elif not await self._news(pool, priorities, deadline):
                return []

    async def extend(self, received: Sequence[Received], lease: float) -> list[bool]:
        until = self._clock() + lease
        rows = [(until, *_row_of(each)) for each in received]
        return await self._run(lambda connection: _each(connection, statements.EXTEND, rows))

    async def ack(self, received: Sequence[Received]) -> list[bool]:
        rows = [_row_of(each) for each in received]
        return await self._run(lambda connection: _each(connection, statements.ACK, rows))

    async def release(self, received: Sequence[Received], *, delay: float = 0.0) -> list[bool]:
        visible_at = self._clock() + delay
        rows = [(visible_at, *_row_of(each)) for each in received]
        released = await self._run(lambda connection: _each(connection, statements.RELEASE, rows))
        self._wake()
        return released

    async def dead_letter(self, received: Received, reason: str) -> bool:
        [moved] = await self._bury([(*_row_of(received), reason)])
        return moved

    async def peek(self, limit: int, *, pool: str = DEFAULT_POOL) -> list[Waiting]:
        rows = await self._run(
            lambda connection: [
                Waiting(body, priority, deliveries - 1)
                for priority in Priority
                for *_, deliveries, body in connection.execute(
                    statements.WAITING, (pool, priority, self._clock(), limit)
                )
            ],
            look=True,
        )
        return rows[:limit]

    async def dead(self, limit: int, *, pool: str = DEFAULT_POOL) -> list[DeadLetter]:
        rows = await self._run(
            lambda connection: connection.execute(statements.DEAD, (pool, limit)).fetchall(), look=True
        )
        return [DeadLetter(*row) for row in rows]

    async def redrive(self, ids: Sequence[str], *, pool: str = DEFAULT_POOL) -> int:
        now = self._clock()

        def move(connection: sqlite3.Connection) -> int:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statements.REDRIVE, [(now, each, pool) for each in ids])
            moved = connection.executemany(statements.FORGET, [(each, pool) for each in ids]).rowcount
            connection.execute("COMMIT")
            return max(0, moved)

        moved = await self._run(move, look=True)
        self._wake()
        return moved

    async def delete_dead(self, ids: Sequence[str], *, pool: str = DEFAULT_POOL) -> int:
        rows = [(each, pool) for each in ids]
        return sum(await self._run(lambda connection: _each(connection, statements.FORGET, rows), look=True))

    async def depth(self, pool: str = DEFAULT_POOL) -> Mapping[Priority, Depth]:
        await self._current()
        depths = dict.fromkeys(Priority, Depth())
        for priority, *counts in await asyncio.to_thread(self._file.read, statements.DEPTH, (pool, self._clock())):
            depths[Priority(priority)] = Depth(*counts)
        return depths

    def _take(
        self,
        connection: sqlite3.Connection,
        pool: str,
        priorities: Collection[Priority],
        limit: int,
        lease: float,
        token: int,
    ) -> list[Row]:
        """Lease what waits, under `token`: id, visible_at until now, deliveries and body of each."""
        while True:
            now = self._clock()
            waiting: list[Row] = []
            for priority in self._draw.order(self._random, among=priorities):
                waiting += connection.execute(
                    statements.WAITING, (pool, priority.value, now, limit - len(waiting))
                ).fetchall()
                if len(waiting) == limit:
                    break
            if not waiting:
                return []
            until = now + lease
            ours = _each(connection, statements.TAKE, [(token, until, row[0], row[1]) for row in waiting])
            if all(ours):
                return waiting
            if any(ours):
                return [row for row, won in zip(waiting, ours, strict=True) if won]

    async def _read(self, rows: Iterable[Row], token: int) -> list[Received]:
        readable, unreadable = [], []
        for id_, _, deliveries, body in rows:
            try:
                readable.append(Received(decode(body), f"{id_}.{token}", deliveries))
            except MessageInvalid as error:
                unreadable.append((id_, token, str(error)))
        if unreadable:
            await self._bury(unreadable)
        return readable

    async def _bury(self, rows: Sequence[tuple[int, int, str]]) -> list[bool]:
        now = self._clock()

        def move(connection: sqlite3.Connection) -> list[bool]:
            moved = []
            connection.execute("BEGIN IMMEDIATE")
            for id_, token, reason in rows:
                connection.execute(statements.BURY, (secrets.token_hex(8), _storable(reason), now, id_, token))
                moved.append(connection.execute(statements.ACK, (id_, token)).rowcount == 1)
            connection.execute("COMMIT")
            return moved

        return await self._run(move)

    async def _news(self, pool: str, priorities: Iterable[Priority], deadline: float) -> bool:
        """Wait until a search may find something; False at the deadline and once the queue is closed."""
        loop = asyncio.get_running_loop()
        if loop.time() >= deadline:
            return False
        # in this order: what is committed after the version was read shows either in the outlook or in the version
        seen = await self._run(self._version)
        next_at = await self._run(lambda connection: _outlook(connection, pool, priorities))
        while self._clock() < next_at:
            left = deadline - loop.time()
            if left <= 0:
                return False
            await self._pause(min(LOOK, left))
            if not self._open:
                return False
            if await self._run(self._version) != seen:
                return True
        return True

    async def _pause(self, seconds: float) -> None:
        """Sleep, at most until this object itself changes the queue."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _settle, waiter)
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        self._changes += 1
        for waiter in self._waiters:
            _settle(waiter)

    def _version(self, connection: sqlite3.Connection) -> tuple[int, int, int]:
        """Another value once the file was replaced, this object changed it, or another connection did."""
        [version] = connection.execute("PRAGMA data_version").fetchone()
        return self._generation, self._changes, version

    async def _run(self, work: Callable[[sqlite3.Connection], T], *, look: bool = False) -> T:
        """Run `work`, which makes at most one transaction, when nobody else writes. `look`: at the file first."""
        started = time.monotonic()
        while True:
            connection = self._connection
            if connection is None or look or started >= self._next_look:
                connection = await self._current()
            try:
                result = work(connection)
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if not isinstance(error, sqlite3.Error):
                    raise
                await self._recover(connection, error, patient=time.monotonic() - started < LOCK_PATIENCE)
            else:
                if connection.total_changes - self._home > CHECKPOINT_AFTER:
                    self._start_checkpoint(connection)
                return result

    async def _recover(self, connection: sqlite3.Connection, error: sqlite3.Error, *, patient: bool) -> None:
        """Make another try worth while, or raise."""
        code = primary_code(error)
        if patient and code in LOCKS:
            await asyncio.sleep(self._random.uniform(0, 0.003))
        elif patient and code in DAMAGE:
            async with self._opening:
                if connection is self._connection:
                    await asyncio.to_thread(self._file.repair, error)
                    self._reconnect()
        else:
            raise explained(error, self._file.path) from error

    async def _current(self) -> sqlite3.Connection:
        """Look at the file: the connection to the one that is at the path now."""
        self._next_look = time.monotonic() + FILE_LOOK
        if self._connection is not None and not self._file.replaced():
            return self._connection
        async with self._opening:
            if not self._open:
                raise Unavailable(f"the queue {self._file.path} is closed")
            if self._connection is None or self._file.replaced():
                await asyncio.to_thread(self._file.prepare)
                return self._reconnect()
            return self._connection

    def _reconnect(self) -> sqlite3.Connection:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._connection = self._file.connect()
        self._generation += 1
        self._home = 0
        return self._connection

    def _start_checkpoint(self, connection: sqlite3.Connection) -> None:
        """In a thread of our own: asyncio.to_thread would do nothing while a busy caller keeps the loop."""
        if self._thread is not None and (self._checkpoint is None or self._checkpoint.done()):
            self._home = connection.total_changes
            self._checkpoint = self._thread.submit(self._bring_home)

    def _bring_home(self) -> None:
        try:
            self._file.checkpoint()
        except (Unavailable, sqlite3.Error) as error:
            logger.warning("the queue's write-ahead log grows: %s", error)


def _each(connection: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> list[bool]:
    """Run `statement` for every row in one transaction; for which of them it changed something."""
    if len(rows) == 1:
        return [connection.execute(statement, rows[0]).rowcount == 1]
    if not rows:
        return []
    connection.execute("BEGIN IMMEDIATE")
    changed = [True] * len(rows)
    if connection.executemany(statement, rows).rowcount != len(rows):
        # rare: do it again, asking each
        connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        changed = [connection.execute(statement, row).rowcount == 1 for row in rows]
    connection.execute("COMMIT")
    return changed


def _outlook(connection: sqlite3.Connection, pool: str, priorities: Iterable[Priority]) -> float:
    """When the next message becomes visible."""
    times = [connection.execute(statements.NEXT, (pool, priority.value)).fetchone()[0] for priority in priorities]
    return min((at for at in times if at is not None), default=math.inf)


def _row_of(received: Received) -> tuple[int, int]:
    id_, _, token = received.receipt.partition(".")
    return int(id_), int(token)


def _storable(reason: str) -> str:
    """Short, and without lone surrogates, which SQLite refuses."""
    return reason[:REASON_LENGTH].encode("utf-8", errors="replace").decode("utf-8")


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
