"""What the store's database in a file promises beyond the port: writers share commits, and nobody notices."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from tests.contract.stores import Told, new_job

from antiphon import lifecycle
from antiphon.errors import JobTerminal, Unavailable
from antiphon.jobs import Claim, State
from antiphon.messages import Message
from antiphon.retry import RetryPolicy
from antiphon.store import schema, sqlite
from antiphon.store.engine import open_database
from antiphon.store.sql import SqlStore
from antiphon.store.sqlite import SqliteDatabase

LONG = 60.0

Work = Callable[[Connection], int]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE line (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)")
    return path


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(f"sqlite:///{path}")
    yield database
    await database.close()


class Gate:
    """Keeps the writer busy, so that what comes meanwhile waits together."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._opened = threading.Event()
        self._entered = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._holding = asyncio.create_task(database.write(self._hold))

    def _hold(self, _: Connection) -> None:
        self._loop.call_soon_threadsafe(self._entered.set)
        assert self._opened.wait(LONG)

    async def wait(self) -> None:
        await self._entered.wait()

    async def open(self) -> None:
        self._opened.set()
        await asyncio.wait([self._holding])


@pytest.fixture
async def gate(database: SqliteDatabase) -> AsyncIterator[Gate]:
    gate = Gate(database)
    await gate.wait()
    yield gate
    await gate.open()


def adding(text: str) -> Work:
    def add(connection: Connection) -> int:
        connection.execute(sa.text("INSERT INTO line (text) VALUES (:text)"), {"text": text})
        return int(connection.execute(sa.text("SELECT count(*) FROM line")).scalar_one())

    return add


def lines(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [text for [text] in connection.execute("SELECT text FROM line ORDER BY id")]


async def queued(database: SqliteDatabase, *works: Callable[[Connection], object]) -> list[asyncio.Task[object]]:
    """The works, waiting for the writer in this order."""
    tasks = [asyncio.create_task(database.write(work)) for work in works]
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_is_committed_together_in_order(database: SqliteDatabase, path: Path, gate: Gate) -> None:
    works = await queued(database, *(adding(f"{number}") for number in range(20)))
    before = database.commits
    await gate.open()
    assert await asyncio.gather(*works) == list(range(1, 21))
    assert database.commits == before + 2  # the gate's, and that of all the others
    assert lines(path) == [f"{number}" for number in range(20)]


async def test_what_raises_is_undone_alone(database: SqliteDatabase, path: Path, gate: Gate) -> None:
    def fail(connection: Connection) -> int:
        adding("undone")(connection)
        raise JobTerminal("job", "failed")

    def break_(connection: Connection) -> int:
        adding("undone as well")(connection)
        return adding("first")(connection)  # which is there already

    first, failed, second, broken, third = await queued(
        database, adding("first"), fail, adding("second"), break_, adding("third")
    )
    await gate.open()
    assert [await first, await second, await third] == [1, 2, 3]
    with pytest.raises(JobTerminal):
        await failed
    with pytest.raises(sa.exc.IntegrityError):
        await broken
    assert lines(path) == ["first", "second", "third"]


async def test_a_statement_that_the_database_refuses_is_its_callers_alone(
    database: SqliteDatabase, path: Path, gate: Gate
) -> None:
    good, bad = await queued(
        database, adding("good"), lambda connection: connection.execute(sa.text("SELECT 1 FROM nowhere"))
    )
    await gate.open()
    assert await good == 1
    with pytest.raises(Unavailable, match="nowhere"):
        await bad


async def test_nobody_hears_of_success_before_the_commit(
    database: SqliteDatabase, path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that fails is everybody's, even theirs who were refused: what they saw has not happened."""

    def refuse(connection: Connection) -> int:
        seen = connection.execute(sa.text("SELECT count(*) FROM line")).scalar_one()
        raise JobTerminal("job", f"seen to have {seen} lines")

    def refuse_commit(_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    works = await queued(database, adding("one"), refuse, adding("two"))
    monkeypatch.setattr(database._engine.dialect, "do_commit", refuse_commit)
    await gate.open()
    for work in works:
        with pytest.raises(Unavailable, match="disk I/O error"):
            await work
    monkeypatch.undo()
    assert lines(path) == []
    assert await database.write(adding("three")) == 1


async def test_a_full_disk_is_everybodys_and_leaves_nothing_by_halves(tmp_path: Path) -> None:
    """SQLite ends the whole transaction then, with the savepoints of those who were through."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    await schema.migrate(url)
    database = SqliteDatabase(url)
    async with SqlStore(database, Told()) as store:
        first = await store.accept(new_job())
        pages = await database.read(lambda connection: connection.execute(sa.text("PRAGMA page_count")).scalar_one())
        limit = sa.text(f"PRAGMA max_page_count = {pages + 3}")
        await database.write(lambda connection: connection.execute(limit))
        jobs = [new_job(metadata={"weight": "x" * 500}) for _ in range(60)]
        outcomes = await asyncio.gather(*(store.accept(job) for job in jobs), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
        accepted = {outcome.id for outcome in outcomes if not isinstance(outcome, BaseException)}
        assert refused
        assert len(refused) + len(accepted) == len(jobs)
        assert "full" in str(refused[0])
        assert {job.id for job in await store.jobs("default", limit=100)} == accepted | {first.id}
        await database.write(lambda connection: connection.execute(sa.text("PRAGMA max_page_count = 1000000")))
        again = await asyncio.gather(*(store.accept(job) for job in jobs if job.id not in accepted))
        assert len(await store.jobs("default", limit=100)) == 1 + len(accepted) + len(again)


async def test_who_gives_up_waiting_is_not_written_for(database: SqliteDatabase, path: Path, gate: Gate) -> None:
    stays, goes = await queued(database, adding("stays"), adding("goes"))
    goes.cancel()
    await asyncio.sleep(0)
    await gate.open()
    await stays
    with pytest.raises(asyncio.CancelledError):
        await goes
    assert lines(path) == ["stays"]


async def test_who_gives_up_while_being_written_for_does_no_harm_to_the_others(
    database: SqliteDatabase, path: Path, gate: Gate
) -> None:
    writing, go_on, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def dawdle(connection: Connection) -> int:
        loop.call_soon_threadsafe(writing.set)
        assert go_on.wait(LONG)
        return adding("given up")(connection)

    before, goes, after = await queued(database, adding("before"), dawdle, adding("after"))
    await gate.open()
    await writing.wait()
    goes.cancel()
    await asyncio.sleep(0)
    go_on.set()
    async with asyncio.timeout(LONG / 2):
        assert [await before, await after] == [1, 3]
    assert lines(path) == ["before", "given up", "after"]


async def test_a_group_has_an_end_so_that_other_processes_get_their_turn(
    database: SqliteDatabase, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "GROUP", 4)
    works = await queued(database, *(adding(f"{number}") for number in range(10)))
    before = database.commits
    await gate.open()
    await asyncio.gather(*works)
    assert database.commits == before + 1 + 3


async def test_two_claims_in_one_group_are_one_claim(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    await schema.migrate(url)
    async with SqlStore(SqliteDatabase(url), Told()) as store:
        job = await store.accept(new_job())
        claim = partial(lifecycle.claim, message=Message.of(job), lease=30.0, policy=RetryPolicy(attempts=3))
        outcomes = await asyncio.gather(
            *(store.change("default", job.id, partial(claim, worker=f"w{number}")) for number in range(16)),
            return_exceptions=True,
        )
        assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
        assert (await store.job("default", job.id)).fence == 1


async def test_jobs_that_are_ready_together_take_far_fewer_than_three_transactions_each(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    await schema.migrate(url)
    database = open_database(url)
    async with SqlStore(database, Told()) as store:

        async def run() -> None:
            job = await store.accept(new_job())
            claim = partial(
                lifecycle.claim, message=Message.of(job), worker="w", lease=30.0, policy=RetryPolicy(attempts=3)
            )
            held = Claim.of(await store.change("default", job.id, claim))
            assert held is not None
            done = await store.change("default", job.id, partial(lifecycle.finish_leg, claim=held))
            assert done.state is State.SUCCEEDED

        before = database.commits
        await run()
        assert database.commits == before + 3
        await asyncio.gather(*(run() for _ in range(40)))
        assert database.commits - before - 3 <= 40
