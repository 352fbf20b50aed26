"""Runs the store's work on its database: functions of a connection, one transaction each.

The work is written once, for plain connections. What differs is how it gets off the event loop: SQLite's in a thread,
in one hop there and back, however many statements it has; PostgreSQL's in a greenlet over asyncpg.
"""

import abc
import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from antiphon.errors import SettingsError, Unavailable
from antiphon.urls import adapter_for, sqlite_path

T = TypeVar("T")

READERS = 4
"""Threads that read from SQLite at a time."""

_READS = "antiphon_reads"
_SETTING = "ANTIPHON_STORE_URL"


class Database(abc.ABC):
    """A database. What fails because it cannot be reached, is full or read-only raises Unavailable."""

    dialect: str

    @abc.abstractmethod
    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run what only reads."""

    @abc.abstractmethod
    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run what writes, in one transaction: committed when it returns, rolled back when it raises."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Let go of every connection."""

    @abc.abstractmethod
    def now(self, connection: Connection) -> float:
        """The database's time inside a transaction, in seconds since the epoch."""


def open_database(url: str) -> Database:
    """The database at `sqlite:////absolute/path` or `postgresql://user@host/name`. Connects only when used.

    Raises SettingsError for a URL that names no database we know.
    """
    return adapter_for(url, _ADAPTERS, _SETTING)


class SqliteDatabase(Database):
    """A file, for processes of one machine.

    SQLite has one writer at a time. Writers of this process therefore queue for one thread, which is fair and wakes at
    once, and only processes compete through SQLite's busy handler, which sleeps in growing steps.
    """

    dialect = "sqlite"

    def __init__(self, url: str) -> None:
        self.path = sqlite_path(url, _SETTING)
        self._engine = sa.create_engine(f"sqlite:///{self.path}")
        event.listen(self._engine, "connect", _set_up_sqlite)
        event.listen(self._engine, "begin", _begin_sqlite)
        self._reader = self._engine.execution_options(**{_READS: True})
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, self._write, work)

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

    def _write(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except (OperationalError, InterfaceError) as error:
            raise _unavailable(error) from error

    def _close(self) -> None:
        self._writing.shutdown()
        self._reading.shutdown()
        self._engine.dispose()


class PostgresqlDatabase(Database):
    """A server, for many processes on many machines."""

    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url).set(drivername="postgresql+asyncpg")
        except ArgumentError:
            raise SettingsError(f"{_SETTING} is no URL; write postgresql://user@host/name") from None
        self._engine = create_async_engine(parsed, pool_pre_ping=True)

    async def read(self, work: Callable[[Connection], T]) -> T:
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)
        except (OperationalError, InterfaceError, OSError) as error:
            raise _unavailable(error) from error

    async def write(self, work: Callable[[Connection], T]) -> T:
        try:
            async with self._engine.begin() as connection:
                return await connection.run_sync(work)
        except (OperationalError, InterfaceError, OSError) as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        await self._engine.dispose()

    def now(self, connection: Connection) -> float:
        """The server's clock, and not the transaction's start, since a transaction may have waited for its row."""
        now = sa.select(sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Float(53)))
        return float(connection.execute(now).scalar_one())


_ADAPTERS: dict[str, Callable[[str], Database]] = {
    "sqlite": SqliteDatabase,
    "postgresql": PostgresqlDatabase,
    "postgres": PostgresqlDatabase,
}


def _set_up_sqlite(connection: Any, _record: object) -> None:
    """WAL lets readers go on beside the writer; FULL syncs every commit, since a 202 is a promise.

    https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous
    """
    connection.isolation_level = None  # we say BEGIN ourselves: the driver would only do so before the first write
    cursor = connection.cursor()
    for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first and is overtaken could not be retried.

    Reads need no transaction: each is one statement, or does not mind what happens between two.
    """
    if not connection.get_execution_options().get(_READS):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _unavailable(error: DBAPIError | OSError) -> Unavailable:
    return Unavailable(f"the store does not answer: {error.orig if isinstance(error, DBAPIError) else error}")
