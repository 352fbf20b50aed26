"""The peer: a queue on bare sqlite3 that does the least that "at least once, one lease at a time" takes.

One table, one index, one transaction per call: insert; lease by an update that returns the rows; delete where the
receipt is still ours. No pools, priorities, deduplication, dead letters or messages that are parsed, and no event
loop. The file has the settings of `SqliteQueue`: WAL, `synchronous = NORMAL`, the same page size, checkpoints apart
from the commits.
"""

import sqlite3
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Self

LEASE = 60.0
SCHEMA = """
CREATE TABLE message (id INTEGER PRIMARY KEY, visible_at REAL NOT NULL, receipt INTEGER, body TEXT NOT NULL);
CREATE INDEX message_by_turn ON message (visible_at);
"""
SEND = "INSERT INTO message (visible_at, body) VALUES (?, ?)"
RECEIVE = """
    UPDATE message SET receipt = ?, visible_at = ?
    WHERE id IN (SELECT id FROM message WHERE visible_at <= ? ORDER BY visible_at LIMIT ?)
    RETURNING id, body"""
ACK = "DELETE FROM message WHERE id = ? AND receipt = ?"


class RawQueue:
    """Used from one thread."""

    def __init__(self, path: Path, page_size: int) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in (f"page_size = {page_size}", "journal_mode = WAL", "synchronous = NORMAL"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        self._connection.executescript(SCHEMA)
        self._receipts = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, bodies: Sequence[str]) -> None:
        now = time.time()
        if len(bodies) == 1:
            self._connection.execute(SEND, (now, bodies[0]))
            return
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(SEND, [(now, body) for body in bodies])
        self._connection.execute("COMMIT")

    def receive(self, limit: int) -> list[tuple[int, int]]:
        """(id, receipt) of each."""
        now, receipt = time.time(), next(self._receipts)
        rows = self._connection.execute(RECEIVE, (receipt, now + LEASE, now, limit)).fetchall()
        return [(id_, receipt) for id_, _ in rows]

    def ack(self, received: Sequence[tuple[int, int]]) -> int:
        """How many were still ours."""
        if len(received) == 1:
            return self._connection.execute(ACK, received[0]).rowcount
        self._connection.execute("BEGIN IMMEDIATE")
        removed = self._connection.executemany(ACK, received).rowcount
        self._connection.execute("COMMIT")
        return removed

    def checkpoint(self) -> None:
        """Bring the write-ahead log home, as `SqliteQueue` does after some 8,000 changes."""
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
