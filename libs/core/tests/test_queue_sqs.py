"""What SQS is like beneath the port: how queues are made, its limits in time, dead letters, calls and polls."""

import asyncio
import json
from collections.abc import AsyncIterator
from random import Random

import pytest
from libs.core.tests.sqs import POLL, SOON, new_url, raw
from tests.aws_clock import AwsClock
from tests.contract.conftest import LONG, drain, jobs, message, messages

from antiphon.errors import Unavailable
from antiphon.jobs import Priority
from antiphon.queue import Depth, SendOutcome, sqs_dead
from antiphon.queue.sqs import SqsQueue
from antiphon.queue.sqs_queues import SqsSettings, dead, faults, is_dead

HOUR = 3600.0
DAY = 24 * HOUR
SENT = SendOutcome.SENT


@pytest.fixture
def clock(clocked_aws_server: str, aws_credentials: None) -> AwsClock:
    return AwsClock(clocked_aws_server)


@pytest.fixture(params=["standard", "fifo"])
def url(request: pytest.FixtureRequest, clock: AwsClock) -> str:
    return new_url(clock.endpoint, fifo=str(request.param == "fifo").lower())


@pytest.fixture
def standard(clock: AwsClock) -> str:
    return new_url(clock.endpoint)


@pytest.fixture
def fifo(clock: AwsClock) -> str:
    return new_url(clock.endpoint, fifo="true")


def connect(url: str, clock: AwsClock) -> SqsQueue:
    return SqsQueue(url, clock=clock, random=Random(7), poll=POLL)


@pytest.fixture
async def queue(url: str, clock: AwsClock) -> AsyncIterator[SqsQueue]:
    async with connect(url, clock) as queue:
        yield queue


async def names(url: str) -> set[str]:
    """The queues that are there."""
    async with raw(url) as (client, sqs):
        found = await client.list_queues(QueueNamePrefix=sqs.settings.prefix)
        return {each.rpartition("/")[2] for each in found.get("QueueUrls", [])}


# how queues are made


async def test_a_queue_and_its_dead_letters_are_made_on_first_use(url: str, queue: SqsQueue) -> None:
    assert await queue.depth() == dict.fromkeys(Priority, Depth())
    assert await names(url) == set(), "asking makes nothing"
    await queue.send([message(priority=Priority.LOW)])
    low = SqsSettings.of(url).name("default", Priority.LOW)
    assert await names(url) == {low, dead(low)}


async def test_preparing_makes_all_six_as_they_are_needed(url: str, queue: SqsQueue) -> None:
    await queue.prepare("gpu")
    expected = {queue for name in SqsSettings.of(url).names("gpu") for queue in (name, dead(name))}
    assert await names(url) == expected
    async with raw(url) as (_, sqs):
        for name in expected:
            arn = None if is_dead(name) else (await sqs.attributes(dead(name), "QueueArn") or {})["QueueArn"]
            assert faults(name, await sqs.attributes(name, "All") or {}, arn) == []


async def test_many_may_make_the_same_queues_at_once(url: str, clock: AwsClock) -> None:
    async with connect(url, clock) as one, connect(url, clock) as another:
        await asyncio.gather(one.prepare(), another.prepare(), one.send([message("a")]), another.send([message("b")]))
        assert sorted(jobs(await drain(one))) == ["a", "b"]


async def test_a_queue_is_looked_for_and_made_once_however_many_want_it(queue: SqsQueue) -> None:
    queue.calls.clear()
    await asyncio.gather(*(queue.send([message(f"job-{number}")]) for number in range(5)))
    assert queue.calls == {"GetQueueUrl": 2, "GetQueueAttributes": 1, "CreateQueue": 2, "SendMessageBatch": 5}


async def test_no_queue_is_made_where_that_is_forbidden(clock: AwsClock, standard: str) -> None:
    async with connect(f"{standard}&create=false", clock) as careful:
        for use in (careful.send([message()]), careful.prepare(), careful.receive(1, wait=0, lease=LONG)):
            with pytest.raises(Unavailable, match=r"no queue t\w+-default-\w+ on SQS.*create=false"):
                await use
        assert await careful.depth() == dict.fromkeys(Priority, Depth())
        assert await names(standard) == set()
        async with connect(standard, clock) as maker:
            await maker.prepare()
        assert await careful.send([message()]) == [SENT]


async def test_a_deleted_queue_is_made_again(url: str, queue: SqsQueue) -> None:
    await queue.send([message("lost"), message("held")])
    held = await queue.receive(1, wait=LONG, lease=LONG)

    async def delete_all() -> None:
        async with raw(url) as (client, sqs):
            for name in await names(url):
                await client.delete_queue(QueueUrl=await sqs.url(name))

    await delete_all()
    assert await queue.send([message("new")]) == [SENT]
    assert jobs(await queue.receive(10, wait=LONG, lease=LONG)) == ["new"]
    await delete_all()
    assert await queue.receive(10, wait=0, lease=LONG) == []
    await delete_all()
    assert await queue.extend(held, LONG) == [False]
    assert await queue.ack(held) == [False]
    await delete_all()
    assert await queue.depth() == dict.fromkeys(Priority, Depth())
    assert any("0 of 6 queues" in each.finding for each in await queue.examine())
    assert await names(url) == set()


# its limits in time


async def test_a_lease_is_extended_up_to_twelve_hours_and_then_lost(url: str, queue: SqsQueue, clock: AwsClock) -> None:
    await queue.send([message()])
    received = await queue.receive(1, wait=LONG, lease=6 * HOUR)
    for _ in range(2):
        clock.advance(5 * HOUR)
        assert await queue.extend(received, 6 * HOUR) == [True]
    clock.advance(1.9 * HOUR)
    async with connect(url, clock) as other:
        assert await other.receive(1, wait=0, lease=LONG) == []
        assert await queue.extend(received, 6 * HOUR) == [True]
        clock.advance(0.2 * HOUR)
        asked = queue.calls["ChangeMessageVisibilityBatch"]
        assert await queue.extend(received, 6 * HOUR) == [False]
        assert queue.calls["ChangeMessageVisibilityBatch"] == asked, "SQS would refuse"
        assert jobs(await other.receive(1, wait=0, lease=LONG)) == ["job"]


async def test_a_lease_longer_than_sqs_has_is_as_long_as_it_has(queue: SqsQueue, clock: AwsClock) -> None:
    await queue.send([message()])
    assert await queue.receive(1, wait=LONG, lease=3 * DAY)
    clock.advance(11.9 * HOUR)
    assert await queue.receive(1, wait=0, lease=LONG) == []
    clock.advance(0.2 * HOUR)
    assert jobs(await queue.receive(1, wait=0, lease=LONG)) == ["job"]


async def test_a_release_beyond_twelve_hours_sends_the_message_again(queue: SqsQueue, clock: AwsClock) -> None:
    await queue.send([message("far"), message("near")])
    received = await queue.receive(2, wait=LONG, lease=LONG)
    far = [each for each in received if each.message.job == "far"]
    near = [each for each in received if each.message.job == "near"]
    assert await queue.release([*near, *far], delay=13 * HOUR) == [True] * len(received)
    for _ in range(3):
        clock.advance(4.2 * HOUR)
        assert await queue.receive(10, wait=0, lease=LONG) == []
    assert sum(depth.alive for depth in (await queue.depth()).values()) == 2
    clock.advance(0.6 * HOUR)
    again = await drain(queue)
    assert sorted(jobs(again)) == ["far", "near"]
    assert await queue.ack(again) == [True, True]


async def test_a_late_release_is_not_cut_at_the_ceiling(queue: SqsQueue, clock: AwsClock) -> None:
    await queue.send([message()])
    received = await queue.receive(1, wait=LONG, lease=11 * HOUR)
    clock.advance(10 * HOUR)
    assert await queue.release(received, delay=4 * HOUR) == [True]
    clock.advance(3.9 * HOUR)
    assert await queue.receive(1, wait=0, lease=LONG) == []
    clock.advance(0.2 * HOUR)
    assert jobs(await queue.receive(1, wait=0, lease=LONG)) == ["job"]


@pytest.mark.parametrize(("delay", "step", "steps"), [(2 * HOUR, 0.28 * HOUR, 7), (30 * DAY, 5.9 * DAY, 5)])
async def test_a_long_delay_is_kept_however_often_somebody_looks(
    delay: float, step: float, steps: int, clock: AwsClock, standard: str
) -> None:
    async with connect(standard, clock) as queue:
        assert await queue.send([message()], delay=delay) == [SENT]
        for _ in range(steps):
            clock.advance(step)
            assert await queue.receive(1, wait=0, lease=LONG) == []
            assert (await queue.depth())[Priority.NORMAL].alive == 1
        clock.advance(delay - steps * step + 1)
        [received] = await queue.receive(1, wait=0, lease=LONG)
        assert await queue.ack([received]) == [True]
        assert (await queue.depth())[Priority.NORMAL] == Depth()


async def test_a_message_that_is_not_due_holds_back_no_other_of_its_tenant(clock: AwsClock, standard: str) -> None:
    async with connect(standard, clock) as queue:
        await queue.send([message("later", tenant="one")], delay=2 * HOUR)
        clock.advance(0.3 * HOUR)
        await queue.send([message("now", tenant="one")])
        queue.calls.clear()
        assert jobs(await queue.receive(10, wait=0, lease=LONG, priorities=[Priority.NORMAL])) == ["now"]
        assert queue.calls["ReceiveMessage"] == 1


async def test_a_delay_beyond_a_lease_is_kept_in_order_too(clock: AwsClock, fifo: str) -> None:
    async with connect(fifo, clock) as queue:
        assert await queue.send([message("first", tenant="one")], delay=30 * HOUR) == [SENT]
        await queue.send([message("second", tenant="one")])
        for _ in range(3):
            assert await queue.receive(10, wait=0, lease=LONG) == []
            clock.advance(9.9 * HOUR)
        clock.advance(0.4 * HOUR)
        [first] = await queue.receive(1, wait=0, lease=LONG)
        assert first.message.job == "first"
        assert first.deliveries == 3, "it was looked at once per 12 hours"
        assert await queue.receive(10, wait=0, lease=LONG) == []


async def test_a_fifo_queue_forgets_what_is_sent_twice_within_five_minutes(clock: AwsClock, fifo: str) -> None:
    async with connect(fifo, clock) as queue:
        await queue.send([message()])
        await queue.send([message()])
        assert (await queue.depth())[Priority.NORMAL].alive == 1
        clock.advance(301)
        await queue.send([message()])
        assert (await queue.depth())[Priority.NORMAL].alive == 2


# dead letters


async def test_looking_at_dead_letters_leaves_them_to_others(queue: SqsQueue, url: str, clock: AwsClock) -> None:
    """More of one tenant than SQS hands over of a group at once, and more than fit into one call."""
    for priority in Priority:
        await queue.send(messages(12, tenant="one", priority=priority, round=priority + 1))
    while received := await queue.receive(10, wait=0, lease=LONG):
        for each in received:
            assert await queue.dead_letter(each, "failed")
    seen = await queue.dead(100)
    assert len({each.id for each in seen}) == 36
    async with connect(url, clock) as other:
        assert {each.id for each in await other.dead(100)} == {each.id for each in seen}
        assert len(await other.dead(5)) == 5
        looks = other.calls["ChangeMessageVisibilityBatch"]
        assert await other.redrive([each.id for each in seen[:15]]) == 15
        assert other.calls["ChangeMessageVisibilityBatch"] <= looks + 6, "what is gone is not given back"
        queue.calls.clear()
        assert await queue.delete_dead([each.id for each in seen]) == 21
        assert queue.calls["ChangeMessageVisibilityBatch"] == 0
    assert sum(depth.alive for depth in (await queue.depth()).values()) == 15


async def test_what_sqs_gives_up_itself_is_a_dead_letter_too(url: str, queue: SqsQueue) -> None:
    await queue.send([message()])
    name = SqsSettings.of(url).name("default", Priority.NORMAL)
    async with raw(url) as (client, sqs):
        arn = (await sqs.attributes(dead(name), "QueueArn") or {})["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
        await client.set_queue_attributes(QueueUrl=await sqs.url(name), Attributes={"RedrivePolicy": policy})
    for _ in range(2):
        assert await queue.release(await queue.receive(1, wait=LONG, lease=LONG)) == [True]
    assert await queue.receive(1, wait=0, lease=LONG) == []
    [letter] = await queue.dead(10)
    assert (letter.body, letter.reason) == (message().encode(), "received 100 times, and never acked")
    assert await queue.redrive([letter.id]) == 1
    [again] = await queue.receive(1, wait=LONG, lease=LONG)
    assert again.message == message()


async def test_a_dead_letter_keeps_fields_that_we_do_not_know(url: str, queue: SqsQueue) -> None:
    body = message().encode()[:-1] + ',"later":1}'
    async with raw(url) as (client, sqs):
        name = sqs.settings.name("default", Priority.NORMAL)
        once = {"MessageDeduplicationId": "once"} if sqs.settings.fifo else {}
        await client.send_message(QueueUrl=await sqs.url(name), MessageBody=body, MessageGroupId="one", **once)  # type: ignore[arg-type]
    [received] = await queue.receive(1, wait=LONG, lease=LONG)
    await queue.dead_letter(received, "failed")
    [letter] = await queue.dead(10)
    assert letter.body == body


async def test_a_letter_that_somebody_else_looks_at_is_waited_for(queue: SqsQueue, url: str) -> None:
    await queue.send([message()])
    await queue.dead_letter((await queue.receive(1, wait=LONG, lease=LONG))[0], "failed")
    [letter] = await queue.dead(1)
    async with raw(url) as (client, sqs):
        there = await sqs.url(dead(sqs.settings.name("default", Priority.NORMAL)))
        held = (await client.receive_message(QueueUrl=there, VisibilityTimeout=60))["Messages"][0]["ReceiptHandle"]
        assert (await queue.depth())[Priority.NORMAL] == Depth(dead=1)
        deleting = asyncio.create_task(queue.delete_dead([letter.id]))
        await asyncio.sleep(0.1)  # into the look; looking after it is as good
        await client.change_message_visibility(QueueUrl=there, ReceiptHandle=held, VisibilityTimeout=0)
        assert await asyncio.wait_for(deleting, SOON) == 1
    assert await queue.dead(10) == []


async def test_a_look_at_dead_letters_ends_though_they_come_again(
    queue: SqsQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.send(messages(12))
    for received in await drain(queue):
        await queue.dead_letter(received, "failed")
    monkeypatch.setattr(sqs_dead, "HELD", 0)
    assert await asyncio.wait_for(queue.dead(100), SOON)


async def test_a_message_of_two_mebibytes_is_refused_alone_and_nobody_is_asked(queue: SqsQueue) -> None:
    large = message("large", traceparent="x" * 2 * 1024 * 1024)
    assert await queue.send([large]) == [SendOutcome.FAILED]
    assert queue.calls["SendMessageBatch"] == 0
    assert await queue.send([message("a"), large, message("b")]) == [SENT, SendOutcome.FAILED, SENT]


async def test_what_others_put_there_up_to_what_sqs_takes_becomes_a_dead_letter(url: str, queue: SqsQueue) -> None:
    bodies = ["x" * (1024 * 1024 - 3000 - number) for number in range(2)]
    async with raw(url) as (client, sqs):
        for number, body in enumerate(bodies):
            once = {"MessageDeduplicationId": f"{number}"} if sqs.settings.fifo else {}
            there = await sqs.url(sqs.settings.name("default", Priority.NORMAL))
            await client.send_message(QueueUrl=there, MessageBody=body, MessageGroupId="one", **once)  # type: ignore[arg-type]
    assert await queue.receive(10, wait=0, lease=LONG) == []
    letters = await queue.dead(10)
    assert sorted(len(letter.body) for letter in letters) == sorted(map(len, bodies))
    assert all("too large" in letter.reason for letter in letters)
    assert await queue.redrive([letter.id for letter in letters]) == 2
