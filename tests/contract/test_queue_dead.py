"""What every queue promises about messages that were given up, or that nobody can read."""

import asyncio
import json
from typing import Any

import pytest
from tests.contract.conftest import LONG, QueueBackend, drain, jobs, message, messages

from antiphon.jobs import Priority
from antiphon.messages import MAX_BYTES
from antiphon.queue import Capability, Depth, Queue


async def bury(queue: Queue, *names: str, pool: str = "default") -> list[str]:
    """Dead letters for these jobs; their ids."""
    await queue.send([message(name, pool=pool) for name in names])
    for received in await drain(queue, pool=pool):
        await queue.dead_letter(received, "failed")
    dead = {json.loads(each.body)["job"]: each.id for each in await queue.dead(100, pool=pool)}
    return [dead[name] for name in names]


async def test_a_message_that_is_given_up_is_kept_with_its_reason(queue: Queue) -> None:
    sent = message()
    await queue.send([sent])
    [received] = await queue.receive(1, wait=LONG, lease=LONG)
    assert await queue.dead_letter(received, "three attempts failed")
    [dead] = await queue.dead(10)
    assert (dead.body, dead.reason) == (sent.encode(), "three attempts failed")
    assert await queue.receive(1, wait=0, lease=LONG) == []


async def test_dead_letters_are_listed_oldest_first(queue: Queue) -> None:
    for each in messages(4):
        await queue.send([each])
        [received] = await queue.receive(1, wait=LONG, lease=LONG)
        await queue.dead_letter(received, "failed")
    assert [json.loads(dead.body)["job"] for dead in await queue.dead(3)] == ["job-0", "job-1", "job-2"]


async def test_dead_letters_of_all_priorities_are_listed_together(queue: Queue) -> None:
    order = [Priority.LOW, Priority.HIGH, Priority.NORMAL]
    for priority in order:
        await queue.send([message(priority.word, priority=priority)])
        [received] = await queue.receive(1, wait=LONG, lease=LONG)
        await queue.dead_letter(received, "failed")
    assert [json.loads(dead.body)["job"] for dead in await queue.dead(2)] == ["low", "high"]


async def test_a_redriven_message_comes_again(queue: Queue) -> None:
    first, second = await bury(queue, "first", "second")
    assert await queue.redrive([first, "no such id"]) == 1
    [received] = await queue.receive(10, wait=LONG, lease=LONG)
    assert (received.message.job, received.deliveries) == ("first", 1)
    assert [dead.id for dead in await queue.dead(10)] == [second]
    assert await queue.redrive([first]) == 0


async def test_a_redrive_of_what_was_sent_again_meanwhile_is_one_message(queue: Queue) -> None:
    if Capability.DEDUPLICATION not in queue.capabilities:
        return
    [dead] = await bury(queue, "job")
    await queue.send([message("job")])
    assert await queue.redrive([dead]) == 1
    assert jobs(await drain(queue)) == ["job"]
    assert await queue.dead(10) == []


async def test_a_deleted_dead_letter_is_gone(queue: Queue) -> None:
    first, second = await bury(queue, "first", "second")
    assert await queue.delete_dead([first, "no such id"]) == 1
    assert [dead.id for dead in await queue.dead(10)] == [second]
    assert await queue.redrive([first]) == 0


async def test_dead_letters_of_another_pool_are_out_of_reach(queue: Queue) -> None:
    [dead] = await bury(queue, "job", pool="gpu")
    assert await queue.dead(10) == []
    assert await queue.redrive([dead]) == 0
    assert await queue.delete_dead([dead]) == 0
    assert await drain(queue, pool="gpu") == []
    assert await queue.redrive([dead], pool="gpu") == 1


def v1(**changes: Any) -> str:
    return json.dumps({**json.loads(message("odd").encode()), **changes})


UNREADABLE = {
    "another version": (v1(v=2), "version 2"),
    "no version": (v1(v=None), "not one of version 1"),
    "not JSON": ("{", "not JSON"),
    "empty": ("", "not JSON"),
    "two documents": (v1() + v1(), "not JSON"),
    "not an object": ("[1]", "object"),
    "a field is missing": ('{"v":1,"job":"odd"}', "round"),
    "a field of the wrong type": (v1(round="1"), "$.round"),
    "an unknown priority": (v1(priority="urgent"), "urgent"),
    "too large": (v1(traceparent="x" * MAX_BYTES), "too large"),
    "deeply nested": ("[" * 20000, "object"),
}


@pytest.mark.parametrize(("body", "reason"), UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_read_goes_to_the_dead_letters(
    body: str, reason: str, queue: Queue, queues: QueueBackend
) -> None:
    await queues.put(body)
    assert await queue.receive(10, wait=0, lease=LONG) == []
    [dead] = await queue.dead(10)
    assert dead.body == body
    assert reason in dead.reason
    assert len(dead.reason) < 2000
    assert abs(dead.died_at - queues.clock()) < LONG
    assert (await queue.depth())[Priority.NORMAL] == Depth(dead=1)


async def test_what_cannot_be_read_holds_nobody_up(queue: Queue, queues: QueueBackend) -> None:
    await queue.send([message("before")])
    await queues.put("broken")
    await queues.put(v1(v=99))
    await queue.send([message("after")])
    assert sorted(jobs(await drain(queue))) == ["after", "before"]
    assert len(await queue.dead(10)) == 2


async def test_a_receive_waits_on_when_all_it_got_was_unreadable(queue: Queue, queues: QueueBackend) -> None:
    await queues.put("broken")
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.sleep(0.02)  # into the wait; a send before it is as good
    await queue.send([message()])
    assert jobs(await waiting) == ["job"]
