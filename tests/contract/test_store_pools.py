"""What every store promises of pools, and of the jobs that wait for them."""

from functools import partial

import pytest
from tests.contract.stores import Clock, Told, claim, new_job, opened

from antiphon import lifecycle
from antiphon.errors import PoolNotFound
from antiphon.jobs import Job, Leg, Priority, State
from antiphon.pools import Pool
from antiphon.store.base import Store, pool_topic

TWO_LEGS = (Leg("first", ("decode",)), Leg("second", ("pitch",)))


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


async def test_pools_are_registered_and_changed_by_name(store: Store) -> None:
    await store.put_pool(Pool("b", "tiny.en", frozenset({"cpu"})))
    await store.put_pool(Pool("a", "base", frozenset({"gpu"}), concurrency=2))
    changed = Pool("b", "base", frozenset({"cpu", "gpu"}), concurrency=4, target_wait=5.0)
    await store.put_pool(changed)
    assert await store.pools() == [Pool("a", "base", frozenset({"gpu"}), concurrency=2), changed]


async def test_the_backlog_tells_what_waits_what_runs_and_how_long_jobs_take(store: Store, store_clock: Clock) -> None:
    empty = await store.backlog("default")
    assert (empty.queued, empty.running, empty.oldest_due, empty.mean_run_seconds) == (0, 0, None, None)
    done, running, oldest, _ = [await store.accept(new_job()) for _ in range(4)]
    await store.accept(new_job(legs=(Leg("elsewhere", ("decode",)),)))
    _, held = await claim(store, done)
    store_clock.advance(8)
    await store.change("default", done.id, partial(lifecycle.finish_leg, claim=held))
    await claim(store, running)
    backlog = await store.backlog("default")
    assert (backlog.queued, backlog.running, backlog.oldest_due) == (2, 1, oldest.due_at)
    assert backlog.mean_run_seconds == pytest.approx(8.0)
    store_clock.advance(3601)
    assert (await store.backlog("default")).mean_run_seconds is None


async def test_a_jobs_position_counts_what_is_served_before_it(store: Store) -> None:
    low = await store.accept(new_job(priority=Priority.LOW))
    first, second = [await store.accept(new_job()) for _ in range(2)]
    high = await store.accept(new_job(priority=Priority.HIGH))
    assert [await store.position(job) for job in (high, first, second, low)] == [1, 2, 3, 4]
    running, _ = await claim(store, first)
    assert await store.position(running) == 0
    assert await store.position(second) == 2


async def test_a_pool_is_paused_and_resumed_and_its_workers_hear_of_it(store: Store, told: Told) -> None:
    await store.put_pool(Pool("a", "base", frozenset({"gpu"}), concurrency=2, target_wait=5.0))
    await store.put_pool(Pool("b"))
    told.topics.clear()
    paused = await store.pause("a", paused=True)
    assert paused == Pool("a", "base", frozenset({"gpu"}), concurrency=2, target_wait=5.0, paused=True)
    assert await store.pool("a") == paused
    assert await store.pools() == [paused, Pool("b")]
    assert not (await store.pause("a", paused=False)).paused
    assert not (await store.pool("a")).paused
    assert told.topics == [pool_topic("a")] * 2


async def test_registering_a_pool_again_does_not_resume_it(store: Store) -> None:
    await store.put_pool(Pool("a", paused=True))
    assert not (await store.pool("a")).paused, "nor does it pause it"
    await store.pause("a", paused=True)
    await store.put_pool(Pool("a", "base"))
    assert await store.pool("a") == Pool("a", "base", paused=True)


async def test_a_pause_outlives_the_program(store: Store, store_url: str, told: Told, store_clock: Clock) -> None:
    await store.put_pool(Pool("a"))
    await store.pause("a", paused=True)
    async with opened(store_url, told, store_clock) as again:
        assert (await again.pool("a")).paused


async def test_a_pool_that_is_not_registered_is_not_found_and_nobody_is_woken(store: Store, told: Told) -> None:
    for look in (store.pool("a"), store.pause("a", paused=True)):
        with pytest.raises(PoolNotFound, match="'a'"):
            await look
    assert await store.pools() == []
    assert told.topics == []


async def test_jobs_wait_for_a_pool_in_the_order_of_their_turn(store: Store) -> None:
    low = await store.accept(new_job(priority=Priority.LOW))
    first, second = [await store.accept(new_job()) for _ in range(2)]
    high = await store.accept(new_job(priority=Priority.HIGH))
    await store.accept(new_job(legs=(Leg("elsewhere", ("decode",)),)))
    assert await store.waiting("default", limit=10) == [high, first, second, low]
    assert await store.waiting("default", limit=10, priority=Priority.NORMAL) == [first, second]
    assert await store.waiting("default", limit=1, priority=Priority.LOW) == [low]
    assert await store.waiting("nowhere", limit=10) == []


async def test_those_who_wait_are_told_page_by_page(store: Store) -> None:
    made = [await store.accept(new_job(priority=priority)) for priority in (Priority.LOW, Priority.HIGH) * 3]
    for index in (2, 3):  # between two attempts
        _, held = await claim(store, made[index])
        await store.change("default", made[index].id, partial(lifecycle.retry, claim=held, after=60.0))
        made[index] = await store.job("default", made[index].id)
    seen: list[Job] = []
    while page := await store.waiting("default", limit=2, after=seen[-1] if seen else None):
        assert len(page) <= 2
        seen += page
    assert ids(seen) == ids([*made[1::2], *made[::2]])
    assert await store.waiting("default", limit=9, priority=Priority.LOW, after=made[0]) == [made[2], made[4]]


async def test_a_job_waits_whenever_its_leg_is_nobodys(store: Store, store_clock: Clock) -> None:
    job = await store.accept(new_job(legs=TWO_LEGS))
    younger = await store.accept(new_job(legs=TWO_LEGS))

    async def waiting() -> tuple[list[str], list[str]]:
        return ids(await store.waiting("first", limit=9)), ids(await store.waiting("second", limit=9))

    _, held = await claim(store, job)
    assert await waiting() == ([younger.id], []), "it is being worked on"
    await store.change("default", job.id, partial(lifecycle.retry, claim=held, after=60.0))
    assert await waiting() == ([job.id, younger.id], []), "between two attempts"
    running, held = await claim(store, job, lease=30)
    store_clock.advance(30)
    assert await waiting() == ([job.id, younger.id], []), "left by a lost worker"
    running, held = await claim(store, running)
    handed = await store.change("default", job.id, partial(lifecycle.finish_leg, claim=held))
    assert await waiting() == ([younger.id], [job.id]), "between two legs"
    assert handed.state is State.RUNNING
    await store.change("default", job.id, lifecycle.cancel)
    assert await waiting() == ([younger.id], []), "ended"


async def test_the_backlog_of_a_paused_pool_waits(store: Store) -> None:
    await store.put_pool(Pool())
    before = await store.accept(new_job())
    await store.pause("default", paused=True)
    after = await store.accept(new_job())
    assert (await store.backlog("default")).queued == 2
    assert [await store.position(job) for job in (before, after)] == [1, 2]
