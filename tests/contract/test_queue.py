"""What every queue promises."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest
from tests.contract.conftest import LONG, Clock, QueueBackend, counted, drain, jobs, message, messages

from antiphon.errors import Unavailable
from antiphon.jobs import Priority
from antiphon.messages import MAX_BYTES, Message
from antiphon.queue import Capability, Depth, Queue, Received, SendOutcome, Waiting
from antiphon.resource import Verdict

SENT, DUPLICATE, FAILED = SendOutcome.SENT, SendOutcome.DUPLICATE, SendOutcome.FAILED


async def test_a_message_arrives_as_it_was_sent(queue: Queue) -> None:
    sent = Message(
        "0190", 3, 2, tenant="übung", pool="default", priority=Priority.LOW, traceparent="00-4bf92f3577b34da6-01"
    )
    assert await queue.send([sent]) == [SENT]
    [received] = await queue.receive(1, wait=LONG, lease=LONG)
    assert received.message == sent
    assert received.deliveries == 1


async def test_an_acked_message_never_comes_again(queue: Queue, clock: Clock, lease: float) -> None:
    await queue.send([message()])
    received = await queue.receive(1, wait=LONG, lease=lease)
    assert await queue.ack(received) == [True]
    await clock.advance(lease * 1.5)
    assert await queue.receive(1, wait=0, lease=lease) == []
    assert (await queue.depth())[Priority.NORMAL] == Depth()


async def test_a_leased_message_is_hidden_from_everybody(queue: Queue, other_queue: Queue) -> None:
    await queue.send([message()])
    assert await queue.receive(1, wait=LONG, lease=LONG)
    assert await queue.receive(1, wait=0, lease=LONG) == []
    assert await other_queue.receive(1, wait=0, lease=LONG) == []


async def test_a_lease_that_ends_makes_the_message_visible_again(queue: Queue, clock: Clock, lease: float) -> None:
    await queue.send([message()])
    [first] = await queue.receive(1, wait=LONG, lease=lease)
    await clock.advance(lease * 1.5)
    [again] = await queue.receive(1, wait=LONG, lease=lease)
    assert again.message == first.message
    assert again.receipt != first.receipt
    assert again.deliveries == 2


async def test_a_waiting_receive_gets_a_message_as_soon_as_its_lease_ends(
    queue: Queue, other_queue: Queue, clock: Clock, lease: float
) -> None:
    await queue.send([message()])
    await queue.receive(1, wait=LONG, lease=lease)
    waiting = asyncio.create_task(other_queue.receive(1, wait=LONG, lease=lease))
    await asyncio.sleep(0.02)  # into the wait
    await clock.advance(lease * 1.5)
    assert jobs(await asyncio.wait_for(waiting, timeout=LONG / 2)) == ["job"]


async def test_an_extended_lease_lasts_longer(queue: Queue, clock: Clock, lease: float) -> None:
    await queue.send([message()])
    received = await queue.receive(1, wait=LONG, lease=lease)
    assert await queue.extend(received, lease * 4) == [True]
    await clock.advance(lease * 1.5)
    assert await queue.receive(1, wait=0, lease=lease) == []
    assert await queue.ack(received) == [True]


async def test_an_extension_counts_from_now(queue: Queue, clock: Clock, lease: float) -> None:
    await queue.send([message()])
    received = await queue.receive(1, wait=LONG, lease=lease * 20)
    assert await queue.extend(received, lease) == [True]
    await clock.advance(lease * 1.5)
    assert jobs(await queue.receive(1, wait=LONG, lease=lease)) == ["job"]


async def test_a_released_message_comes_again_at_once(queue: Queue) -> None:
    await queue.send([message()])
    first = await queue.receive(1, wait=LONG, lease=LONG)
    assert await queue.release(first) == [True]
    [again] = await queue.receive(1, wait=LONG, lease=LONG)
    assert (again.message.job, again.deliveries) == ("job", 2)


async def test_a_released_message_comes_again_after_its_delay(queue: Queue, clock: Clock, lease: float) -> None:
    await queue.send([message()])
    await queue.release(await queue.receive(1, wait=LONG, lease=LONG), delay=lease)
    assert await queue.receive(1, wait=0, lease=LONG) == []
    await clock.advance(lease * 1.5)
    assert jobs(await queue.receive(1, wait=LONG, lease=LONG)) == ["job"]


async def test_a_delayed_message_is_seen_when_its_delay_is_over(queue: Queue, clock: Clock, lease: float) -> None:
    await queue.send([message()], delay=lease)
    assert await queue.receive(1, wait=0, lease=LONG) == []
    await clock.advance(lease * 1.5)
    assert jobs(await queue.receive(1, wait=LONG, lease=LONG)) == ["job"]


async def test_a_waiting_receive_gets_a_delayed_message_as_soon_as_it_is_due(
    queue: Queue, clock: Clock, lease: float
) -> None:
    await queue.send([message()], delay=lease)
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.sleep(0.02)  # into the wait
    await clock.advance(lease * 1.5)
    assert jobs(await asyncio.wait_for(waiting, timeout=LONG / 2)) == ["job"]


async def test_a_long_delay_needs_no_second_send(queue: Queue, clock: Clock) -> None:
    if Capability.LONG_DELAY not in queue.capabilities:
        assert await queue.send([message()], delay=60) == [SENT]
        return
    assert await queue.send([message()], delay=30 * 24 * 3600) == [SENT]
    await clock.advance(29 * 24 * 3600)
    assert await queue.receive(1, wait=0, lease=LONG) == []
    await clock.advance(2 * 24 * 3600)
    assert jobs(await queue.receive(1, wait=LONG, lease=LONG)) == ["job"]


Change = Callable[[Queue, Sequence[Received]], Awaitable[Sequence[bool]]]


async def _extend(queue: Queue, received: Sequence[Received]) -> list[bool]:
    return await queue.extend(received, 20 * LONG)


async def _ack(queue: Queue, received: Sequence[Received]) -> list[bool]:
    return await queue.ack(received)


async def _release(queue: Queue, received: Sequence[Received]) -> list[bool]:
    return await queue.release(received)


async def _dead_letter(queue: Queue, received: Sequence[Received]) -> list[bool]:
    return [await queue.dead_letter(each, "broken") for each in received]


@pytest.mark.parametrize("change", [_extend, _ack, _release, _dead_letter])
async def test_a_receipt_of_an_earlier_delivery_changes_nothing(
    change: Change, queue: Queue, other_queue: Queue, clock: Clock, lease: float
) -> None:
    if Capability.CHECKED_RECEIPTS not in queue.capabilities:
        return  # then only the store's fence protects a job from a lost worker
    await queue.send([message()])
    stale = await queue.receive(1, wait=LONG, lease=lease)
    await clock.advance(lease * 1.5)
    fresh = await other_queue.receive(1, wait=LONG, lease=lease)
    assert await change(queue, stale) == [False]
    depth = (await queue.depth())[Priority.NORMAL]
    assert depth == Depth(in_flight=1)
    await clock.advance(lease * 0.4)
    assert await queue.receive(1, wait=0, lease=lease) == [], "the lease of the second receiver still runs"
    assert await other_queue.extend(fresh, lease) == [True]
    assert await other_queue.ack(fresh) == [True]


@pytest.mark.parametrize("change", [_extend, _ack, _release, _dead_letter])
async def test_a_receipt_is_spent_once_its_message_is_acked(change: Change, queue: Queue) -> None:
    if Capability.CHECKED_RECEIPTS not in queue.capabilities:
        return
    await queue.send([message()])
    received = await queue.receive(1, wait=LONG, lease=LONG)
    await queue.ack(received)
    await queue.send([message("another")])
    [another] = await queue.receive(1, wait=LONG, lease=LONG)
    assert await change(queue, received) == [False]
    assert (await queue.depth())[Priority.NORMAL] == Depth(in_flight=1)
    assert await queue.ack([another]) == [True]


async def test_a_released_lease_is_lost(queue: Queue) -> None:
    if Capability.CHECKED_RECEIPTS not in queue.capabilities:
        return
    await queue.send([message()])
    received = await queue.receive(1, wait=LONG, lease=LONG)
    await queue.release(received)
    assert await queue.extend(received, LONG) == [False]
    assert await queue.ack(received) == [False]
    assert jobs(await queue.receive(1, wait=LONG, lease=LONG)) == ["job"]


async def test_a_batch_has_an_outcome_per_entry(queue: Queue, clock: Clock, lease: float) -> None:
    await queue.send(messages(3))
    received = await drain(queue)
    assert len(received) == 3
    assert await queue.extend(received, LONG) == [True] * 3
    assert await queue.ack(received[1:2]) == [True]
    if Capability.CHECKED_RECEIPTS in queue.capabilities:
        assert await queue.extend(received, LONG) == [True, False, True]
        assert await queue.release(received[2:]) == [True]
        assert await queue.ack(received) == [True, False, False]
        assert jobs(await drain(queue)) == [received[2].message.job]


async def test_empty_batches_are_nothing(queue: Queue) -> None:
    assert await queue.send([]) == []
    assert await queue.ack([]) == []
    assert await queue.extend([], LONG) == []
    assert await queue.release([]) == []
    assert await queue.redrive([]) == 0
    assert await queue.delete_dead([]) == 0


async def test_a_batch_of_many_arrives_complete_and_once(queue: Queue) -> None:
    assert await queue.send(messages(123)) == [SENT] * 123
    received = await drain(queue)
    assert sorted(jobs(received)) == sorted(each.job for each in messages(123))
    assert await queue.ack(received) == [True] * 123


async def test_no_more_than_the_limit_is_received(queue: Queue) -> None:
    await queue.send(messages(5))
    assert 1 <= len(await queue.receive(3, wait=LONG, lease=LONG)) <= 3


async def test_a_limit_below_one_is_refused(queue: Queue) -> None:
    with pytest.raises(ValueError, match="limit"):
        await queue.receive(0, wait=0, lease=LONG)


async def test_a_message_that_nobody_would_read_is_refused_alone(queue: Queue) -> None:
    large = message("large", traceparent="x" * MAX_BYTES)
    assert await queue.send([message("a"), large, message("b")]) == [SENT, FAILED, SENT]
    assert sorted(jobs(await drain(queue))) == ["a", "b"]


async def test_what_still_waits_is_not_queued_twice(queue: Queue) -> None:
    outcomes = [*await queue.send([message("a"), message("b"), message("a")]), *await queue.send([message("b")])]
    received = jobs(await drain(queue))
    if Capability.DEDUPLICATION in queue.capabilities:
        assert outcomes == [SENT, SENT, DUPLICATE, DUPLICATE]
        assert sorted(received) == ["a", "b"]
    else:
        assert {"a", "b"} == set(received)


async def test_what_is_delayed_or_leased_is_not_queued_twice(queue: Queue) -> None:
    if Capability.DEDUPLICATION not in queue.capabilities:
        return
    await queue.send([message("leased")])
    received = await queue.receive(1, wait=LONG, lease=LONG)
    await queue.send([message("delayed")], delay=LONG)
    assert await queue.send([message("leased"), message("delayed")]) == [DUPLICATE, DUPLICATE]
    await queue.ack(received)
    assert await queue.send([message("leased")]) == [SENT]


@pytest.mark.parametrize("end", [_ack, _dead_letter])
async def test_what_is_gone_can_be_sent_again(end: Change, queue: Queue) -> None:
    await queue.send([message()])
    await end(queue, await queue.receive(1, wait=LONG, lease=LONG))
    assert await queue.send([message()]) == [SENT]
    assert jobs(await queue.receive(1, wait=LONG, lease=LONG)) == ["job"]


async def test_another_round_leg_or_pool_is_other_work(queue: Queue) -> None:
    different = [message(), message(round=2), message(leg=1), message(pool="gpu")]
    assert await queue.send(different) == [SENT] * 4
    received = [*await drain(queue), *await drain(queue, pool="gpu")]
    assert {each.message for each in received} == set(different)


async def test_messages_of_one_tenant_keep_their_order(queue: Queue) -> None:
    sent = messages(30, tenant="one")
    for each in sent:
        await queue.send([each])
    received: list[str] = []
    while batch := await queue.receive(1, wait=0, lease=LONG):
        received += jobs(batch)
        await queue.ack(batch)
    if Capability.ORDER in queue.capabilities:
        assert received == [each.job for each in sent]
    else:
        assert sorted(received) == sorted(each.job for each in sent)


async def test_priorities_share_by_weight(queue: Queue) -> None:
    """7:2:1 over 200 draws; the bounds are four standard deviations wide."""
    for priority in Priority:
        await queue.send(messages(5, priority=priority, round=priority + 1))
    first = Counter[Priority]()
    for _ in range(200):
        [received] = await queue.receive(1, wait=LONG, lease=LONG)
        first[received.message.priority] += 1
        await queue.release([received])
    assert 114 <= first[Priority.HIGH] <= 166
    assert 18 <= first[Priority.NORMAL] <= 62
    assert 3 <= first[Priority.LOW] <= 37


@pytest.mark.parametrize("priority", list(Priority))
async def test_an_empty_priority_never_delays_another(priority: Priority, queue: Queue) -> None:
    for number in range(8):
        await queue.send([message(f"job-{number}", priority=priority)])
        started = time.monotonic()
        assert await queue.receive(1, wait=20, lease=LONG)
        assert time.monotonic() - started < 5


async def test_a_receive_fills_up_from_other_priorities(queue: Queue) -> None:
    for priority in Priority:
        await queue.send([message(priority.word, priority=priority)])
    assert sorted(jobs(await drain(queue))) == ["high", "low", "normal"]


async def test_depth_tells_what_waits_is_leased_is_delayed_and_is_dead(
    queue: Queue, clock: Clock, lease: float
) -> None:
    await queue.send([message("dead")])
    [received] = await queue.receive(1, wait=LONG, lease=LONG)
    await queue.dead_letter(received, "failed")
    await queue.send(messages(3))
    leased = await queue.receive(1, wait=LONG, lease=lease)
    await queue.send([message("delayed")], delay=lease)
    await queue.send([message("low", priority=Priority.LOW)])
    depth = await queue.depth()
    assert counted(queue, depth[Priority.NORMAL]) == counted(queue, Depth(available=2, in_flight=1, delayed=1, dead=1))
    assert (depth[Priority.HIGH], depth[Priority.LOW]) == (Depth(), Depth(available=1))
    await queue.release(leased, delay=lease)
    depth = await queue.depth()
    assert counted(queue, depth[Priority.NORMAL]) == counted(queue, Depth(available=2, delayed=2, dead=1))
    await clock.advance(lease * 1.5)
    assert (await queue.depth())[Priority.NORMAL] == Depth(available=4, dead=1)


async def test_pools_do_not_see_each_other(queue: Queue) -> None:
    await queue.send([message("cpu", pool="cpu"), message("gpu", pool="gpu")])
    assert await queue.receive(1, wait=0, lease=LONG) == []
    assert jobs(await drain(queue, pool="gpu")) == ["gpu"]
    assert (await queue.depth("cpu"))[Priority.NORMAL] == Depth(available=1)
    assert (await queue.depth("gpu"))[Priority.NORMAL] == Depth(in_flight=1)
    assert (await queue.depth())[Priority.NORMAL] == Depth()


async def test_a_receive_without_work_ends_after_its_wait(queue: Queue) -> None:
    started = time.monotonic()
    assert await queue.receive(1, wait=1, lease=LONG) == []
    assert 0.9 <= time.monotonic() - started < 5


async def test_closing_ends_a_waiting_receive(queues: QueueBackend) -> None:
    queue = queues.connect()
    await queue.open()
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.sleep(0.05)  # into the wait; closing before it is as good
    await queue.close()
    assert await asyncio.wait_for(waiting, timeout=LONG / 2) == []


async def test_a_cancelled_receive_takes_nothing_with_it(queue: Queue) -> None:
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await queue.send([message()])
    assert jobs(await queue.receive(1, wait=LONG, lease=LONG)) == ["job"]


async def test_a_closed_queue_says_so(queues: QueueBackend) -> None:
    queue = queues.connect()
    async with queue:
        await queue.ping()
    await queue.close()
    with pytest.raises(Unavailable):
        await queue.send([message()])
    with pytest.raises(Unavailable):
        await queue.ping()


async def test_messages_survive_a_reconnection(queues: QueueBackend) -> None:
    async with queues.connect() as queue:
        await queue.send(messages(3))
        leased = await queue.receive(1, wait=LONG, lease=LONG)
    async with queues.connect() as queue:
        assert await queue.ack(leased) == [True]
        assert len(await drain(queue)) == 2


async def test_only_the_priorities_that_were_asked_for_are_received(queue: Queue) -> None:
    await queue.send([message(priority.word, priority=priority) for priority in Priority])
    low = await queue.receive(10, wait=LONG, lease=LONG, priorities=[Priority.LOW])
    assert jobs(low) == ["low"]
    assert await queue.receive(10, wait=0, lease=LONG, priorities=[Priority.LOW]) == []
    assert sorted(jobs(await drain(queue))) == ["high", "normal"]


async def test_peeking_shows_what_waits_and_takes_nothing(queue: Queue, other_queue: Queue) -> None:
    if Capability.PEEK not in queue.capabilities:
        with pytest.raises(NotImplementedError):
            await queue.peek(10)
        return
    sent = [message(word, priority=Priority[word.upper()]) for word in ("low", "high", "normal")]
    await queue.send(sent)
    await queue.send([message("later")], delay=LONG)
    await queue.send([message("elsewhere", pool="other")])
    expected = [Waiting(sent[place].encode(), sent[place].priority, 0) for place in (1, 2, 0)]
    assert await other_queue.peek(10) == expected
    assert await queue.peek(2) == expected[:2]
    received = await drain(queue)
    assert sorted(jobs(received)) == ["high", "low", "normal"]
    assert await queue.peek(10) == []
    await queue.release(received)
    assert [each.deliveries for each in await queue.peek(10)] == [1, 1, 1]


async def test_preparing_a_pool_twice_changes_nothing(queue: Queue) -> None:
    await queue.send([message()])
    await queue.prepare()
    await queue.prepare("fresh")
    assert await queue.depth("fresh") == dict.fromkeys(Priority, Depth())
    assert jobs(await drain(queue)) == ["job"]


async def test_an_examination_finds_nothing_to_fail(queue: Queue) -> None:
    await queue.send([message()])
    assert [each for each in await queue.examine() if each.verdict is Verdict.FAIL] == []
    assert jobs(await drain(queue)) == ["job"]
