"""The store's database on a PostgreSQL, for many processes on many machines.

Every statement is a round trip, and those are what a change takes its time with. So there are few: reads run without a
transaction, the time comes with the row that is locked, and nobody asks a pooled connection whether it still lives: if
it does not, the work runs again on another. Transactions are not grouped as in SQLite: the server lets commits share
a sync by itself, and one connection that carries all the work would wait for each round trip in turn.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, NotSupportedError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from antiphon.errors import InDoubt, Unavailable
from antiphon.postgresql import ANSWER_SECONDS, Server, away
from antiphon.store.engine import SETTING, Database

T = TypeVar("T")

STATEMENT_SECONDS = 30.0
LOCK_SECONDS = 10.0
"""How long a statement, and its wait for one lock, may take: whoever waits longer had better be told."""
IDLE_SECONDS = 60.0
"""How long a transaction whose client has gone silent may keep its locks."""
CONNECTIONS = 10
"""How many connections a process opens at most. It keeps what it opens: to close and reopen them in a burst of work
costs more than the work.
"""
CONNECTION_SECONDS = 300.0
"""After so long a connection is replaced: what stands between us and the server forgets idle ones, without a word."""
TURN_SECONDS = 10.0
"""How long work waits for a connection."""
ATTEMPTS = 3
"""How often work runs whose connection was lost, or that was chosen to resolve a deadlock, before it was committed."""

_NAME = "antiphon store"
_UNDONE = ("40001", "40P01")  # serialization failure, deadlock
_READ_ONLY = "25006"
_FAULTS = (DBAPIError, PoolTimeout, OSError)


class PostgresqlDatabase(Database):
    """A server. `statement_seconds` None lets statements take as long as they take."""

    dialect = "postgresql"
    # not the transaction's start, since a transaction may have waited for its row
    clock = sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Float(53))

    def __init__(self, url: str, *, statement_seconds: float | None = STATEMENT_SECONDS) -> None:
        self._server = Server.at(url, SETTING)
        self._statement_seconds = statement_seconds
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=TURN_SECONDS,
            pool_recycle=CONNECTION_SECONDS,
            pool_use_lifo=True,
        )
        self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, work: Callable[[Connection], T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._reader.connect() as connection:
                    return await connection.run_sync(work)
            except _FAULTS as error:
                await self._unless_again(error, attempt)

    async def write(self, work: Callable[[Connection], T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            committing = False
            try:
                async with self._engine.connect() as connection:
                    result = await connection.run_sync(work)
                    committing = True
                    await connection.commit()
                    self.commits += 1
                    return result
            except _FAULTS as error:
                if committing and _lost(error):
                    raise InDoubt(f"the connection to {self._server.shown} broke during a commit") from error
                await self._unless_again(error, attempt)

    async def close(self) -> None:
        await self._engine.dispose()

    def now(self, connection: Connection) -> float:
        return float(connection.execute(_NOW).scalar_one())

    async def _connect(self) -> Any:
        limits = {
            "statement_timeout": self._statement_seconds or 0.0,
            "lock_timeout": LOCK_SECONDS,
            "idle_in_transaction_session_timeout": IDLE_SECONDS,
        }
        settings = {name: f"{seconds * 1000:.0f}" for name, seconds in limits.items()}
        return await self._server.connect(
            _NAME, settings, answer_seconds=None if self._statement_seconds is None else ANSWER_SECONDS
        )

    async def _unless_again(self, error: Exception, attempt: int) -> None:
        """Return if the work had no effect and may succeed in another attempt; else raise what the caller is to hear.

        A lost connection takes its transaction with it: https://www.postgresql.org/docs/current/protocol-flow.html.
        """
        if isinstance(error, PoolTimeout):
            raise Unavailable(f"all {CONNECTIONS} connections to the store are busy") from error
        if not isinstance(error, DBAPIError):
            raise self._server.unavailable(error) from error
        code = getattr(error.orig, "sqlstate", None)
        # the last: a prepared statement met tables that a migration has changed; SQLAlchemy prepares it anew
        if error.connection_invalidated or code in _UNDONE or isinstance(error, NotSupportedError):
            if attempt < ATTEMPTS:
                return
        elif code == _READ_ONLY:
            await self._engine.dispose()  # the server was the primary; a new connection may find who is now
        elif not away(code):
            raise error
        raise self._server.unavailable(error.orig or error) from error


def _lost(error: Exception) -> bool:
    """Whether the connection is, so that nobody heard the answer."""
    return error.connection_invalidated if isinstance(error, DBAPIError) else isinstance(error, OSError)


_NOW = sa.select(PostgresqlDatabase.clock)
