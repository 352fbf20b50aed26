"""Runs the store's work on its database: functions of a connection, one transaction each.

The work is written once, for plain connections. What differs is how it gets off the event loop and into a transaction:
`sqlite.py`, `postgresql.py`.
"""

import abc
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from antiphon.urls import adapter_for

T = TypeVar("T")

SETTING = "ANTIPHON_STORE_URL"


class Database(abc.ABC):
    """A database. What fails because it cannot be reached, is full or read-only raises Unavailable.

    Work has no effect but through its connection, and may run more than once before one of its runs is committed.
    """

    dialect: str
    clock: sa.ColumnElement[float] | None = None
    """The database's time as part of a statement; None where that is this machine's."""
    commits = 0
    """Transactions that were committed; one that several writers shared counts once."""

    @abc.abstractmethod
    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run what only reads. Not a transaction: each statement sees what is committed when it runs."""

    @abc.abstractmethod
    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run what writes, in a transaction: committed when it returns; without effect when it raises.

        Only of InDoubt, a kind of Unavailable, nobody knows: the connection broke during the commit.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Let go of every connection."""

    @abc.abstractmethod
    def now(self, connection: Connection) -> float:
        """The database's time inside a transaction, in seconds since the epoch."""


def open_database(url: str, *, patient: bool = False) -> Database:
    """The database at `sqlite:////absolute/path` or `postgresql://user@host/name`. Connects only when used.

    `patient` is for work that may take as long as it takes, such as a migration. Raises SettingsError for a URL that
    names no database we know.
    """
    return adapter_for(url, _PATIENT if patient else _ADAPTERS, SETTING)


def _sqlite(url: str) -> Database:
    from antiphon.store.sqlite import SqliteDatabase

    return SqliteDatabase(url)


def _postgresql(url: str) -> Database:
    from antiphon.store.postgresql import PostgresqlDatabase

    return PostgresqlDatabase(url)


def _postgresql_patient(url: str) -> Database:
    from antiphon.store.postgresql import PostgresqlDatabase

    return PostgresqlDatabase(url, statement_seconds=None)


_ADAPTERS: dict[str, Callable[[str], Database]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
}
_PATIENT = {**_ADAPTERS, "postgresql": _postgresql_patient, "postgres": _postgresql_patient}
