"""How several SQS queues are read at once: who gets what a poll catches, and how few calls it takes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from random import Random

import pytest
from aiohttp import web
from libs.core.tests.sqs import POLL, SOON, new_url
from tests.aws_clock import AwsClock
from tests.aws_faults import Answer, Ask, Faults, faulty
from tests.contract.conftest import LONG, jobs, message, messages

from antiphon.errors import Unavailable
from antiphon.jobs import Priority
from antiphon.queue import sqs_polls
from antiphon.queue.sqs import SqsQueue

IDLE = 0.3
"""Seconds in which a receive has begun to wait."""


@pytest.fixture
def clock(clocked_aws_server: str, aws_credentials: None) -> AwsClock:
    return AwsClock(clocked_aws_server)


@pytest.fixture
async def faults(clock: AwsClock) -> AsyncIterator[Faults]:
    async with faulty(clock.endpoint) as faults:
        yield faults


@pytest.fixture
def url(faults: Faults) -> str:
    return new_url(faults.endpoint)


def connect(url: str, clock: AwsClock, poll: float = POLL) -> SqsQueue:
    return SqsQueue(url, clock=clock, random=Random(7), poll=poll)


@pytest.fixture
async def queue(url: str, clock: AwsClock) -> AsyncIterator[SqsQueue]:
    async with connect(url, clock) as queue:
        await queue.prepare()
        yield queue


@pytest.fixture
async def other(url: str, clock: AwsClock) -> AsyncIterator[SqsQueue]:
    async with connect(url, clock) as other:
        yield other


async def given_up(queue: SqsQueue, faults: Faults, **wanted: float) -> None:
    """A receive that has gone, with its polls under way."""
    before = faults.seen.count("ReceiveMessage")
    waiting = asyncio.create_task(queue.receive(10, **{"wait": LONG, "lease": LONG, **wanted}))  # type: ignore[arg-type]
    await asyncio.wait_for(faults.arrivals("ReceiveMessage", before + 6), SOON)  # three that do not wait, three polls
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize(("count", "wait"), [(1000, 10.0), (200, 0.0)])
async def test_jobs_in_tens_take_few_calls(count: int, wait: float, queue: SqsQueue) -> None:
    """A tenth of a send, a receive and an ack each; the rest looks for work of other priorities."""
    acked = 0
    queue.calls.clear()
    for turn in range(0, count, 50):  # the emulator's time for a call grows with what waits
        sent = messages(50, round=turn + 1)
        for start in range(0, 50, 10):
            await queue.send(sent[start : start + 10])
        while acked < turn + 50:
            acked += sum(await queue.ack(await queue.receive(10, wait=wait, lease=LONG)))
    assert queue.calls.total() / acked <= 0.35


async def test_an_idle_receiver_asks_each_queue_once_and_then_polls(queue: SqsQueue) -> None:
    queue.calls.clear()
    started = time.monotonic()
    assert await queue.receive(1, wait=2.5 * POLL, lease=LONG) == []
    polls = 3 * ((time.monotonic() - started) / POLL + 1)
    assert 3 + 6 <= queue.calls["ReceiveMessage"] <= 3 + polls
    assert queue.calls.total() == queue.calls["ReceiveMessage"]


async def test_a_receive_goes_on_with_the_polls_of_the_one_before(url: str, clock: AwsClock, faults: Faults) -> None:
    async with connect(url, clock, poll=20) as queue, connect(url, clock) as sender:
        await queue.prepare()
        await given_up(queue, faults)
        queue.calls.clear()
        assert await queue.receive(1, wait=IDLE, lease=LONG) == []
        waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
        await sender.send([message(priority.word, priority=priority) for priority in Priority])
        assert len(await asyncio.wait_for(waiting, SOON)) == 1
        assert queue.calls["ReceiveMessage"] == 0


async def test_what_a_poll_catches_for_a_receive_that_is_gone_is_for_the_next_one(
    queue: SqsQueue, other: SqsQueue, faults: Faults
) -> None:
    await given_up(queue, faults)
    await other.send([message()])
    assert jobs(await queue.receive(10, wait=LONG, lease=LONG)) == ["job"]


async def test_what_nobody_comes_for_is_given_back_long_before_its_lease_ends(
    queue: SqsQueue, other: SqsQueue, faults: Faults
) -> None:
    await given_up(queue, faults, lease=3600)
    await other.send([message()])
    [received] = await asyncio.wait_for(other.receive(1, wait=LONG, lease=LONG), SOON)
    assert received.deliveries == 2, "the poll had it first"


class HeldBack:
    """Long polls whose answers arrive when the test says so."""

    def __init__(self, faults: Faults) -> None:
        self.go = asyncio.Event()
        self._catches: asyncio.Queue[None] = asyncio.Queue()
        faults.do("ReceiveMessage", self._hold)

    async def catches(self, count: int) -> None:
        for _ in range(count):
            await asyncio.wait_for(self._catches.get(), SOON)

    async def _hold(self, request: web.Request, ask: Ask) -> Answer:
        answer = await ask()
        if json.loads(await request.read())["WaitTimeSeconds"]:
            if b"ReceiptHandle" in answer.body:
                self._catches.put_nowait(None)
            await self.go.wait()
        return answer


async def test_closing_waits_for_the_polls_and_until_their_catch_is_given_back(
    url: str, clock: AwsClock, other: SqsQueue, faults: Faults
) -> None:
    queue = connect(url, clock)
    async with queue:
        await queue.prepare()
        await given_up(queue, faults, lease=3600)
        await other.send([message()])
        go = asyncio.Event()
        faults.hang("ChangeMessageVisibilityBatch", go)
        closing = asyncio.create_task(queue.close())
        await asyncio.wait_for(faults.arrivals("ChangeMessageVisibilityBatch", 1), SOON)
        await asyncio.sleep(IDLE)
        assert not closing.done()
        go.set()
        await asyncio.wait_for(closing, SOON)
    assert jobs(await other.receive(1, wait=0, lease=LONG)) == ["job"]


async def test_closing_gives_back_what_still_waited_for_a_receive(
    url: str, clock: AwsClock, other: SqsQueue, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs_polls, "KEPT_FOR", LONG)
    async with connect(url, clock) as queue:
        await queue.prepare()
        polls = HeldBack(faults)
        await given_up(queue, faults, lease=3600)
        await other.send([message()])
        await polls.catches(1)
        polls.go.set()
        await asyncio.sleep(IDLE)  # the answer arrives before the queue is closed; after it is as good
    assert jobs(await other.receive(1, wait=0, lease=LONG)) == ["job"]


async def test_a_catch_is_no_use_to_a_receive_that_wants_a_longer_lease(
    queue: SqsQueue, other: SqsQueue, clock: AwsClock, faults: Faults
) -> None:
    polls = HeldBack(faults)
    await given_up(queue, faults, lease=30)
    await other.send([message()])
    await polls.catches(1)
    receiving = asyncio.create_task(queue.receive(1, wait=LONG, lease=3600))
    polls.go.set()
    [received] = await asyncio.wait_for(receiving, SOON)
    assert received.deliveries == 2
    clock.advance(60)
    assert await other.receive(1, wait=0, lease=LONG) == []
    assert await queue.ack([received]) == [True]


async def test_no_more_than_the_limit_is_received_whatever_the_polls_catch(
    queue: SqsQueue, other: SqsQueue, faults: Faults
) -> None:
    polls = HeldBack(faults)
    await given_up(queue, faults, lease=3600)
    await other.send([message(f"{priority.word}-{n}", priority=priority) for priority in Priority for n in range(3)])
    await polls.catches(3)
    receiving = asyncio.create_task(queue.receive(2, wait=LONG, lease=3600))
    polls.go.set()
    got = jobs(await asyncio.wait_for(receiving, SOON))
    assert len(got) == 2
    async with asyncio.timeout(SOON):
        while len(got) < 9:
            got += jobs(await other.receive(10, wait=LONG, lease=LONG))
    assert sorted(got) == sorted(f"{priority.word}-{n}" for priority in Priority for n in range(3))


async def test_what_is_beyond_the_limit_of_a_group_does_not_overtake(faults: Faults, clock: AwsClock) -> None:
    url = new_url(faults.endpoint, fifo="true")
    async with connect(url, clock) as queue, connect(url, clock) as other:
        await queue.prepare()
        polls = HeldBack(faults)
        await given_up(queue, faults)
        await other.send(messages(3, tenant="one"))
        await polls.catches(1)
        receiving = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
        polls.go.set()
        first = await asyncio.wait_for(receiving, SOON)
        assert jobs(first) == ["job-0"]
        assert await queue.receive(10, wait=0, lease=LONG) == []
        await queue.ack(first)
        assert jobs(await queue.receive(10, wait=LONG, lease=LONG)) == ["job-1", "job-2"]


async def test_a_priority_that_was_empty_is_looked_at_again_while_others_have_work(
    queue: SqsQueue, other: SqsQueue
) -> None:
    await queue.send(messages(3))
    first = await queue.receive(1, wait=LONG, lease=LONG)
    await queue.release(first)
    await other.send([message("urgent", priority=Priority.HIGH)])
    async with asyncio.timeout(SOON):
        while jobs(received := await queue.receive(1, wait=LONG, lease=LONG)) != ["urgent"]:
            await queue.release(received)


async def test_leases_and_waits_are_whole_seconds_rounded_up(queue: SqsQueue, faults: Faults) -> None:
    asked = []

    async def note(request: web.Request, ask: Ask) -> Answer:
        asked.append(json.loads(await request.read()))
        return await ask()

    faults.do("ReceiveMessage", note)
    await queue.receive(25, wait=0.4, lease=2.1, priorities=[Priority.LOW])
    assert {each["VisibilityTimeout"] for each in asked} == {3}
    assert [each["WaitTimeSeconds"] for each in asked] == [0, 1]
    assert {each["MaxNumberOfMessages"] for each in asked} == {10}


async def test_a_poll_that_fails_ends_the_receive_and_the_others_go_on(
    url: str, clock: AwsClock, faults: Faults, other: SqsQueue
) -> None:
    failed: list[web.Request] = []

    async def fail_one(request: web.Request, ask: Ask) -> Answer:
        if json.loads(await request.read())["WaitTimeSeconds"] and not failed:
            failed.append(request)
            return Answer(500, {}, b"{}", 2)
        return await ask()

    async with SqsQueue(url, clock=clock, random=Random(7), attempts=1) as queue:
        await queue.prepare()
        faults.do("ReceiveMessage", fail_one)
        with pytest.raises(Unavailable, match="ReceiveMessage"):
            await queue.receive(1, wait=LONG, lease=LONG)
        before = faults.seen.count("ReceiveMessage")
        waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
        await asyncio.wait_for(faults.arrivals("ReceiveMessage", before + 1), SOON)  # where it failed
        await other.send([message(priority.word, priority=priority) for priority in Priority])
        assert len(await asyncio.wait_for(waiting, SOON)) == 1
        assert faults.seen.count("ReceiveMessage") == before + 1


async def test_several_receivers_of_one_connection_poll_side_by_side(
    url: str, clock: AwsClock, other: SqsQueue, faults: Faults
) -> None:
    async with connect(url, clock, poll=20) as queue:
        await queue.prepare()
        waiting = []
        for polls in (6, 9):  # the second need not ask where the first has found nothing
            waiting.append(asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG)))
            await asyncio.wait_for(faults.arrivals("ReceiveMessage", polls), 10)  # the polls last for 20
        await other.send([message(f"{each.word}-{n}", priority=each) for each in Priority for n in range(2)])
        assert [len(await asyncio.wait_for(each, SOON)) for each in waiting] == [1, 1]
