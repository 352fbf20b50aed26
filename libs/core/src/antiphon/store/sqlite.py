"""The store's database in a file, for processes of one machine.

SQLite has one writer at a time. Writers of this process therefore queue for one thread, which is fair and wakes at
once, and only processes compete through SQLite's busy handler, which sleeps in growing steps. Every commit waits for
the disk, so the thread takes all the work that waits and commits it together. Each has a savepoint of its own
(https://www.sqlite.org/lang_savepoint.html), so that what raises is undone alone, and its caller hears nothing before
the commit: a group keeps every promise that a transaction of one's own keeps.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from antiphon.errors import Unavailable
from antiphon.store.engine import SETTING, Database
from antiphon.urls import sqlite_path

T = TypeVar("T")

READERS = 4
"""Threads that read at a time."""
GROUP = 64
"""Writers that share a transaction at most, so that other processes get their turn."""

_READS = "antiphon_reads"


@dataclass(slots=True)
class _Write:
    """A piece of work, and the future of whoever waits for it; then what came of it."""

    work: Callable[[Connection], Any]
    done: asyncio.Future[Any]
    result: Any = field(default=None)
    error: BaseException | None = field(default=None)

    def settle(self) -> None:
        if self.done.done():
            return  # its caller was cancelled meanwhile
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


class SqliteDatabase(Database):
    """A file. Of one event loop."""

    dialect = "sqlite"

    def __init__(self, url: str) -> None:
        self.path = sqlite_path(url, SETTING)
        self._engine = sa.create_engine(f"sqlite:///{self.path}")
        event.listen(self._engine, "connect", _set_up)
        event.listen(self._engine, "begin", _begin)
        self._reader = self._engine.execution_options(**{_READS: True})
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._waiting: deque[_Write] = deque()

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Write(work, done))
        self._writing.submit(self._write_some, loop)
        return await done

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def now(self, connection: Connection) -> float:
        """SQLite runs on this machine, whose clock is therefore the database's."""
        del connection
        return time.time()

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._reader.connect() as connection:
                return work(connection)
        except (OperationalError, InterfaceError) as error:
            raise _unavailable(error) from error

    def _write_some(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit what waits, up to GROUP; called once for each that waits, mostly in vain."""
        group: list[_Write] = []
        while self._waiting and len(group) < GROUP:
            write = self._waiting.popleft()
            if not write.done.cancelled():
                group.append(write)
        if group:
            self._commit(group)
            loop.call_soon_threadsafe(_settle, group)

    def _commit(self, group: Sequence[_Write]) -> None:
        try:
            with self._engine.begin() as connection:
                if len(group) == 1:
                    group[0].result = group[0].work(connection)
                else:
                    for write in group:
                        _run_apart(connection, write)
            self.commits += 1
        except BaseException as error:  # noqa: BLE001 - it is raised where the work came from
            # those who were refused, too: what they saw of the others' work has not happened
            for write in group:
                write.error = _translated(error)

    def _close(self) -> None:
        self._writing.shutdown()
        self._reading.shutdown()
        self._engine.dispose()


def _run_apart(connection: Connection, write: _Write) -> None:
    """Run the work so that it alone is undone if it raises. Raises what has undone the whole transaction."""
    driver = connection.connection.driver_connection  # past SQLAlchemy, which takes longer over these than SQLite
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101
    driver.execute("SAVEPOINT work")
    try:
        write.result = write.work(connection)
    except BaseException as error:
        # A full disk, among others, may end the whole transaction, and the savepoint with it:
        # https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction
        if not driver.in_transaction:
            raise _unavailable(error) from error
        write.error = _translated(error)
        driver.execute("ROLLBACK TO work")
    driver.execute("RELEASE work")


def _settle(group: Sequence[_Write]) -> None:
    for write in group:
        write.settle()


def _set_up(connection: Any, _record: object) -> None:
    """WAL lets readers go on beside the writer; FULL syncs every commit, since a 202 is a promise.

    https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous
    """
    connection.isolation_level = None  # we say BEGIN ourselves: the driver would only do so before the first write
    cursor = connection.cursor()
    for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first and is overtaken could not be retried.

    Reads need no transaction: each is one statement, or does not mind what happens between two.
    """
    if not connection.get_execution_options().get(_READS):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _translated(error: BaseException) -> BaseException:
    return _unavailable(error) if isinstance(error, OperationalError | InterfaceError | sqlite3.Error) else error


def _unavailable(error: BaseException) -> Unavailable:
    return Unavailable(f"the store does not answer: {error.orig if isinstance(error, DBAPIError) else error}")
