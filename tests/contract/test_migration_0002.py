"""What pauses and retention mean for what was there before them, and for programs of the version before."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from tests.contract.stores import Clock, Told, new_job, opened

from antiphon import lifecycle
from antiphon.jobs import Job, Source, State
from antiphon.pools import Pool
from antiphon.retention import DAY
from antiphon.store import rows, schema, tables
from antiphon.store.base import Tombstone
from antiphon.store.engine import open_database

ADDED = {
    "jobs": {"retention", "legal_hold", "erase_at"},
    "tombstones": {"prefix", "retention_over"},
    "pools": {"paused"},
}


def before(table: sa.Table) -> sa.TableClause:
    """The table as programs of schema 0001 know it."""
    known = [column for column in table.c if column.name not in ADDED[table.name]]
    return sa.table(table.name, *(sa.column(column.name, column.type) for column in known))


async def write(url: str, *statements: sa.Executable) -> None:
    def execute(connection: Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    database = open_database(url)
    await database.write(execute)
    await database.close()


def inserted(job: Job) -> sa.Insert:
    values: dict[str, Any] = rows.of_job(job)
    return before(tables.jobs).insert().values({key: values[key] for key in values.keys() - ADDED["jobs"]})


def old_job(**fields: object) -> Job:
    job = new_job(**fields)
    return new_job(**{**fields, "id": job.id, "source": Source(f"default/{job.id}/source", "x.wav", 1, "0" * 64)})


@pytest.fixture
async def url(store_url: str) -> str:
    """A database at schema 0001."""
    await schema.migrate(store_url, to="0001")
    return store_url


async def test_jobs_of_before_are_kept_for_thirty_days_from_their_end(url: str, told: Told, store_clock: Clock) -> None:
    done = old_job(state=State.SUCCEEDED, finished_at=store_clock.now)
    lives = old_job()
    await write(url, inserted(done), inserted(lives))
    await schema.migrate(url)
    async with opened(url, told, store_clock) as store:
        assert await store.jobs("default", limit=9) == [lives, done]
        assert (done.retention, done.legal_hold) == (30 * DAY, False)
        store_clock.advance(30 * DAY - 1)
        assert await store.erase_due(10) == []
        store_clock.advance(1)
        assert await store.erase_due(10) == [Tombstone(done.id, "default", f"default/{done.id}")]
        assert await store.jobs("default", limit=9) == [lives]


async def test_pools_and_tombstones_of_before_stay_what_they_were(url: str, told: Told, store_clock: Clock) -> None:
    grave = {"job": "j", "tenant": "default", "deleted_at": 0.0, "swept": False}
    await write(
        url,
        before(tables.pools).insert().values(rows.of_pool(Pool("a", "base"))),
        before(tables.tombstones).insert().values(grave),
    )
    await schema.migrate(url)
    async with opened(url, told, store_clock) as store:
        assert await store.pools() == [Pool("a", "base")]
        assert await store.tombstones(10, age=0) == [Tombstone("j", "default", "default/j")]


async def test_programs_of_the_version_before_go_on_while_both_run(url: str, told: Told, store_clock: Clock) -> None:
    await schema.migrate(url)
    job = old_job()
    grave = {"job": "j", "tenant": "default", "deleted_at": 0.0, "swept": False}
    pool = before(tables.pools).insert().values(rows.of_pool(Pool()))
    end = {"state": "cancelled", "finished_at": store_clock.now}
    old = before(tables.jobs)
    await write(url, inserted(job), pool, before(tables.tombstones).insert().values(grave))
    await write(url, sa.update(old).where(old.c.id == job.id).values(end))
    async with opened(url, told, store_clock) as store:
        assert (await store.job("default", job.id)).erase_at == store_clock.now + 30 * DAY
        assert [tombstone.job for tombstone in await store.tombstones(10, age=0)] == ["j"]
        store_clock.advance(30 * DAY)
        assert [tombstone.job for tombstone in await store.erase_due(10)] == [job.id]


async def test_the_way_back_keeps_everything_that_the_version_before_knows(
    url: str, told: Told, store_clock: Clock
) -> None:
    await schema.migrate(url)
    async with opened(url, told, store_clock) as store:
        await store.put_pool(Pool("a"))
        await store.pause("a", paused=True)
        held = await store.accept(new_job(retention=60.0))
        await store.change("default", held.id, lifecycle.hold)
        gone = await store.accept(new_job())
        await store.change("default", gone.id, lifecycle.delete)
    await schema.migrate(url, to="0001")
    await schema.migrate(url)
    async with opened(url, told, store_clock) as store:
        found = await store.job("default", held.id)
        assert (found.source, found.state, found.retention, found.legal_hold) == (
            held.source,
            State.QUEUED,
            30 * DAY,
            False,
        )
        assert await store.pool("a") == Pool("a")
        assert [tombstone.job for tombstone in await store.tombstones(10, age=0)] == [gone.id]
