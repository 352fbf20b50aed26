"""Wake-ups for a store in an SQLite file: whoever commits to it has notified everybody.

`PRAGMA data_version` changes when another connection, of this process or of another, has committed to the file
(https://www.sqlite.org/pragma.html#pragma_data_version). It does not say what changed, so every listener wakes for
every commit and reads the store, which the port allows. A look takes 3 us; one task looks every 5 ms, only while
someone listens. `notify` saves the listeners of its own process those 5 ms.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from antiphon.errors import Unavailable
from antiphon.events.base import Events, Listener
from antiphon.events.listeners import Listeners

LOOK = 0.005
"""Seconds between two looks."""
FILE_LOOKS = 100
"""Looks after which one also asks whether the file is still the one at the path, and whether it exists by now."""


class SqliteEvents(Events):
    """Watches the store's file, which need not exist yet, and is never written to."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._listeners = Listeners()
        self._watch: _Watch | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._open = False

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        self._listeners.end()
        await self._stop()

    async def ping(self) -> None:
        try:
            with closing(_connect(self._path)) as connection:
                connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise Unavailable(f"the store {self._path} cannot be watched: {error}") from error

    async def notify(self, topics: Collection[str]) -> None:
        self._listeners.wake(topics)

    @asynccontextmanager
    async def listen(self, topic: str) -> AsyncIterator[Listener]:
        if not self._open:
            raise Unavailable(f"the events of {self._path} are closed")
        try:
            with self._listeners.enter(topic) as listener:
                if self._watcher is None:
                    self._watch = _Watch(self._path)
                    self._watcher = asyncio.create_task(self._look(self._watch))
                yield listener
        finally:
            if not self._listeners:
                await self._stop()

    async def _stop(self) -> None:
        watcher, self._watcher = self._watcher, None
        watch, self._watch = self._watch, None
        if watcher is not None and watch is not None:
            watcher.cancel()
            watch.close()
            await asyncio.wait([watcher])

    async def _look(self, watch: "_Watch") -> None:
        while True:
            await asyncio.sleep(LOOK)
            if watch.changed():
                self._listeners.wake_all()


class _Watch:
    """The file as it was when we last looked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._version: int | None = None
        self._looks = 0
        self._connect()

    def changed(self) -> bool:
        self._looks += 1
        if (self._connection is None or self._looks % FILE_LOOKS == 0) and _identity(self._path) != self._identity:
            self.close()
            self._connect()
            return True
        return self._advance()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        self._identity = _identity(self._path)
        if self._identity is not None:
            with suppress(sqlite3.Error):  # out of reach: whoever reads the store says so
                self._connection = _connect(self._path)
        self._advance()

    def _advance(self) -> bool:
        if self._connection is None:
            return False
        try:
            [version] = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:  # locked for a moment; the next look tells
            return False
        before, self._version = self._version, version
        return bool(before != version)


def _connect(path: Path) -> sqlite3.Connection:
    """Connect without making the file and without ever waiting for a lock."""
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
