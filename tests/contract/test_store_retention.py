"""What every store promises of how long jobs are kept, and of what is left of them."""

import asyncio
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from tests.contract.stores import Clock, Told, artifact, claim, new_job, opened

from antiphon import lifecycle
from antiphon.errors import JobDeleted, JobHeld, JobNotFound, RetentionOver
from antiphon.ids import new_id
from antiphon.jobs import Job, Source, State
from antiphon.store.base import Store, Tombstone, topic
from antiphon.store.engine import open_database
from antiphon.store.tables import metadata

HOUR = 3600.0


async def ended(store: Store, **fields: object) -> Job:
    """A job that was accepted and cancelled at once."""
    job = await store.accept(new_job(**fields))
    return await store.change(job.tenant, job.id, lifecycle.cancel)


async def test_a_job_keeps_its_own_time_and_its_hold(
    store: Store, store_url: str, told: Told, store_clock: Clock
) -> None:
    job = await ended(store, retention=61.0)
    assert job.erase_at == store_clock.now + 61
    held = await store.change("default", job.id, lifecycle.hold)
    assert held.legal_hold
    async with opened(store_url, told, store_clock) as again:
        assert await again.job("default", job.id) == held
        assert not (await again.change("default", job.id, lifecycle.lift)).legal_hold


async def test_only_ended_jobs_whose_time_is_over_are_erased(store: Store, store_clock: Clock) -> None:
    lives = await store.accept(new_job(retention=HOUR))
    later = await ended(store, retention=2 * HOUR)
    over = await ended(store, retention=HOUR)
    store_clock.advance(HOUR - 1)
    assert await store.erase_due(10) == []
    store_clock.advance(1)
    assert await store.erase_due(10) == [Tombstone(over.id, "default", over.blob_prefix)]
    assert await store.erase_due(10) == []
    assert {job.id for job in await store.jobs("default", limit=9)} == {lives.id, later.id}


async def test_an_erased_job_leaves_nothing_but_that_its_time_was_over(store: Store, store_clock: Clock) -> None:
    job = await store.accept(new_job(idempotency_key="k", fingerprint="f", retention=HOUR))
    other = await store.accept(new_job(idempotency_key="other", fingerprint="f"))
    _, held = await claim(store, job)
    await store.change(
        "default", job.id, partial(lifecycle.finish_leg, claim=held, artifacts=[artifact("result.json")])
    )
    store_clock.advance(HOUR)
    assert len(await store.erase_due(10)) == 1
    for look in (
        store.job("default", job.id),
        store.events("default", job.id),
        store.change("default", job.id, lifecycle.hold),
        store.change("default", job.id, lifecycle.delete),
    ):
        with pytest.raises(RetentionOver, match="kept is over"):
            await look
    with pytest.raises(JobNotFound):
        await store.job("other", job.id)
    assert await store.artifacts("default", job.id) == []
    assert [row.message.job for row in await store.take_outbox(9, lease=1)] == [other.id]
    assert (await store.accept(new_job(idempotency_key="k", fingerprint="g"))).state is State.QUEUED
    assert await store.accept(new_job(idempotency_key="other", fingerprint="f")) == other


async def rows_of(url: str, job: Job) -> dict[str, int]:
    """How many rows name the job, by table."""

    def count(connection: Connection) -> dict[str, int]:
        counts = {}
        for table in metadata.sorted_tables:
            column = table.c.get("job", table.c.get("id"))
            if column is not None and isinstance(column.type, sa.String):
                query = sa.select(sa.func.count()).select_from(table).where(column == job.id)
                counts[table.name] = connection.execute(query).scalar_one()
        return {name: found for name, found in counts.items() if found}

    database = open_database(url)
    try:
        return await database.read(count)
    finally:
        await database.close()


@pytest.mark.parametrize("deleted", [True, False])
async def test_of_an_erased_jobs_rows_only_its_tombstone_is_left(
    store: Store, store_url: str, store_clock: Clock, deleted: bool
) -> None:
    job, other = [await store.accept(new_job(idempotency_key=key, fingerprint="f", retention=HOUR)) for key in "ab"]
    for each in (job, other):
        _, held = await claim(store, each)
        finish = partial(lifecycle.finish_leg, claim=held, artifacts=[artifact("result.json")])
        await store.change("default", each.id, finish)
    full = {"jobs": 1, "events": 3, "artifacts": 1, "outbox": 1, "idempotency_keys": 1}
    assert await rows_of(store_url, job) == full
    await store.change("default", other.id, lifecycle.hold)
    if deleted:
        await store.change("default", job.id, lifecycle.delete)
    else:
        store_clock.advance(HOUR)
        await store.erase_due(10)
    assert await rows_of(store_url, job) == {"tombstones": 1}
    assert await rows_of(store_url, other) == full


async def test_a_key_that_was_used_again_stays_with_the_job_that_has_it_now(store: Store, store_clock: Clock) -> None:
    first = await ended(store, idempotency_key="k", fingerprint="f", retention=30 * HOUR)
    store_clock.advance(25 * HOUR)
    second = await store.accept(new_job(idempotency_key="k", fingerprint="g"))
    store_clock.advance(5 * HOUR)
    assert [tombstone.job for tombstone in await store.erase_due(10)] == [first.id]
    assert await store.accept(new_job(idempotency_key="k", fingerprint="g")) == second


async def test_a_deleted_job_is_told_from_one_whose_time_was_over(store: Store) -> None:
    job = await ended(store)
    await store.change("default", job.id, lifecycle.delete)
    with pytest.raises(JobDeleted) as gone:
        await store.job("default", job.id)
    assert type(gone.value) is JobDeleted


async def test_a_held_job_is_not_erased_until_its_hold_is_lifted(store: Store, store_clock: Clock) -> None:
    job = await ended(store, retention=HOUR)
    held = await store.change("default", job.id, lifecycle.hold)
    store_clock.advance(1000 * HOUR)
    assert await store.erase_due(10) == []
    with pytest.raises(JobHeld):
        await store.change("default", job.id, lifecycle.delete)
    assert await store.job("default", job.id) == held
    await store.change("default", job.id, lifecycle.lift)
    assert [tombstone.job for tombstone in await store.erase_due(10)] == [job.id]


async def test_a_redriven_job_is_kept_until_its_next_end_has_passed(store: Store, store_clock: Clock) -> None:
    job = await ended(store, retention=HOUR)
    await store.change("default", job.id, lifecycle.redrive)
    store_clock.advance(2 * HOUR)
    assert await store.erase_due(10) == []
    await store.change("default", job.id, lifecycle.cancel)
    assert await store.erase_due(10) == []
    store_clock.advance(HOUR)
    assert [tombstone.job for tombstone in await store.erase_due(10)] == [job.id]


async def test_what_is_due_is_erased_in_batches_the_longest_due_first(store: Store, store_clock: Clock) -> None:
    made = [await ended(store, retention=minutes * 60.0) for minutes in (3, 1, 5, 2, 4)]
    store_clock.advance(HOUR)
    batches = []
    while batch := await store.erase_due(2):
        batches.append({tombstone.job for tombstone in batch})
    third, first, fifth, second, fourth = (job.id for job in made)
    assert batches == [{first, second}, {third, fourth}, {fifth}]


async def test_of_several_that_erase_at_once_each_gets_jobs_of_its_own(
    store: Store, store_url: str, told: Told, store_clock: Clock
) -> None:
    made = [await ended(store, retention=HOUR) for _ in range(12)]
    store_clock.advance(HOUR)
    async with opened(store_url, told, store_clock) as other:
        batches = await asyncio.gather(*(each.erase_due(3) for each in (store, other) * 4))
        batches += [await store.erase_due(12)]  # what one has locked is left out by the others
    erased = [tombstone.job for batch in batches for tombstone in batch]
    assert sorted(erased) == sorted(job.id for job in made)


async def test_a_hold_and_an_erasure_at_once_end_with_one_of_them(store: Store, store_clock: Clock) -> None:
    for _ in range(6):
        job = await ended(store, retention=HOUR)
        store_clock.advance(HOUR)
        outcome, erased = await asyncio.gather(
            store.change("default", job.id, lifecycle.hold), store.erase_due(10), return_exceptions=True
        )
        assert isinstance(erased, list)
        if isinstance(outcome, Job):
            assert erased == []
            assert (await store.job("default", job.id)).legal_hold
        else:
            assert isinstance(outcome, RetentionOver)
            assert [tombstone.job for tombstone in erased] == [job.id]


async def test_listeners_of_erased_jobs_are_woken_and_nobody_if_nothing_is_due(
    store: Store, told: Told, store_clock: Clock
) -> None:
    jobs = [await ended(store, retention=HOUR) for _ in range(2)]
    told.topics.clear()
    await store.erase_due(10)
    assert told.topics == []
    store_clock.advance(HOUR)
    await store.erase_due(10)
    assert set(told.topics) == {topic(job.id) for job in jobs}


async def test_tombstones_remember_where_the_blobs_were(store: Store, store_clock: Clock) -> None:
    for prefix in ("ephemeral/default/x", "standard/default/x", "default/x"):
        job = await store.accept(new_job(source=Source(f"{prefix}/source", "x.wav", 1, "0" * 64)))
        await store.change("default", job.id, lifecycle.delete)
        [tombstone] = await store.tombstones(10, age=0)
        assert tombstone == Tombstone(job.id, "default", prefix)
        await store.sweep_tombstone(tombstone)


async def test_swept_tombstones_are_forgotten_after_a_time(store: Store, store_clock: Clock) -> None:
    swept, unswept, young = [await ended(store) for _ in range(3)]
    for job in (swept, unswept):
        await store.change("default", job.id, lifecycle.delete)
    store_clock.advance(HOUR)
    await store.change("default", young.id, lifecycle.delete)
    for tombstone in await store.tombstones(10, age=0):
        if tombstone.job != unswept.id:
            await store.sweep_tombstone(tombstone)
    assert await store.forget_tombstones(10, age=HOUR) == 1
    assert await store.forget_tombstones(10, age=HOUR) == 0
    with pytest.raises(JobNotFound):
        await store.job("default", swept.id)
    for job in (unswept, young):
        with pytest.raises(JobDeleted):
            await store.job("default", job.id)


async def test_tombstones_are_forgotten_in_batches(store: Store) -> None:
    for _ in range(3):
        job = await ended(store)
        await store.change("default", job.id, lifecycle.delete)
    for tombstone in await store.tombstones(10, age=0):
        await store.sweep_tombstone(tombstone)
    assert [await store.forget_tombstones(2, age=0) for _ in range(3)] == [2, 1, 0]


async def test_a_job_that_never_was_is_not_found(store: Store) -> None:
    with pytest.raises(JobNotFound):
        await store.change("default", new_id(), lifecycle.hold)
