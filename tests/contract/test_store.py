"""What every store promises of jobs and their history. `stores.py` names the adapters."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from tests.contract.stores import Clock, Told, artifact, claim, new_job, opened

from antiphon import lifecycle
from antiphon.errors import (
    FenceLost,
    IdempotencyMismatch,
    JobDeleted,
    JobNotFound,
    JobTerminal,
    LeaseHeld,
    StaleMessage,
)
from antiphon.ids import new_id
from antiphon.jobs import Failure, State
from antiphon.messages import Message
from antiphon.store.base import Store, topic


async def test_an_accepted_job_is_kept_whole_with_its_event_and_its_message(
    store: Store, told: Told, store_clock: Clock
) -> None:
    wanted = new_job(expires_at=store_clock.now + 60, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01")
    job = await store.accept(wanted)
    assert job == replace(wanted, created_at=store_clock.now, due_at=store_clock.now, events=1)
    assert await store.job("default", job.id) == job
    [event] = await store.events("default", job.id)
    assert (event.number, event.state, event.at) == (1, State.QUEUED, store_clock.now)
    [row] = await store.take_outbox(10, lease=30)
    assert row.message == Message.of(job)
    assert told.topics == [topic(job.id)]


async def test_every_change_survives_reopening(store: Store, store_url: str, told: Told, store_clock: Clock) -> None:
    job = await store.accept(new_job())
    _, held = await claim(store, job)
    save = partial(lifecycle.save, claim=held, stage="decode", percent=5.0, artifacts=[artifact("audio.json")])
    saved = await store.change("default", job.id, partial(save, audio_seconds=7.1))
    failed = await store.change(
        "default", job.id, partial(lifecycle.fail, claim=held, failure=Failure("audio_undecodable", "no audio"))
    )
    assert saved.audio_seconds == 7.1
    async with opened(store_url, told, store_clock) as again:
        assert await again.job("default", job.id) == failed
        assert await again.artifacts("default", job.id) == [artifact("audio.json")]
        events = await again.events("default", job.id)
    assert [event.state for event in events] == [State.QUEUED, State.RUNNING, State.FAILED]
    assert events[-1].applied(job).failure == Failure("audio_undecodable", "no audio")


async def test_a_refused_decision_changes_nothing_and_reaches_the_caller(store: Store, told: Told) -> None:
    job = await store.accept(new_job())
    running, _ = await claim(store, job)
    told.topics.clear()
    with pytest.raises(LeaseHeld):
        await claim(store, job, "w2")
    assert await store.job("default", job.id) == running
    assert len(await store.events("default", job.id)) == 2
    assert told.topics == []


async def test_of_many_workers_one_gets_the_claim(store: Store) -> None:
    job = await store.accept(new_job())
    outcomes = await asyncio.gather(*(claim(store, job, f"w{number}") for number in range(8)), return_exceptions=True)
    granted = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
    assert len(granted) == 1
    assert sum(isinstance(outcome, LeaseHeld) for outcome in outcomes) == 7


async def test_of_many_processes_one_gets_each_claim_and_none_is_turned_away_by_the_others(
    store: Store, store_url: str, told: Told, store_clock: Clock
) -> None:
    made = [await store.accept(new_job()) for _ in range(12)]
    async with opened(store_url, told, store_clock) as second, opened(store_url, told, store_clock) as third:
        outcomes = await asyncio.gather(
            *(claim(each, job) for job in made for each in (store, second, third)), return_exceptions=True
        )
    assert sum(isinstance(outcome, tuple) for outcome in outcomes) == 12
    assert sum(isinstance(outcome, LeaseHeld) for outcome in outcomes) == 24


async def test_a_claim_after_a_lost_lease_shuts_the_first_worker_out(store: Store, store_clock: Clock) -> None:
    job = await store.accept(new_job())
    _, first = await claim(store, job, lease=30)
    store_clock.advance(31)
    await claim(store, job, "w2")
    with pytest.raises(FenceLost):
        await store.change("default", job.id, partial(lifecycle.finish_leg, claim=first))


async def test_an_idempotency_key_gives_the_first_job_for_a_day(store: Store, store_clock: Clock) -> None:
    first = await store.accept(new_job(idempotency_key="k", fingerprint="f"))
    store_clock.advance(24 * 3600 - 1)
    assert await store.accept(new_job(idempotency_key="k", fingerprint="f")) == first
    assert len(await store.jobs("default", limit=10)) == 1
    with pytest.raises(IdempotencyMismatch):
        await store.accept(new_job(idempotency_key="k", fingerprint="other"))
    store_clock.advance(2)
    later = await store.accept(new_job(idempotency_key="k", fingerprint="other"))
    assert later.id != first.id


async def test_one_key_at_once_makes_one_job(store: Store) -> None:
    jobs = await asyncio.gather(*(store.accept(new_job(idempotency_key="k", fingerprint="f")) for _ in range(6)))
    assert len({job.id for job in jobs}) == 1
    assert len(await store.take_outbox(10, lease=1)) == 1


async def test_an_idempotency_key_is_its_tenants_own(store: Store) -> None:
    mine = await store.accept(new_job(idempotency_key="k", fingerprint="f"))
    theirs = await store.accept(new_job(tenant="other", idempotency_key="k", fingerprint="g"))
    assert mine.id != theirs.id


async def test_a_tenant_sees_nothing_of_another(store: Store) -> None:
    job = await store.accept(new_job())
    for look in (
        store.job("other", job.id),
        store.events("other", job.id),
        store.change("other", job.id, lifecycle.cancel),
        store.resend("other", job.id),
    ):
        with pytest.raises(JobNotFound):
            await look
    assert await store.jobs("other", limit=10) == []
    _, held = await claim(store, job)
    await store.change(
        "default",
        job.id,
        partial(lifecycle.save, claim=held, stage="decode", percent=1.0, artifacts=[artifact("audio.json")]),
    )
    assert await store.artifacts("other", job.id) == []
    await store.change("default", job.id, lifecycle.delete)
    with pytest.raises(JobNotFound):
        await store.job("other", job.id)


async def test_jobs_are_listed_newest_first_by_page_and_filter(store: Store, store_clock: Clock) -> None:
    made = []
    for _ in range(5):
        made.append(await store.accept(new_job()))
        store_clock.advance(10)
    await store.change("default", made[1].id, lifecycle.cancel)
    newest = [job.id for job in reversed(made)]
    first = await store.jobs("default", limit=2)
    assert [job.id for job in first] == newest[:2]
    rest = await store.jobs("default", limit=10, before=first[-1].id)
    assert [job.id for job in rest] == newest[2:]
    cancelled = await store.jobs("default", limit=10, states=[State.CANCELLED])
    assert [job.id for job in cancelled] == [made[1].id]
    window = await store.jobs("default", limit=10, created_after=made[1].created_at, created_before=made[3].created_at)
    assert [job.id for job in window] == [made[2].id, made[1].id]


async def test_history_is_read_from_any_event_on(store: Store) -> None:
    job = await store.accept(new_job())
    await claim(store, job)
    await store.change("default", job.id, lifecycle.cancel)
    assert [event.number for event in await store.events("default", job.id, after=1)] == [2, 3]
    assert await store.events("default", job.id, after=3) == []


async def test_the_newest_artifact_of_a_name_is_the_one(store: Store, store_clock: Clock) -> None:
    job = await store.accept(new_job())
    for fence in (1, 2):
        _, held = await claim(store, job)
        save = partial(lifecycle.save, claim=held, stage="decode", percent=1.0)
        await store.change("default", job.id, partial(save, artifacts=[artifact("audio.json", fence)]))
        store_clock.advance(31)
    assert await store.artifacts("default", job.id) == [artifact("audio.json", 2)]


async def test_promised_messages_are_shared_out_by_lease_and_dropped_once_sent(
    store: Store, store_clock: Clock
) -> None:
    for _ in range(3):
        await store.accept(new_job())
    first = await store.take_outbox(2, lease=30)
    second = await store.take_outbox(2, lease=30)
    assert [len(first), len(second)] == [2, 1]
    assert not {row.id for row in first} & {row.id for row in second}
    await store.drop_outbox([row.id for row in first])
    assert await store.take_outbox(9, lease=30) == []
    store_clock.advance(31)
    assert await store.take_outbox(9, lease=30) == second


async def test_whoever_waits_for_promised_messages_is_woken_by_the_promise(store: Store) -> None:
    async with asyncio.timeout(10):
        waiting = asyncio.create_task(store.wait_for_outbox(60))
        await store.accept(new_job())
        await waiting
        await store.accept(new_job())
        await store.wait_for_outbox(60)  # promised before the wait, and not lost
        await store.wait_for_outbox(0.01)


async def test_a_deleted_job_leaves_only_a_tombstone(store: Store, store_clock: Clock) -> None:
    job = await store.accept(new_job(idempotency_key="k", fingerprint="f"))
    _, held = await claim(store, job)
    await store.change("default", job.id, lifecycle.delete)
    for look in (
        store.job("default", job.id),
        store.events("default", job.id),
        store.change("default", job.id, partial(lifecycle.finish_leg, claim=held)),
        claim(store, job),
    ):
        with pytest.raises(JobDeleted):
            await look
    assert await store.take_outbox(9, lease=30) == []
    assert await store.tombstones(10, age=60) == []
    store_clock.advance(61)
    [tombstone] = await store.tombstones(10, age=60)
    assert (tombstone.tenant, tombstone.job) == ("default", job.id)
    await store.sweep_tombstone(tombstone)
    assert await store.tombstones(10, age=60) == []
    assert (await store.accept(new_job(idempotency_key="k", fingerprint="g"))).state is State.QUEUED


async def test_the_census_counts_what_the_queue_should_hold_and_names_what_nobody_has(
    store: Store, store_clock: Clock
) -> None:
    waiting, working, ended, promised = [await store.accept(new_job()) for _ in range(4)]
    rows = await store.take_outbox(9, lease=30)
    await store.drop_outbox([row.id for row in rows if row.message.job != promised.id])
    await claim(store, working, lease=1000)
    await store.change("default", ended.id, lifecycle.cancel)
    [early] = await store.census(grace=5)
    assert (early.pool, early.expected, early.overdue) == ("default", 2, ())
    store_clock.advance(6)
    [late] = await store.census(grace=5)
    assert late.overdue == (("default", waiting.id),)


async def test_a_lost_message_is_sent_again_at_most_hourly(store: Store, store_clock: Clock) -> None:
    job = await store.accept(new_job())
    await store.drop_outbox([row.id for row in await store.take_outbox(9, lease=30)])
    store_clock.advance(60)
    assert await store.resend("default", job.id)
    [row] = await store.take_outbox(9, lease=30)
    assert row.message == Message.of(job)
    await store.drop_outbox([row.id])
    store_clock.advance(3500)
    assert not await store.resend("default", job.id)
    assert [census.overdue for census in await store.census(grace=5)] == [()]
    store_clock.advance(200)
    assert await store.resend("default", job.id)


async def test_jobs_whose_time_is_over_are_found_until_they_are_expired(store: Store, store_clock: Clock) -> None:
    job = await store.accept(new_job(expires_at=store_clock.now + 60))
    await store.accept(new_job())
    assert await store.expired(10) == []
    store_clock.advance(60)
    assert await store.expired(10) == [("default", job.id)]
    expired = await store.change("default", job.id, lifecycle.expire)
    assert (expired.state, expired.failure) == (State.EXPIRED, lifecycle.EXPIRED)
    assert await store.expired(10) == []


async def test_refusals_of_the_life_cycle_pass_through(store: Store) -> None:
    job = await store.accept(new_job())
    _, held = await claim(store, job)
    await store.change("default", job.id, partial(lifecycle.finish_leg, claim=held))
    with pytest.raises(JobTerminal, match="already succeeded"):
        await store.change("default", job.id, lifecycle.cancel)
    with pytest.raises(StaleMessage):
        await claim(store, job)
    with pytest.raises(JobNotFound):
        await store.change("default", new_id(), lifecycle.cancel)
