"""What the adapters to PostgreSQL share: the address, the way to connect, and what the server's refusals mean to us."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import asyncpg

from antiphon.errors import SettingsError, Unavailable

CONNECT_SECONDS = 5.0
"""How long a connection may take to come about, logging in included."""

ANSWER_SECONDS = 40.0
"""After so long a statement is not answered any more: the server, or the way there, is gone without a word.

Longer than any statement of the store may take, so that the server, where it lives, is the one that says so.
"""

# a password may hold anything but what ends it; whoever writes it otherwise must not find it in an error
_URL = re.compile(r"(?:postgresql|postgres)://(?:[^@/?#]*@)?(?P<hosts>[^@/?#]*)(?:/(?P<name>[^@/?#]*))?(?:\?[^#]*)?")

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_AWAY = (
    "08",  # connection exception
    "25006",  # read-only: a server that is no longer the primary
    "25P03",  # idle in transaction for too long
    "28",  # may not log in
    "3D000",  # there is no such database
    "40",  # deadlock, serialization failure: undone, and may be tried again
    "42501",  # insufficient privilege
    "53",  # out of disk, memory, connections
    "55P03",  # a lock was not to be had in time
    "57",  # shut down, starting, cancelled by a time limit
    "58",  # the server's own files fail it
)
"""Beginnings of the codes that say that the server cannot do our work now, whatever the statement."""

REFUSED = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What asyncpg raises when the server refuses, and when the connection is gone. A time limit is an OSError too."""


@dataclass(frozen=True, slots=True)
class Server:
    """A database of a server. `shown` is its address without credentials."""

    url: str = field(repr=False)
    shown: str

    @classmethod
    def at(cls, url: str, setting: str) -> "Server":
        """Raises SettingsError, which names `setting` and never the URL, for what is no URL of PostgreSQL."""
        parts = _URL.fullmatch(url)
        if parts is None:
            raise SettingsError(
                f"{setting} is no URL of PostgreSQL; write postgresql://user@host/name, "
                "and the characters : / ? # @ of a password as %3A %2F %3F %23 %40"
            )
        return cls(url, f"{parts['hosts'] or 'localhost'}/{parts['name'] or ''}")

    async def connect(
        self,
        name: str,
        settings: Mapping[str, str] = MappingProxyType({}),
        *,
        answer_seconds: float | None = ANSWER_SECONDS,
    ) -> Any:
        """A connection of asyncpg, shown to administrators as `name`, with these settings of the server's.

        The URL may have the parameters of libpq (sslmode, target_session_attrs ...); several hosts are tried in turn:
        https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING. Raises Unavailable, SettingsError.
        """
        try:
            with self.translated():
                return await asyncpg.connect(
                    self.url,
                    timeout=CONNECT_SECONDS,
                    command_timeout=answer_seconds,
                    server_settings={"application_name": name, **settings},
                )
        except asyncpg.ClientConfigurationError as error:
            raise SettingsError(f"the URL of PostgreSQL at {self.shown} is wrong: {error}") from None
        except ValueError:
            raise SettingsError(f"the URL of PostgreSQL at {self.shown} is wrong") from None  # it may quote a password

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what the server refuses, and a server that is away, into Unavailable."""
        try:
            yield
        except asyncpg.ClientConfigurationError:
            raise
        except REFUSED as error:
            raise self.unavailable(error) from error

    def unavailable(self, error: BaseException) -> Unavailable:
        """What to raise when the server refuses its service, or does not answer."""
        if isinstance(error, TimeoutError):
            return Unavailable(f"PostgreSQL at {self.shown} does not answer in time")
        return Unavailable(f"PostgreSQL at {self.shown} does not serve us: {error or type(error).__name__}")


def away(sqlstate: str | None) -> bool:
    """Whether an error of this code tells of the server's state, and not of the statement."""
    return sqlstate is not None and sqlstate.startswith(_AWAY)
