"""What the sweeper asks of the store every few seconds is answered by an index, however much lies in the tables."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from antiphon.store import erasing, schema, waiting
from antiphon.store.engine import open_database

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("look", "index"),
    [
        (partial(erasing.any_due, NOW), "ix_jobs_erase"),
        (partial(erasing.erase_due, 10, NOW), "ix_jobs_erase"),
        (partial(erasing.unswept, 10, 60.0, NOW), "ix_tombstones_sweep"),
        (partial(erasing.forgettable, 10, 60.0, NOW), "ix_tombstones_sweep"),
        (partial(waiting.jobs_for, "default", 10, None, None, NOW), "ix_jobs_waiting"),
    ],
    ids=["any_due", "erase_due", "unswept", "forgettable", "waiting"],
)
async def test_a_look_of_the_sweeper_or_the_queue_tools_is_served_by_its_index(
    look: Callable[[Connection], object], index: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    await schema.migrate(url)
    asked: list[str] = []

    def listening(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_trace_callback(asked.append)
        look(connection)
        driver.set_trace_callback(None)

    def plan(connection: Connection, question: str) -> str:
        return "; ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {question}"))

    database = open_database(url)
    await database.read(listening)
    questions = [statement for statement in asked if statement.startswith("SELECT")]
    plans = [await database.read(partial(plan, question=question)) for question in questions]
    await database.close()
    assert plans
    for found in plans:
        assert index in found
        assert "SCAN" not in found
        assert "TEMP B-TREE" not in found
