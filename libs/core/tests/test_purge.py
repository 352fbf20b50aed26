import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.core.tests.conftest import Clock, accept

from antiphon import lifecycle, purge
from antiphon.errors import StaleMessage, Unavailable
from antiphon.hooks import Hooks
from antiphon.ids import new_id
from antiphon.jobs import Claim, Failure, Job, Lease, Leg, Priority, Source, State
from antiphon.lifecycle import Change
from antiphon.messages import Message
from antiphon.ports import Ports
from antiphon.purge import Purged, cancel_waiting, wanted
from antiphon.relay import Relay
from antiphon.retry import RetryPolicy
from antiphon.store.engine import open_database
from antiphon.store.sql import SqlStore

PATIENCE = 30.0
JOB = Job(
    id=new_id(),
    tenant="default",
    state=State.QUEUED,
    priority=Priority.NORMAL,
    source=Source("default/x/source", "x.wav", 10, "0" * 64),
    options={},
    legs=(Leg("default", ("decode",)), Leg("default", ("render",))),
    created_at=0.0,
)


class Ended(Hooks):
    def __init__(self) -> None:
        self.jobs: list[str] = []

    def ended(self, job: Job) -> None:
        assert job.state is State.CANCELLED
        self.jobs.append(job.id)


class GoesAway(SqlStore):
    """Answers until it is asked for a single job."""

    async def job(self, tenant: str, job: str) -> Job:  # noqa: ARG002
        raise Unavailable("the store is away")


class Meanwhile(SqlStore):
    """Somebody does something between a look at those who wait and what the look is for."""

    then: Callable[[Job], Awaitable[object]]

    async def waiting(
        self, pool: str, *, limit: int, priority: Priority | None = None, after: Job | None = None
    ) -> list[Job]:
        found = await super().waiting(pool, limit=limit, priority=priority, after=after)
        for job in found:
            await self.then(job)
        return found


@asynccontextmanager
async def meanwhile(
    ports: Ports, directory: Path, clock: Clock, then: Callable[[Job], Awaitable[object]]
) -> AsyncIterator[Ports]:
    database = open_database(f"sqlite:///{directory / 'store.db'}")
    async with Meanwhile(database, ports.events, clock.of_store) as store:
        store.then = then
        yield replace(ports, store=store)


@pytest.fixture
def ended() -> Ended:
    return Ended()


async def queued(ports: Ports, **fields: object) -> Job:
    """A job whose message waits in the queue."""
    job = await accept(ports, **fields)
    await Relay(ports.store, ports.queue).relay()
    return job


async def claimed(ports: Ports, job: Job, lease: float = 30.0) -> Claim:
    decide = partial(lifecycle.claim, message=Message.of(job), worker="w", lease=lease, policy=RetryPolicy())
    claim = Claim.of(await ports.store.change(job.tenant, job.id, decide))
    assert claim is not None
    return claim


async def states(ports: Ports, *jobs: Job) -> list[str]:
    return [(await ports.store.job(job.tenant, job.id)).state.value for job in jobs]


async def left(ports: Ports) -> list[str]:
    """The jobs whose messages can be received."""
    return [received.message.job for received in await ports.queue.receive(100, wait=0, lease=30)]


async def depth(ports: Ports) -> int:
    return sum(depth.alive for depth in (await ports.queue.depth()).values())


async def test_what_waits_is_cancelled_and_its_messages_are_taken_out(ports: Ports, ended: Ended) -> None:
    jobs = [await queued(ports, priority=priority) for priority in (*Priority, Priority.LOW)]
    assert await purge.purge(ports, ended, "default", None, seconds=PATIENCE) == Purged(4, 4, complete=True)
    assert await states(ports, *jobs) == ["cancelled"] * 4
    assert sorted(ended.jobs) == sorted(job.id for job in jobs)
    assert await depth(ports) == 0
    assert await purge.purge(ports, ended, "default", None, seconds=PATIENCE) == Purged(0, 0, complete=True)


async def test_only_the_priority_that_was_asked_for_is_purged(ports: Ports, ended: Ended) -> None:
    low, normal = [await queued(ports, priority=priority) for priority in (Priority.LOW, Priority.NORMAL)]
    assert await purge.purge(ports, ended, "default", Priority.LOW, seconds=PATIENCE) == Purged(1, 1, complete=True)
    assert await states(ports, low, normal) == ["cancelled", "queued"]
    [kept] = await ports.queue.receive(100, wait=0, lease=30)
    assert (kept.message.job, kept.deliveries) == (normal.id, 1), "nobody has even looked at it"


async def test_another_pools_jobs_are_left_alone(ports: Ports, ended: Ended) -> None:
    other = await queued(ports, legs=(Leg("other", ("decode",)),))
    assert await purge.purge(ports, ended, "default", None, seconds=PATIENCE) == Purged(0, 0, complete=True)
    assert await states(ports, other) == ["queued"]
    assert len(await ports.queue.receive(9, wait=0, lease=30, pool="other")) == 1


async def test_what_runs_goes_on_with_its_message(ports: Ports, ended: Ended) -> None:
    running, waiting = await queued(ports), await queued(ports)
    await claimed(ports, running)  # but its message is in the queue, as after a lease that ended early
    assert await purge.purge(ports, ended, "default", None, seconds=PATIENCE) == Purged(1, 1, complete=True)
    assert await states(ports, running, waiting) == ["running", "cancelled"]
    assert await left(ports) == [running.id]
    assert ended.jobs == [waiting.id]


async def test_jobs_between_attempts_or_left_by_a_lost_worker_wait_too(
    ports: Ports, ended: Ended, hand_clock: Clock
) -> None:
    retried, lost = await queued(ports), await queued(ports)
    claim = await claimed(ports, retried)
    await ports.store.change("default", retried.id, partial(lifecycle.retry, claim=claim, after=60.0))
    await claimed(ports, lost, lease=30.0)
    hand_clock.advance(30.0)
    assert await purge.purge(ports, ended, "default", None, seconds=PATIENCE) == Purged(2, 2, complete=True)
    assert await states(ports, retried, lost) == ["cancelled", "cancelled"]


async def test_messages_of_deleted_and_unknown_jobs_go_and_so_do_stale_ones(ports: Ports, ended: Ended) -> None:
    deleted = await queued(ports)
    await ports.store.change("default", deleted.id, lifecycle.delete)
    running = await queued(ports)
    await claimed(ports, running)
    strangers = [Message(new_id(), 1, 0), Message(running.id, 1, 1), Message(running.id, 2, 0)]
    await ports.queue.send(strangers)
    assert await purge.purge(ports, ended, "default", None, seconds=PATIENCE) == Purged(0, 4, complete=True)
    assert await left(ports) == [running.id]


async def test_a_failed_jobs_message_that_is_yet_to_become_a_dead_letter_stays(ports: Ports, ended: Ended) -> None:
    failed = await queued(ports)
    claim = await claimed(ports, failed)
    await ports.store.change("default", failed.id, partial(lifecycle.fail, claim=claim, failure=Failure("x", "y")))
    assert await purge.purge(ports, ended, "default", None, seconds=PATIENCE) == Purged(0, 0, complete=True)
    assert await left(ports) == [failed.id]


async def test_whatever_is_accepted_while_a_purge_runs_is_cancelled_or_keeps_its_message(
    ports: Ports, ended: Ended
) -> None:
    jobs = [await queued(ports, priority=Priority.LOW) for _ in range(60)]
    purging = asyncio.create_task(purge.purge(ports, ended, "default", None, seconds=PATIENCE))
    while not purging.done():
        jobs.append(await queued(ports, priority=Priority.HIGH))
    assert (await purging).complete
    living = [job.id for job, state in zip(jobs, await states(ports, *jobs), strict=True) if state == "queued"]
    assert living
    assert await left(ports) == living
    assert len(ended.jobs) + len(living) == len(jobs)


@pytest.mark.parametrize(("waiting", "coming"), [(3, Priority.HIGH), (1, Priority.LOW)])
async def test_what_comes_while_a_purge_runs_does_not_prolong_it(
    ports: Ports,
    ended: Ended,
    hand_clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    waiting: int,
    coming: Priority,
) -> None:
    monkeypatch.setattr(purge, "BATCH", 2)
    jobs = [await queued(ports, priority=Priority.LOW) for _ in range(waiting)]
    came: list[Job] = []

    async def come(_: Job) -> None:
        came.append(await queued(ports, priority=coming))

    async with meanwhile(ports, tmp_path, hand_clock, come) as busy:
        purged = await purge.purge(busy, ended, "default", None, seconds=PATIENCE)
    assert purged == Purged(waiting, waiting, complete=True)
    assert await states(ports, *jobs) == ["cancelled"] * waiting
    assert await states(ports, *came) == ["queued"] * waiting
    assert sorted(await left(ports)) == sorted(job.id for job in came)


async def test_a_job_that_begins_just_then_goes_on(
    ports: Ports, ended: Ended, hand_clock: Clock, tmp_path: Path
) -> None:
    job = await queued(ports)
    async with meanwhile(ports, tmp_path, hand_clock, partial(claimed, ports)) as busy:
        assert await purge.purge(busy, ended, "default", None, seconds=PATIENCE) == Purged(0, 0, complete=True)
    assert await states(ports, job) == ["running"]
    assert ended.jobs == []


async def test_a_job_that_is_deleted_just_then_is_none_of_ours(
    ports: Ports, ended: Ended, hand_clock: Clock, tmp_path: Path
) -> None:
    await queued(ports)

    async def delete(job: Job) -> None:
        await ports.store.change(job.tenant, job.id, lifecycle.delete)

    async with meanwhile(ports, tmp_path, hand_clock, delete) as busy:
        assert await purge.purge(busy, ended, "default", None, seconds=PATIENCE) == Purged(0, 1, complete=True)
    assert ended.jobs == []


async def test_a_purge_without_time_says_that_it_is_not_complete(ports: Ports, ended: Ended) -> None:
    job = await queued(ports)
    assert await purge.purge(ports, ended, "default", None, seconds=0.0) == Purged(0, 0, complete=False)
    assert await states(ports, job) == ["queued"]


async def test_more_than_one_page_is_cancelled(ports: Ports, ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "BATCH", 2)
    monkeypatch.setattr(purge, "HELD", 2)  # which counts only what is kept
    jobs = [await queued(ports) for _ in range(5)]
    assert await purge.purge(ports, ended, "default", None, seconds=PATIENCE) == Purged(5, 5, complete=True)
    assert sorted(ended.jobs) == sorted(job.id for job in jobs)


async def test_living_messages_are_kept_from_the_workers_in_small_numbers_only(
    ports: Ports, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "HELD", 2)
    monkeypatch.setattr(purge, "BATCH", 1)
    for _ in range(3):
        await claimed(ports, await queued(ports))
    assert await purge.purge(ports, ended, "default", None, seconds=PATIENCE) == Purged(0, 0, complete=False)
    assert sorted(item.deliveries for item in await ports.queue.receive(9, wait=0, lease=30)) == [1, 2, 2]


async def test_messages_are_given_back_when_the_store_goes_away(ports: Ports, ended: Ended, tmp_path: Path) -> None:
    job = await queued(ports)
    await claimed(ports, job)
    database = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    async with GoesAway(database, ports.events) as store:
        with pytest.raises(Unavailable):
            await purge.purge(replace(ports, store=store), ended, "default", None, seconds=PATIENCE)
    assert await left(ports) == [job.id]


@given(
    st.sampled_from(State),
    st.sampled_from(["default", "other"]),
    st.none() | st.floats(min_value=0, max_value=200),
    st.integers(0, 1),
)
def test_only_what_waits_for_the_pool_is_cancelled(
    state: State, pool: str, leased_until: float | None, leg: int
) -> None:
    job = replace(
        JOB,
        state=state,
        legs=(Leg("default", ("decode",)), Leg(pool, ("render",))),
        leg=leg,
        lease=None if leased_until is None else Lease("w", leased_until),
    )
    change = cancel_waiting(job, 100.0, pool="default")
    waits = not state.terminal and job.pool == "default" and (leased_until is None or leased_until <= 100.0)
    assert change == (lifecycle.cancel(job, 100.0) if waits else Change(job))


@given(st.sampled_from(State), st.integers(1, 3), st.integers(0, 2), st.booleans())
def test_a_message_is_wanted_as_long_as_a_worker_would_not_call_it_stale(
    state: State, round_: int, leg: int, dead_letter: bool
) -> None:
    job = replace(JOB, state=state, round=2, leg=1, dead_letter=dead_letter and state is State.FAILED)
    message = Message(job.id, round_, leg)
    try:
        lifecycle.claim(job, 100.0, message=message, worker="w", lease=30, policy=RetryPolicy())
    except StaleMessage:
        assert not wanted(message, job)
    else:
        assert wanted(message, job)
