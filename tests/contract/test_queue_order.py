"""What Capability.ORDER promises: the messages of a tenant, in one pool and priority, one after the other."""

from pathlib import Path

import pytest
from tests.contract.conftest import LONG, QUEUES, Clock, QueueBackend, jobs, message, messages

from antiphon.queue import Capability, Queue

ORDERED = ["sqs fifo"]


@pytest.fixture(params=ORDERED)
def queues(request: pytest.FixtureRequest, tmp_path: Path) -> QueueBackend:
    return QUEUES[request.param](request, tmp_path)


@pytest.mark.parametrize("name", QUEUES)
def test_every_adapter_that_promises_order_is_asked_for_it(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    queue = QUEUES[name](request, tmp_path).connect()
    assert (name in ORDERED) == (Capability.ORDER in queue.capabilities)


async def receive(queue: Queue, limit: int = 10) -> list[str]:
    return jobs(await queue.receive(limit, wait=0, lease=LONG))


async def test_what_comes_together_comes_in_order(queue: Queue) -> None:
    sent = messages(5, tenant="one")
    for each in sent:
        await queue.send([each])
    assert await receive(queue) == [each.job for each in sent]


async def test_what_was_sent_together_comes_in_order(queue: Queue) -> None:
    sent = messages(25, tenant="one")
    await queue.send(sent)
    received: list[str] = []
    while batch := await queue.receive(7, wait=0, lease=LONG):
        received += jobs(batch)
        await queue.ack(batch)
    assert received == [each.job for each in sent]


async def test_a_leased_message_holds_back_the_later_ones_of_its_tenant_alone(queue: Queue, other_queue: Queue) -> None:
    await queue.send([message("first", tenant="one"), message("second", tenant="one"), message("else", tenant="two")])
    [first] = await queue.receive(1, wait=0, lease=LONG)
    assert first.message.job == "first"
    assert await receive(other_queue) == ["else"]
    assert await receive(queue) == []
    await queue.ack([first])
    assert await receive(other_queue) == ["second"]


async def test_a_released_message_comes_again_before_the_later_ones(queue: Queue) -> None:
    await queue.send(messages(3, tenant="one"))
    await queue.release(await queue.receive(1, wait=0, lease=LONG))
    assert await receive(queue) == ["job-0", "job-1", "job-2"]


async def test_a_message_whose_lease_ended_comes_again_before_the_later_ones(
    queue: Queue, clock: Clock, lease: float
) -> None:
    await queue.send(messages(3, tenant="one"))
    await queue.receive(1, wait=0, lease=lease)
    await clock.advance(lease * 1.5)
    assert await receive(queue) == ["job-0", "job-1", "job-2"]


@pytest.mark.parametrize("how", ["send", "release"])
async def test_a_delayed_message_holds_back_the_later_ones(how: str, queue: Queue, clock: Clock, lease: float) -> None:
    await queue.send([message("first", tenant="one")], delay=lease if how == "send" else 0)
    if how == "release":
        await queue.release(await queue.receive(1, wait=0, lease=LONG), delay=lease)
    await queue.send([message("second", tenant="one"), message("else", tenant="two")])
    [other] = await queue.receive(10, wait=0, lease=LONG)
    assert other.message.job == "else"
    await queue.ack([other])
    await clock.advance(lease * 1.5)
    assert await receive(queue) == ["first", "second"]


async def test_a_message_that_is_given_up_holds_nobody_back(queue: Queue) -> None:
    await queue.send(messages(2, tenant="one"))
    [first] = await queue.receive(1, wait=0, lease=LONG)
    await queue.dead_letter(first, "failed")
    assert await receive(queue) == ["job-1"]


async def test_no_more_than_the_limit_is_leased_of_a_tenant(queue: Queue, other_queue: Queue) -> None:
    await queue.send(messages(3, tenant="one"))
    [first] = await queue.receive(1, wait=LONG, lease=LONG)
    await queue.ack([first])
    assert await receive(other_queue) == ["job-1", "job-2"]
