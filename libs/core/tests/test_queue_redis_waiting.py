"""How receivers wait on Redis: one is woken for what comes, in time, and none is lost with one that leaves.

Here a receiver would look by itself only after a time that no test spends, so whatever comes is told by a bell.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from random import Random
from uuid import uuid4

import pytest
from tests.proxy import proxy

from antiphon import redis_client
from antiphon.errors import Unavailable
from antiphon.jobs import Priority
from antiphon.messages import Message
from antiphon.queue import Received, redis
from antiphon.queue.redis import RedisQueue

LONG = 60.0
SOON = 0.3
"""Seconds of delays and leases that a test sees the end of."""
HIGH, NORMAL, LOW = Priority


@pytest.fixture
def _never_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "LOOK", LONG)
    monkeypatch.setattr(redis_client, "ANSWER_SECONDS", 2 * LONG)


@pytest.fixture
def url(redis_server: str) -> str:
    return f"{redis_server}?prefix={uuid4().hex}"


@pytest.fixture
async def queue(url: str) -> AsyncIterator[RedisQueue]:
    async with RedisQueue(url) as queue:
        yield queue


@pytest.fixture
async def receivers(url: str) -> AsyncIterator[list[RedisQueue]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(RedisQueue(url)) for _ in range(3)]


def message(job: str, priority: Priority = Priority.NORMAL) -> Message:
    return Message(job, 1, 0, priority=priority)


def jobs(received: Sequence[Received]) -> list[str]:
    return [each.message.job for each in received]


async def waiting(
    receiver: RedisQueue, *priorities: Priority, limit: int = 1, lease: float = LONG
) -> asyncio.Task[list[Received]]:
    """A receive that waits by now. Those that wait are told in the order in which they began."""
    wanted = priorities or tuple(Priority)
    async with receiver._server.nodes()[0] as server, asyncio.timeout(LONG / 2):
        before = (await server.info("clients"))["blocked_clients"]
        task = asyncio.create_task(receiver.receive(limit, wait=LONG, lease=lease, priorities=wanted))
        while (await server.info("clients"))["blocked_clients"] == before:
            pass
    return task


async def ended(*tasks: asyncio.Task[list[Received]]) -> list[str]:
    return jobs([each for batch in await asyncio.wait_for(asyncio.gather(*tasks), LONG / 2) for each in batch])


pytestmark = pytest.mark.usefixtures("_never_look")


async def test_a_waiting_receiver_is_told_of_a_message(queue: RedisQueue, receivers: list[RedisQueue]) -> None:
    receiving = await waiting(receivers[0])
    await queue.send([message("a")])
    assert await ended(receiving) == ["a"]


async def test_a_waiting_receiver_is_told_of_a_delay_in_time(queue: RedisQueue, receivers: list[RedisQueue]) -> None:
    receiving = await waiting(receivers[0])
    await queue.send([message("a")], delay=SOON)
    assert await ended(receiving) == ["a"]


async def test_a_waiting_receiver_is_told_of_a_release(queue: RedisQueue, receivers: list[RedisQueue]) -> None:
    await queue.send([message("a")])
    received = await queue.receive(1, wait=0, lease=LONG)
    receiving = await waiting(receivers[0])
    await queue.release(received, delay=SOON)
    assert await ended(receiving) == ["a"]


async def test_a_waiting_receiver_is_told_of_a_redrive(queue: RedisQueue, receivers: list[RedisQueue]) -> None:
    await queue.send([message("a")])
    [received] = await queue.receive(1, wait=0, lease=LONG)
    await queue.dead_letter(received, "failed")
    receiving = await waiting(receivers[0])
    [dead] = await queue.dead(1)
    await queue.redrive([dead.id])
    assert await ended(receiving) == ["a"]


async def test_a_receiver_begins_to_wait_with_the_end_of_a_lease_in_mind(
    queue: RedisQueue, receivers: list[RedisQueue]
) -> None:
    await queue.send([message("a")])
    await queue.receive(1, wait=0, lease=SOON)
    receiving = await waiting(receivers[0])
    assert await ended(receiving) == ["a"]


async def test_a_receiver_that_waits_already_is_told_of_a_short_lease(
    queue: RedisQueue, receivers: list[RedisQueue]
) -> None:
    await queue.send([message("a", LOW)])
    first = await waiting(receivers[0], HIGH)
    await queue.receive(1, wait=0, lease=SOON)
    second = await waiting(receivers[1])
    assert await ended(second) == ["a"]
    first.cancel()


async def test_a_receiver_that_waits_already_is_told_of_a_lease_that_another_one_took(
    queue: RedisQueue, receivers: list[RedisQueue]
) -> None:
    short = await waiting(receivers[0], lease=SOON)
    waits = await waiting(receivers[1])
    await queue.send([message("a")])
    assert await ended(short) == ["a"]
    assert await ended(waits) == ["a"]


async def test_a_receiver_that_waits_already_is_told_of_a_lease_made_short(
    queue: RedisQueue, receivers: list[RedisQueue]
) -> None:
    await queue.send([message("a")])
    received = await queue.receive(1, wait=0, lease=3 * LONG)
    receiving = await waiting(receivers[0])
    await queue.extend(received, SOON)
    assert await ended(receiving) == ["a"]


async def test_a_batch_wakes_as_many_receivers_as_it_has_work_for(
    queue: RedisQueue, receivers: list[RedisQueue]
) -> None:
    receiving = [await waiting(receiver) for receiver in receivers]
    await queue.send([message("a"), message("b"), message("c")])
    assert sorted(await ended(*receiving)) == ["a", "b", "c"]


async def test_who_leaves_with_one_priority_tells_of_the_others(queue: RedisQueue, receivers: list[RedisQueue]) -> None:
    receiving = [await waiting(receiver) for receiver in receivers]
    await queue.send([message(priority.word, priority) for priority in Priority])
    assert sorted(await ended(*receiving)) == ["high", "low", "normal"]


async def test_who_leaves_tells_of_a_delay_that_it_alone_knew_of(
    queue: RedisQueue, receivers: list[RedisQueue]
) -> None:
    leaves = await waiting(receivers[0], HIGH, NORMAL)
    stays = await waiting(receivers[1], NORMAL)
    await queue.send([message("later")], delay=SOON)  # the one that waits longest is told
    await queue.send([message("now", HIGH)])
    assert await ended(leaves) == ["now"]
    assert await ended(stays) == ["later"]


async def test_a_bell_that_rang_for_what_is_gone_wakes_nobody_for_ever(
    queue: RedisQueue, receivers: list[RedisQueue]
) -> None:
    await queue.send([message("a")])
    await queue.receive(1, wait=0, lease=LONG)
    receiving = await waiting(receivers[0])
    await queue.send([message("b")])
    assert await ended(receiving) == ["b"]


async def test_delayed_messages_that_somebody_deleted_stop_nobody(queue: RedisQueue) -> None:
    await queue.send([message("a"), message("b"), message("c")], delay=0.001)
    async with queue._server.nodes()[0] as server:
        for job in ("a", "b"):
            await server.execute_command("HDEL", queue._keys_of("default")[0], message(job).key)  # type: ignore[no-untyped-call]
    assert jobs(await asyncio.wait_for(queue.receive(1, wait=LONG, lease=LONG), LONG / 2)) == ["c"]


async def test_a_receiver_that_did_not_wait_wakes_nobody(queue: RedisQueue) -> None:
    """Whoever put the messages there has rung already."""
    await queue.send([message("a"), message("b"), message("c")])
    async with queue._server.nodes()[0] as server:
        bell = queue._key("default", "normal", "bell")
        await queue.receive(1, wait=LONG, lease=LONG)
        assert await server.delete(bell) == 1, "it rings on for what is left"
        await queue.receive(1, wait=LONG, lease=LONG)
        assert not await server.exists(bell)


async def test_closing_ends_the_wait_at_once(receivers: list[RedisQueue]) -> None:
    receiving = await waiting(receivers[0])
    await receivers[0].close()
    assert await ended(receiving) == []


@pytest.mark.parametrize("seed", range(4))
async def test_closing_at_any_moment_hides_no_message(seed: int, url: str, queue: RedisQueue) -> None:
    random = Random(seed)
    for number in range(10):
        async with RedisQueue(url) as receiver:
            receiving = asyncio.create_task(receiver.receive(1, wait=LONG, lease=LONG))
            for _ in range(random.randrange(60)):
                await asyncio.sleep(0)
            sending = asyncio.create_task(queue.send([message(f"{number}")]))
            for _ in range(random.randrange(20)):
                await asyncio.sleep(0)
        await sending
        received = list[Received]()
        with suppress(Unavailable):  # closed before it began
            received = await asyncio.wait_for(receiving, LONG / 2)
        received = received or await queue.receive(1, wait=0, lease=LONG)
        assert jobs(received) == [f"{number}"]
        await queue.ack(received)


async def test_what_comes_while_a_queue_is_closed_is_given_back(url: str, queue: RedisQueue) -> None:
    async with proxy(url) as (wire, through), RedisQueue(through) as receiver:
        receiving = await waiting(receiver)
        wire.freeze()
        await queue.send([message("a")])
        closing = asyncio.create_task(receiver.close())
        await queue.ping()  # by now the server has handed the message over
        wire.mend()
        await closing
        assert await ended(receiving) == []
        [received] = await queue.receive(1, wait=0, lease=LONG)
        assert (received.message.job, received.deliveries) == ("a", 2)


async def test_a_script_that_fails_after_a_wait_says_so(queue: RedisQueue, receivers: list[RedisQueue]) -> None:
    receiving = await waiting(receivers[0])
    async with queue._server.nodes()[0] as server:
        await server.set(queue._key("default", "normal"), "somebody else's")
        await server.zadd(queue._key("default", "normal", "bell"), {"rung": 0})
    with pytest.raises(Unavailable, match="wrong kind of value"):
        await ended(receiving)


async def test_ending_a_wait_leaves_nothing_for_ever(receivers: list[RedisQueue]) -> None:
    receiving = await waiting(receivers[0])
    receiving.cancel()
    await receivers[0].close()
    async with receivers[1]._server.nodes()[0] as server:
        for key in await server.keys(f"{receivers[0]._server.prefix}:*:end:*"):
            assert await server.ttl(key) > 0


async def test_a_server_that_forgets_the_scripts_during_a_wait_is_told_them_again(
    queue: RedisQueue, receivers: list[RedisQueue]
) -> None:
    receiving = await waiting(receivers[0])
    async with queue._server.nodes()[0] as server:
        await server.script_flush()
    await queue.send([message("a")])
    assert await ended(receiving) == ["a"]


async def test_a_waiting_receiver_goes_on_past_rubbish(queue: RedisQueue, receivers: list[RedisQueue]) -> None:
    receiving = await waiting(receivers[0])
    async with queue._server.nodes()[0] as server:
        await server.xadd(queue._key("default", "normal"), {"body": "rubbish"})
    await queue.send([message("a")])
    assert await ended(receiving) == ["a"]


async def test_a_wait_that_is_cancelled_takes_no_message(queue: RedisQueue, receivers: list[RedisQueue]) -> None:
    for _ in range(5):
        receiving = await waiting(receivers[0])
        receiving.cancel()
    await queue.send([message("a")])
    assert jobs(await receivers[0].receive(1, wait=LONG, lease=LONG)) == ["a"]


async def test_what_was_leased_for_a_receive_that_was_cancelled_is_given_back(url: str, queue: RedisQueue) -> None:
    await queue.send([message("a"), message("b")])
    async with proxy(url) as (wire, through), RedisQueue(through) as receiver:
        wire.freeze()
        asked = wire.requests
        receiving = asyncio.create_task(receiver.receive(2, wait=LONG, lease=LONG))
        while wire.requests == asked:
            await queue.ping()
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        wire.mend()
        await receiver.close()
        received = await queue.receive(2, wait=0, lease=LONG)
        assert [(each.message.job, each.deliveries) for each in received] == [("a", 2), ("b", 2)]


async def test_an_idle_receiver_sends_two_commands_per_look(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "LOOK", 0.25)
    async with proxy(url) as (wire, through), RedisQueue(through) as receiver:
        await receiver.receive(1, wait=0, lease=LONG)
        before = wire.requests
        assert await receiver.receive(1, wait=1, lease=LONG) == []
        assert not receiver._ends
        assert 2 <= wire.requests - before <= 6, "one packet of two for each of at most four looks"


@pytest.mark.parametrize("seed", range(4))
async def test_cancelling_at_any_moment_hides_no_message(seed: int, url: str, queue: RedisQueue) -> None:
    random, sent, received = Random(seed), 0, list[Received]()
    async with RedisQueue(url) as receiver:
        for _ in range(40):
            receiving = [asyncio.create_task(receiver.receive(2, wait=LONG, lease=LONG)) for _ in range(2)]
            if random.random() < 0.5:
                await queue.send([message(f"{sent}")])
                sent += 1
            for _ in range(random.randrange(40)):
                await asyncio.sleep(0)
            for each in receiving:
                each.cancel()
            outcomes = await asyncio.gather(*receiving, return_exceptions=True)
            received += [each for outcome in outcomes if isinstance(outcome, list) for each in outcome]
        assert all(await receiver.ack(received))
    received += await queue.receive(100, wait=0, lease=LONG)
    assert sorted(jobs(received)) == sorted(f"{number}" for number in range(sent))
