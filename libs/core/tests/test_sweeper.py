from functools import partial

import pytest
from libs.core.tests.conftest import Clock, accept

from antiphon import lifecycle
from antiphon.blobs.base import put_bytes
from antiphon.errors import BlobNotFound
from antiphon.jobs import Job, State
from antiphon.messages import Message
from antiphon.ports import Ports
from antiphon.relay import Relay
from antiphon.retry import RetryPolicy
from antiphon.store.base import Census
from antiphon.sweeper import ERASE_AGE, Sweeper, lost


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
    late = await put_bytes(ports.blobs, f"default/{job.id}/1/audio.json", b"{}")
    await sweeper(ports).sweep()
    assert await ports.blobs.size(late.key) == 2
    hand_clock.advance(ERASE_AGE)
    await sweeper(ports).sweep()
    with pytest.raises(BlobNotFound):
        await ports.blobs.size(late.key)
