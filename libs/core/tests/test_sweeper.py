import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from libs.core.tests.conftest import Clock, accept

from antiphon import lifecycle
from antiphon.blobs.base import put_bytes
from antiphon.blobs.files import FileBlobs
from antiphon.errors import BlobNotFound, JobNotFound, RetentionOver, Unavailable
from antiphon.jobs import Job, Priority, State
from antiphon.messages import Message
from antiphon.ports import Ports
from antiphon.queue.base import Depth
from antiphon.queue.sqlite import SqliteQueue
from antiphon.relay import Relay
from antiphon.retry import RetryPolicy
from antiphon.store.base import Census, topic
from antiphon.sweeper import BATCH, ERASE_AGE, FORGET_AGE, Sweeper, lost


async def lose(ports: Ports, *jobs: Job) -> None:
    """The messages of these jobs are gone, as after their queue's file was deleted."""
    ids = {job.id for job in jobs}
    await Relay(ports.store, ports.queue).relay()
    received = await ports.queue.receive(100, wait=0, lease=30)
    await ports.queue.ack([item for item in received if item.message.job in ids])
    await ports.queue.release([item for item in received if item.message.job not in ids])


def sweeper(ports: Ports) -> Sweeper:
    return Sweeper(ports.store, ports.queue, ports.blobs, grace=5.0)


async def promised(ports: Ports) -> list[str]:
    return [row.message.job for row in await ports.store.take_outbox(100, lease=0.0)]


def test_messages_count_as_lost_when_two_looks_in_a_row_miss_some() -> None:
    census = Census("default", expected=3, overdue=())
    assert lost(census, alive=2, shortfall_before=True)
    assert not lost(census, alive=2, shortfall_before=False)
    assert not lost(census, alive=3, shortfall_before=True)


async def test_lost_messages_are_sent_again_at_the_second_look_and_only_once(ports: Ports, hand_clock: Clock) -> None:
    jobs = [await accept(ports) for _ in range(2)]
    await lose(ports, *jobs)
    hand_clock.advance(10)
    sweep = sweeper(ports).sweep
    await sweep()
    assert await promised(ports) == []
    await sweep()
    assert sorted(await promised(ports)) == sorted(job.id for job in jobs)
    await lose(ports, *jobs)
    for _ in range(3):
        hand_clock.advance(60)
        await sweep()
    assert await promised(ports) == []
    hand_clock.advance(3600)
    await sweep()
    assert len(await promised(ports)) == 2


async def test_a_queue_that_only_waits_for_workers_is_left_alone(ports: Ports, hand_clock: Clock) -> None:
    await accept(ports)
    await Relay(ports.store, ports.queue).relay()
    sweep = sweeper(ports).sweep
    for _ in range(4):
        hand_clock.advance(600)
        await sweep()
    assert await promised(ports) == []
    assert sum(depth.alive for depth in (await ports.queue.depth()).values()) == 1


async def test_a_lost_message_shows_although_another_job_is_being_worked_on(ports: Ports, hand_clock: Clock) -> None:
    gone, worked = await accept(ports), await accept(ports)
    await lose(ports, gone)
    decide = partial(lifecycle.claim, message=Message.of(worked), worker="w", lease=900.0, policy=RetryPolicy())
    await ports.store.change("default", worked.id, decide)
    await ports.queue.receive(1, wait=0, lease=900)
    hand_clock.advance(10)
    sweep = sweeper(ports).sweep
    await sweep()
    await sweep()
    assert await promised(ports) == [gone.id]


async def test_jobs_whose_time_is_over_are_ended(ports: Ports, hand_clock: Clock) -> None:
    job = await accept(ports, expires_at=hand_clock.now + 60)
    await sweeper(ports).sweep()
    assert (await ports.store.job("default", job.id)).state is State.QUEUED
    hand_clock.advance(61)
    await sweeper(ports).sweep()
    assert (await ports.store.job("default", job.id)).state is State.EXPIRED


async def test_blobs_that_a_worker_wrote_after_the_deletion_are_erased_in_the_end(
    ports: Ports, hand_clock: Clock
) -> None:
    job = await accept(ports)
    await ports.store.change("default", job.id, lifecycle.delete)
    late = await put_bytes(ports.blobs, f"{job.blob_prefix}/1/audio.json", b"{}")
    await sweeper(ports).sweep()
    assert await ports.blobs.size(late.key) == 2
    hand_clock.advance(ERASE_AGE)
    await sweeper(ports).sweep()
    with pytest.raises(BlobNotFound):
        await ports.blobs.size(late.key)


async def done(ports: Ports, **fields: object) -> Job:
    """A job that has ended, with its recording and an artifact among the blobs."""
    job = await accept(ports, **fields)
    for key in (job.source.key, f"{job.blob_prefix}/1/audio.json"):
        await put_bytes(ports.blobs, key, b"{}")
    return await ports.store.change("default", job.id, lifecycle.cancel)


def kept(directory: Path) -> set[str]:
    """The jobs that have blobs."""
    return {path.parent.name for path in (directory / "blobs").rglob("source")}


async def test_a_job_is_erased_with_its_blobs_when_its_time_is_over_and_not_before(
    ports: Ports, hand_clock: Clock, tmp_path: Path
) -> None:
    short, long, lives = await done(ports, retention=60.0), await done(ports, retention=600.0), await accept(ports)
    hand_clock.advance(59)
    await sweeper(ports).sweep()
    assert kept(tmp_path) == {short.id, long.id}
    hand_clock.advance(1)
    await sweeper(ports).sweep()
    assert kept(tmp_path) == {long.id}
    with pytest.raises(RetentionOver):
        await ports.store.job("default", short.id)
    assert await ports.store.job("default", long.id) == long
    assert await ports.store.job("default", lives.id) == lives


async def test_a_held_job_is_erased_once_its_hold_is_lifted(ports: Ports, hand_clock: Clock, tmp_path: Path) -> None:
    job = await done(ports, retention=60.0)
    await ports.store.change("default", job.id, lifecycle.hold)
    hand_clock.advance(10_000_000)
    await sweeper(ports).sweep()
    assert kept(tmp_path) == {job.id}
    await ports.store.change("default", job.id, lifecycle.lift)
    await sweeper(ports).sweep()
    assert kept(tmp_path) == set()


async def test_everything_that_is_due_is_erased_in_one_sweep(ports: Ports, hand_clock: Clock) -> None:
    for _ in range(BATCH + 1):
        job = await accept(ports, retention=60.0)
        await ports.store.change("default", job.id, lifecycle.cancel)
    hand_clock.advance(60)
    await sweeper(ports).sweep()
    assert await ports.store.jobs("default", limit=1) == []
    hand_clock.advance(ERASE_AGE)
    await sweeper(ports).sweep()
    assert await ports.store.tombstones(1, age=0) == []
    hand_clock.advance(FORGET_AGE - ERASE_AGE)
    await sweeper(ports).sweep()
    assert await ports.store.forget_tombstones(1, age=0) == 0


async def test_two_sweepers_at_once_erase_everything_once(ports: Ports, hand_clock: Clock, tmp_path: Path) -> None:
    for _ in range(5):
        await done(ports, retention=60.0)
    hand_clock.advance(60)
    await asyncio.gather(*(sweeper(ports).sweep() for _ in range(3)))
    assert kept(tmp_path) == set()
    assert len(await ports.store.tombstones(99, age=0)) == 5


class AwayBlobs(FileBlobs):
    """Blobs whose backend has gone away since it was opened."""

    async def delete_prefix(self, prefix: str) -> int:
        raise Unavailable(f"nothing can be erased below {prefix}")


async def test_blobs_that_could_not_be_erased_with_their_job_are_erased_later(
    ports: Ports, hand_clock: Clock, tmp_path: Path
) -> None:
    job = await done(ports, retention=60.0)
    hand_clock.advance(60)
    with pytest.raises(Unavailable):
        await Sweeper(ports.store, ports.queue, AwayBlobs(tmp_path / "blobs")).sweep()
    with pytest.raises(RetentionOver):
        await ports.store.job("default", job.id)
    assert kept(tmp_path) == {job.id}
    hand_clock.advance(ERASE_AGE)
    await sweeper(ports).sweep()
    assert kept(tmp_path) == set()


async def test_a_tombstone_stands_for_a_month(ports: Ports, hand_clock: Clock) -> None:
    job = await done(ports, retention=60.0)
    hand_clock.advance(60)
    await sweeper(ports).sweep()
    for advance in (ERASE_AGE, FORGET_AGE - ERASE_AGE - 1):
        hand_clock.advance(advance)
        await sweeper(ports).sweep()
    with pytest.raises(RetentionOver):
        await ports.store.job("default", job.id)
    hand_clock.advance(1)
    await sweeper(ports).sweep()
    with pytest.raises(JobNotFound):
        await ports.store.job("default", job.id)


class AwayQueue(SqliteQueue):
    """A queue that has gone away since it was opened."""

    async def depth(self, pool: str = "default") -> Mapping[Priority, Depth]:
        raise Unavailable(f"the queues of {pool} are away")


async def test_erasing_goes_on_while_the_queue_is_away(ports: Ports, hand_clock: Clock, tmp_path: Path) -> None:
    job = await done(ports, retention=60.0)
    await accept(ports)
    await Relay(ports.store, ports.queue).relay()  # only then the queue is asked what it has
    hand_clock.advance(60)
    running = Sweeper(ports.store, AwayQueue(tmp_path / "queue.db"), ports.blobs, interval=60)
    async with asyncio.timeout(20), ports.events.listen(topic(job.id)) as listener:
        task = asyncio.create_task(running.run())
        while not await gone(ports, job):
            await listener.wait(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def gone(ports: Ports, job: Job) -> bool:
    try:
        await ports.store.job("default", job.id)
    except RetentionOver:
        return True
    return False
