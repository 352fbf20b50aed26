"""Erasing on PostgreSQL, where others may hold locks on some of the jobs."""

import asyncio

import asyncpg
from tests.contract.stores import Clock, Told, new_job, opened

from antiphon import lifecycle
from antiphon.store import schema


async def test_a_job_that_another_transaction_holds_is_left_to_a_later_look_and_delays_no_other(
    postgres_url: str,
) -> None:
    clock = Clock()
    await schema.migrate(postgres_url)
    async with opened(postgres_url, Told(), clock) as store, asyncio.timeout(30):
        locked, other = [await store.accept(new_job(retention=60.0)) for _ in range(2)]
        for job in (locked, other):
            await store.change("default", job.id, lifecycle.cancel)
        clock.advance(60)
        connection = await asyncpg.connect(postgres_url)
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE", locked.id)
            assert [tombstone.job for tombstone in await store.erase_due(10)] == [other.id]
        await connection.close()
        assert [tombstone.job for tombstone in await store.erase_due(10)] == [locked.id]
