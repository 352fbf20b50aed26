"""Connections to the store's database, and its clock."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from antiphon.errors import SettingsError

READS = "antiphon_reads"
"""Execution option of connections that only read, one statement at a time: SQLite then needs no transaction."""

Clock = Callable[[AsyncConnection], Awaitable[float]]
"""The time inside a transaction, in seconds since the epoch."""

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


def open_engine(url: str) -> AsyncEngine:
    """An engine for `sqlite:////absolute/path` or `postgresql://user@host/name`. Connects only when used.

    Raises SettingsError for a URL that names no database we know.
    """
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.drivername]
    except (ArgumentError, KeyError):
        scheme = url.partition(":")[0]
        raise SettingsError(
            f"ANTIPHON_STORE_URL has the scheme {scheme!r}; use sqlite:////path/to/store.db or postgresql://..."
        ) from None
    if driver.startswith("sqlite"):
        if not parsed.database or parsed.database == ":memory:":
            raise SettingsError("ANTIPHON_STORE_URL must name a file: every process has to see the same store")
        engine = create_async_engine(parsed.set(drivername=driver))
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    return create_async_engine(parsed.set(drivername=driver), pool_pre_ping=True)


async def sqlite_time(_: AsyncConnection) -> float:
    """SQLite runs on this machine, whose clock is therefore the database's."""
    return time.time()


async def postgresql_time(connection: AsyncConnection) -> float:
    """The server's clock, and not the transaction's start, since a transaction may have waited for its row."""
    now = sa.select(sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Float(53)))
    return float((await connection.execute(now)).scalar_one())


CLOCKS: dict[str, Clock] = {"sqlite": sqlite_time, "postgresql": postgresql_time}


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
    """Take the write lock at once: a transaction that reads first and is overtaken could not be retried."""
    if not connection.get_execution_options().get(READS):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
