"""The file under `SqliteQueue`: made when missing, left when replaced, moved aside when damaged, kept small.

The file may be deleted while programs run (the sweeper sends again what was in it), which SQLite alone does not bear:

* A connection keeps the deleted inode and goes on writing where nobody reads. So the owner asks `replaced()`, one stat.
  Closing such a connection is safe: SQLite checks that the file was not moved before it deletes the -wal beside it
  (`databaseIsUnmoved` in pager.c).
* A new file beside the -shm of the old one would share a wal-index with it, and break
  (https://www.sqlite.org/howtocorrupt.html, "Unlinking or renaming a database file while in use"). So what is left of
  the old one is removed first, under a lock file that every opener takes. The lock is flock: unlike fcntl locks, it
  does not end when another descriptor of the same file is closed.

Versions: `application_id` says whose file it is, `user_version` which schema. There is one schema so far.
https://www.sqlite.org/pragma.html
"""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from antiphon.errors import AntiphonError, SchemaOutdated, SettingsError, Unavailable

logger = logging.getLogger(__name__)

APPLICATION_ID = 0x414E5451  # "ANTQ"
VERSION = 1
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    pool TEXT NOT NULL,
    priority INTEGER NOT NULL,
    visible_at REAL NOT NULL,           -- seconds since the epoch; while a lease runs, its end
    token INTEGER,                      -- of the last delivery; NULL before the first and after a release
    deliveries INTEGER NOT NULL DEFAULT 0,
    key TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX message_by_turn ON message (pool, priority, visible_at);       -- receive; the id is its last column
CREATE UNIQUE INDEX message_by_key ON message (pool, key);                  -- deduplication
CREATE TABLE dead (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    pool TEXT NOT NULL,
    priority INTEGER NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    reason TEXT NOT NULL,
    died_at REAL NOT NULL
);
CREATE INDEX dead_by_pool ON dead (pool, priority);                         -- depth
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""
PAGE = 2048
"""Bytes. Rows are small, and every page that a commit touches is checksummed and written whole."""
WAL_FRAMES = 16000
"""A write-ahead log of more frames (a page each) is emptied, which holds writers up while the last of it is done."""
PATIENCE = 0.1
"""Seconds for which a background thread waits for a lock."""

Identity = tuple[int, int]
DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
LOCKS = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
LOCKED = "another process keeps it locked; find that process (fuser shows it) and end it"
DAMAGED = "it is damaged; delete it, and what was in it is sent again"
UNWRITABLE = "it cannot be written; give this user write access to the file and its folder"
ADVICE = {
    **dict.fromkeys(LOCKS, LOCKED),
    **dict.fromkeys(DAMAGE, DAMAGED),
    sqlite3.SQLITE_FULL: "its disk is full; free some space",
    sqlite3.SQLITE_READONLY: UNWRITABLE,
    sqlite3.SQLITE_PERM: UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; give this user access to its folder",
    sqlite3.SQLITE_IOERR: "its disk fails; check the disk and its quota, and that it is not a network share",
}


def primary_code(error: sqlite3.Error) -> int:
    """Say which kind of error it is: the low byte of the extended code (https://www.sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def explained(error: sqlite3.Error | OSError, path: Path) -> Exception:
    """What to raise for `error`: Unavailable with what to do about it, or itself where only a programmer can help."""
    if isinstance(error, OSError):
        return Unavailable(f"the queue file {path} is out of reach: {error.strerror or error}")
    advice = ADVICE.get(primary_code(error))
    return error if advice is None else Unavailable(f"the queue file {path} does not work ({error}): {advice}")


class QueueFile:
    """Blocks where it says so; otherwise quick enough for an event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._identity: Identity | None = None

    def replaced(self) -> bool:
        """Whether the file that was connected to is no longer the one at the path."""
        return self._identity is None or self._look() != self._identity

    def prepare(self) -> None:
        """Make the file if it is missing or damaged. Blocks.

        Raises SettingsError for another program's database, SchemaOutdated for a newer program's, else Unavailable.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                try:
                    self._ensure()
                except sqlite3.DatabaseError as error:
                    if primary_code(error) not in DAMAGE:
                        raise
                    self._move_aside(error)
                    self._ensure()
        except (sqlite3.Error, OSError) as error:
            raise explained(error, self.path) from error

    def repair(self, error: sqlite3.Error) -> None:
        """Move the damaged file that was connected to aside, unless another process did, and make a new one. Blocks."""
        try:
            with self._locked():
                if not self.replaced():
                    self._move_aside(error)
        except OSError as failure:
            raise explained(failure, self.path) from failure
        self.prepare()

    def connect(self) -> sqlite3.Connection:
        """Connect to the prepared file. The connection never waits for a lock and never checkpoints."""
        identity = self._look()
        try:
            connection = self._existing(timeout=0)
            try:
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA wal_autocheckpoint = 0")
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        self._identity = identity
        if self.replaced():
            connection.close()
            raise Unavailable(f"the queue file {self.path} was replaced while it was being opened; try again")
        return connection

    def read(self, statement: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Run what takes long on a connection of its own. Blocks."""
        try:
            with closing(self._existing(timeout=PATIENCE)) as connection:
                return connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    def checkpoint(self) -> None:
        """Bring the write-ahead log home. Blocks, for some fsyncs.

        PASSIVE holds nobody up, but against steady writers it never ends with an empty log; then the rest is done
        while they wait. https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files
        """
        try:
            with closing(self._existing(timeout=PATIENCE)) as connection:
                connection.execute("PRAGMA synchronous = NORMAL")
                _busy, frames, _home = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if frames > WAL_FRAMES:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    def _look(self) -> Identity | None:
        try:
            found = os.stat(self.path)  # noqa: PTH116  half the time of Path.stat, on every send
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_dev, found.st_ino

    def _existing(self, timeout: float) -> sqlite3.Connection:
        """Open a connection to the file, which is not made if it is missing."""
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw", uri=True, timeout=timeout, isolation_level=None, check_same_thread=False
        )
        # a body that rotted on the disk must still come out, to reach the dead letters
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        return connection

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._beside("-lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ensure(self) -> None:
        if self._look() is None:
            self._beside("-wal").unlink(missing_ok=True)
            self._beside("-shm").unlink(missing_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(self._existing(timeout=5)) as connection:
            [owner] = connection.execute("PRAGMA application_id").fetchone()
            [version] = connection.execute("PRAGMA user_version").fetchone()
            [tables] = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if tables == 0:
                connection.execute(f"PRAGMA page_size = {PAGE}")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(SCHEMA)
            else:
                self._check(owner, version)

    def _check(self, owner: int, version: int) -> None:
        refusal: AntiphonError | None = None
        if owner != APPLICATION_ID:
            refusal = SettingsError(f"{self.path} is the database of something else; give the queue a file of its own")
        elif version != VERSION:
            refusal = SchemaOutdated(
                f"the queue file {self.path} has version {version}, and this program reads {VERSION}; stop the "
                "programs of the other version, then delete the file: what was in it is sent again"
            )
        if refusal is not None:
            raise refusal

    def _move_aside(self, error: sqlite3.Error) -> None:
        aside = self._beside(".damaged")
        self._beside("-shm").unlink(missing_ok=True)
        if self._beside("-wal").exists():
            self._beside("-wal").replace(aside.with_name(aside.name + "-wal"))
        self.path.replace(aside)
        logger.warning(
            "the queue file %s is damaged (%s); it is now %s, and a new one is made: what was in it is sent again",
            self.path,
            error,
            aside,
        )
