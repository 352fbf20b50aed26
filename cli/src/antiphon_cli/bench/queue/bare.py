"""The peers of the full platform: a job's three transactions under the bare driver of the same database.

Accept: the job, its event, its promise. Claim and commit: read the job, write it, enter an event. With the durability
that the platform asks for (every commit synced) and rows of about the same size; no queue, no relay, no events to
listeners, no fence, no page of the API that any index would serve.
"""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from antiphon.ids import new_id

TABLES = (
    "CREATE TABLE IF NOT EXISTS bare_job (id TEXT PRIMARY KEY, state TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS bare_event (job TEXT, number INTEGER, body TEXT NOT NULL, PRIMARY KEY (job, number))",
    "CREATE TABLE IF NOT EXISTS bare_promise (job TEXT PRIMARY KEY, body TEXT NOT NULL)",
)
BODY = json.dumps(
    {"tenant": "default", "options": {}, "source": {"key": "x" * 60, "sha256": "0" * 64}, "legs": ["x" * 40]}
)
STATES = ("running", "succeeded")

Run = Callable[[int, int], Awaitable[None]]
"""Takes so many jobs through, so many at once."""


def sqlite(path: Path) -> Run:
    """On a file of its own, in a thread, which is as many at once as SQLite writes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for table in TABLES:
            connection.execute(table)

    async def run(jobs: int, _width: int) -> None:
        await asyncio.to_thread(_on_sqlite, path, jobs)

    return run


def _on_sqlite(path: Path, jobs: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        execute = connection.execute
        for job in [new_id() for _ in range(jobs)]:
            execute("BEGIN IMMEDIATE")
            execute("INSERT INTO bare_job VALUES (?, 'queued', ?)", (job, BODY))
            execute("INSERT INTO bare_event VALUES (?, 1, ?)", (job, BODY))
            execute("INSERT INTO bare_promise VALUES (?, ?)", (job, BODY))
            execute("COMMIT")
            for number, state in enumerate(STATES, 2):
                execute("BEGIN IMMEDIATE")
                execute("SELECT state, body FROM bare_job WHERE id = ?", (job,)).fetchone()
                execute("UPDATE bare_job SET state = ?, body = ? WHERE id = ?", (state, BODY, job))
                execute("INSERT INTO bare_event VALUES (?, ?, ?)", (job, number, BODY))
                execute("COMMIT")


def postgresql(url: str) -> Run:
    """On tables of its own in the same database, over as many connections as the platform has."""

    async def run(jobs: int, width: int) -> None:
        async with asyncpg.create_pool(url, min_size=1, max_size=min(width, 10)) as pool:
            for table in TABLES:
                await pool.execute(table)
            ids = iter([new_id() for _ in range(jobs)])

            async def some() -> None:
                for job in ids:
                    async with pool.acquire() as connection:
                        await _on_postgresql(connection, job)

            await asyncio.gather(*(some() for _ in range(width)))
            await pool.execute("DROP TABLE bare_job, bare_event, bare_promise")

    return run


async def _on_postgresql(connection: Any, job: str) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO bare_job VALUES ($1, 'queued', $2)", job, BODY)
        await connection.execute("INSERT INTO bare_event VALUES ($1, 1, $2)", job, BODY)
        await connection.execute("INSERT INTO bare_promise VALUES ($1, $2)", job, BODY)
    for number, state in enumerate(STATES, 2):
        async with connection.transaction():
            await connection.fetchrow("SELECT state, body FROM bare_job WHERE id = $1 FOR UPDATE", job)
            await connection.execute("UPDATE bare_job SET state = $1, body = $2 WHERE id = $3", state, BODY, job)
            await connection.execute("INSERT INTO bare_event VALUES ($1, $2, $3)", job, number, BODY)
