"""The peers: queues on bare sqlite3 that do the least that "at least once, one lease at a time" takes.

One transaction per call: insert; lease by an update that returns the rows; delete where the receipt is still ours. The
file has the settings of `SqliteQueue`: WAL, `synchronous = NORMAL`, the same page size, checkpoints apart from the
commits. No dead letters, no drawing of priorities, no messages that are parsed, and no event loop.
"""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

LEASE = 60.0
ACK = "DELETE FROM message WHERE id = ? AND receipt = ?"


@dataclass(frozen=True, slots=True)
class Table:
    """`send` takes (visible_at, key, body); `receive` (receipt, end of the lease, now, limit)."""

    schema: str
    send: str
    receive: str


PLAIN = Table(
    """
    CREATE TABLE message (id INTEGER PRIMARY KEY, visible_at REAL NOT NULL, receipt INTEGER, body TEXT NOT NULL);
    CREATE INDEX message_by_turn ON message (visible_at);
    """,
    "INSERT INTO message (visible_at, body) VALUES (?1, ?3)",
    """
    UPDATE message SET receipt = ?, visible_at = ?
    WHERE id IN (SELECT id FROM message WHERE visible_at <= ? ORDER BY visible_at LIMIT ?)
    RETURNING id, body""",
)
"""One queue, and nothing else."""

ALIKE = Table(
    """
    CREATE TABLE message (
        id INTEGER PRIMARY KEY, pool TEXT NOT NULL, priority INTEGER NOT NULL, visible_at REAL NOT NULL,
        receipt INTEGER, deliveries INTEGER NOT NULL DEFAULT 0, key TEXT NOT NULL, body TEXT NOT NULL
    );
    CREATE INDEX message_by_turn ON message (pool, priority, visible_at);
    CREATE UNIQUE INDEX message_by_key ON message (pool, key);
    """,
    """
    INSERT INTO message (pool, priority, visible_at, key, body) VALUES ('default', 1, ?1, ?2, ?3)
    ON CONFLICT DO NOTHING""",
    """
    UPDATE message SET receipt = ?, visible_at = ?, deliveries = deliveries + 1
    WHERE id IN (
        SELECT id FROM message WHERE pool = 'default' AND priority = 1 AND visible_at <= ?
        ORDER BY visible_at LIMIT ?
    )
    RETURNING id, body""",
)
"""Pools, priorities and deduplication, as `SqliteQueue` keeps them."""


class RawQueue:
    """Used from one thread."""

    def __init__(self, path: Path, page_size: int, table: Table) -> None:
        self._table = table
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in (f"page_size = {page_size}", "journal_mode = WAL", "synchronous = NORMAL"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        self._connection.executescript(table.schema)
        self._receipts = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, messages: Sequence[tuple[str, str]]) -> None:
        """Each is a key and a body."""
        now = time.time()
        self._all_or_nothing(self._table.send, [(now, key, body) for key, body in messages])

    def receive(self, limit: int) -> list[tuple[int, int]]:
        """(id, receipt) of each."""
        now, receipt = time.time(), next(self._receipts)
        rows = self._connection.execute(self._table.receive, (receipt, now + LEASE, now, limit)).fetchall()
        return [(id_, receipt) for id_, _ in rows]

    def ack(self, received: Sequence[tuple[int, int]]) -> int:
        """How many were still ours."""
        return self._all_or_nothing(ACK, received)

    def checkpoint(self) -> None:
        """Bring the write-ahead log home, as `SqliteQueue` does after some 8,000 changes."""
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _all_or_nothing(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many rows were changed, in one transaction."""
        if len(rows) == 1:
            return self._connection.execute(statement, rows[0]).rowcount
        self._connection.execute("BEGIN IMMEDIATE")
        changed = self._connection.executemany(statement, rows).rowcount
        self._connection.execute("COMMIT")
        return changed
