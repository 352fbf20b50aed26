"""What the queue on Redis promises beyond the port: what is in which key, leases of any length, and self-healing."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from tests.proxy import proxy

from antiphon.errors import Unavailable
from antiphon.jobs import Priority
from antiphon.messages import MAX_BYTES, Message
from antiphon.queue import Depth, Received, SendOutcome, Waiting
from antiphon.queue.redis import BATCH, RedisQueue

LONG = 60.0
DAY = 24 * 3600.0
SENT, DUPLICATE = SendOutcome.SENT, SendOutcome.DUPLICATE


def message(job: str, priority: Priority = Priority.NORMAL, **fields: Any) -> Message:
    return Message(job, 1, 0, priority=priority, **fields)


def jobs(received: Sequence[Received]) -> list[str]:
    return [each.message.job for each in received]


class Ahead:
    """By how many seconds the server's clock is put forward."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def ahead() -> Ahead:
    return Ahead()


@pytest.fixture
def prefix() -> str:
    return uuid4().hex


@pytest.fixture
def url(redis_server: str, prefix: str) -> str:
    return f"{redis_server}?prefix={prefix}"


@pytest.fixture
async def queue(url: str, ahead: Ahead) -> AsyncIterator[RedisQueue]:
    async with RedisQueue(url, ahead=ahead, random=Random(1)) as queue:
        yield queue


@pytest.fixture
async def server(redis_server: str) -> AsyncIterator[Redis]:
    """A plain client, by which a test looks at what is really there."""
    async with Redis.from_url(redis_server, decode_responses=True) as client:
        yield client


@pytest.fixture
def key(prefix: str) -> Callable[..., str]:
    return lambda *words: ":".join([prefix, "{default}", *words])


async def receive(queue: RedisQueue, limit: int = 10) -> list[Received]:
    return await queue.receive(limit, wait=0, lease=LONG)


async def test_the_length_of_the_stream_is_the_backlog(
    queue: RedisQueue, server: Redis, key: Callable[..., str]
) -> None:
    await queue.send([message("a"), message("b"), message("c")])
    await queue.send([message("later")], delay=LONG)
    received = await receive(queue, 2)
    assert await server.xlen(key("normal")) == 3
    await queue.ack(received[:1])
    await queue.dead_letter(received[1], "failed")
    assert await server.xlen(key("normal")) == 1
    assert await server.zcard(key("normal", "delayed")) == 1
    assert await server.xlen(key("normal", "dead")) == 1


async def test_what_is_done_with_leaves_nothing(queue: RedisQueue, server: Redis, prefix: str) -> None:
    await queue.send([message(priority.word, priority) for priority in Priority])
    received = await receive(queue)
    assert await queue.ack(received) == [True] * 3
    assert await receive(queue) == []
    left = {name: await server.type(name) for name in await server.keys(f"{prefix}:*")}
    for name, kind in left.items():
        assert kind == "string" or (kind == "stream" and await server.xlen(name) == 0), name


async def test_installations_with_a_prefix_each_do_not_see_each_other(queue: RedisQueue, redis_server: str) -> None:
    await queue.send([message("a")])
    async with RedisQueue(f"{redis_server}?prefix={uuid4().hex}") as other:
        assert await receive(other) == []
        assert await other.send([message("a")]) == [SENT]


async def test_a_lease_may_last_for_years(queue: RedisQueue, ahead: Ahead) -> None:
    await queue.send([message("a")])
    received = await queue.receive(1, wait=0, lease=400 * DAY)
    ahead.seconds = 399 * DAY
    assert await receive(queue) == []
    assert await queue.extend(received, 500 * DAY) == [True]
    ahead.seconds += 499 * DAY
    assert await receive(queue) == []
    ahead.seconds += 2 * DAY
    assert jobs(await receive(queue)) == ["a"]


@pytest.mark.parametrize("seconds", [0.3, LONG, 1.5 * DAY])
async def test_a_lease_ends_when_it_should(seconds: float, queue: RedisQueue, ahead: Ahead) -> None:
    await queue.send([message("a"), message("b")])
    [a] = await queue.receive(1, wait=0, lease=seconds)
    await queue.receive(1, wait=0, lease=10 * seconds)
    ahead.seconds = 0.5 * seconds
    await queue.extend([a], seconds)
    ahead.seconds = 1.2 * seconds
    assert await receive(queue) == []
    ahead.seconds = 1.6 * seconds
    assert jobs(await receive(queue)) == ["a"]


async def test_a_lease_that_ended_is_still_good_while_nobody_took_the_message(queue: RedisQueue, ahead: Ahead) -> None:
    await queue.send([message("a")])
    received = await queue.receive(1, wait=0, lease=1)
    ahead.seconds = 2
    assert await queue.extend(received, LONG) == [True]
    assert await receive(queue) == []
    assert await queue.ack(received) == [True]


async def test_a_lease_ends_though_nobody_knows_any_more_when_the_first_one_does(
    queue: RedisQueue, server: Redis, key: Callable[..., str], ahead: Ahead
) -> None:
    await queue.send([message("a"), message("b")])
    await queue.receive(1, wait=0, lease=LONG)
    await server.delete(key("normal", "lost"))
    await queue.receive(1, wait=0, lease=2 * LONG)
    await server.delete(key("normal", "lost"))
    ahead.seconds = 1.5 * LONG
    assert (await queue.depth())[Priority.NORMAL] == Depth(available=1, in_flight=1)
    assert jobs(await receive(queue)) == ["a"]


async def test_a_lease_may_be_lost_again_and_again(queue: RedisQueue, ahead: Ahead) -> None:
    await queue.send([message("a")])
    for deliveries in range(1, 5):
        [received] = await queue.receive(1, wait=0, lease=LONG)
        assert received.deliveries == deliveries
        assert await receive(queue) == []
        ahead.seconds += 1.5 * LONG


async def test_a_lost_lease_is_found_among_many_that_are_not(queue: RedisQueue, ahead: Ahead) -> None:
    await queue.send([message(f"{n}") for n in range(60)])
    await queue.receive(59, wait=0, lease=10 * LONG)
    await queue.receive(1, wait=0, lease=LONG)
    ahead.seconds = 2 * LONG
    assert jobs(await receive(queue, 1)) == ["59"]


async def test_leases_are_looked_through_only_when_one_may_have_ended(
    queue: RedisQueue, server: Redis, ahead: Ahead
) -> None:
    async def looks() -> int:
        calls: int = (await server.info("commandstats"))["cmdstat_xautoclaim"]["calls"]
        return calls

    await queue.send([message(f"{n}") for n in range(20)])
    await receive(queue, 1)
    before = await looks()
    for _ in range(19):
        await queue.ack(await receive(queue, 1))
    assert await looks() - before <= 2, "those of the other two priorities, once"
    ahead.seconds = 2 * LONG
    assert jobs(await receive(queue, 1)) == ["0"]


async def test_within_a_priority_the_first_comes_first_and_what_is_released_last(queue: RedisQueue) -> None:
    await queue.send([message("a"), message("b"), message("c")])
    received = await receive(queue, 1)
    await queue.send([message("d")])
    await queue.release(received)
    assert jobs(await receive(queue)) == ["b", "c", "d", "a"]


async def test_a_batch_is_filled_up_in_the_order_of_the_draw(queue: RedisQueue) -> None:
    await queue.send([message(f"{priority.word}-{n}", priority) for priority in Priority for n in range(2)])
    kinds = [each.message.priority for each in await receive(queue, 5)]
    assert kinds in [[*[one] * 2, *[two] * 2, three] for one in Priority for two in Priority for three in Priority]


async def test_more_than_fits_in_one_script_is_done_in_several(queue: RedisQueue, ahead: Ahead) -> None:
    many = 2 * BATCH + 3
    assert await queue.send([message(f"{n}") for n in range(many)], delay=LONG) == [SENT] * many
    assert await queue.send([message("0")]) == [DUPLICATE]
    ahead.seconds = 2 * LONG
    received: list[Received] = []
    while batch := await receive(queue, 100 * many):
        assert len(batch) <= BATCH
        received += batch
    assert len(set(jobs(received))) == len(received) == many
    assert await queue.extend(received, LONG) == [True] * many
    assert await queue.release(received[1:]) == [True] * (many - 1)
    assert await queue.ack(received) == [True] + [False] * (many - 1)


async def test_more_lost_leases_than_one_receive_takes_are_taken_by_the_next(queue: RedisQueue, ahead: Ahead) -> None:
    await queue.send([message(f"{n}") for n in range(30)])
    await queue.receive(30, wait=0, lease=1)
    ahead.seconds = 2
    assert (await queue.depth())[Priority.NORMAL] == Depth(available=30)
    again = [await receive(queue, 12) for _ in range(4)]
    assert [len(each) for each in again] == [12, 12, 6, 0]
    assert len({job for each in again for job in jobs(each)}) == 30
    assert {each.deliveries for batch in again for each in batch} == {2}


async def test_deliveries_are_counted_over_releases_and_delays(queue: RedisQueue, ahead: Ahead) -> None:
    await queue.send([message("a")])
    counts = []
    for _ in range(3):
        [received] = await receive(queue)
        counts.append(received.deliveries)
        await queue.release([received], delay=LONG)
        ahead.seconds += 2 * LONG
        [received] = await receive(queue)
        counts.append(received.deliveries)
        await queue.release([received])
    assert counts == [1, 2, 3, 4, 5, 6]


async def delete_stream(server: Redis, key: Callable[..., str]) -> None:
    await server.delete(key("normal"))


async def trim_stream(server: Redis, key: Callable[..., str]) -> None:
    await server.xtrim(key("normal"), maxlen=0)


async def forget_delays(server: Redis, key: Callable[..., str]) -> None:
    await server.delete(key("normal", "delayed"))


@pytest.mark.parametrize(
    ("removal", "delay"),
    [(delete_stream, 0.0), (trim_stream, 0.0), (forget_delays, LONG)],
    ids=["delete stream", "trim stream", "forget delays"],
)
async def test_a_message_that_somebody_deleted_can_be_sent_again(
    removal: Any, delay: float, queue: RedisQueue, server: Redis, key: Callable[..., str], ahead: Ahead
) -> None:
    await queue.send([message("a")], delay=delay)
    await removal(server, key)
    assert await queue.send([message("a")]) == [SENT]
    assert await queue.send([message("a")]) == [DUPLICATE]
    ahead.seconds = 2 * delay
    assert jobs(await receive(queue)) == ["a"]


async def test_a_leased_message_that_somebody_deleted_is_no_more(
    queue: RedisQueue, server: Redis, key: Callable[..., str], ahead: Ahead
) -> None:
    await queue.send([message("a"), message("b")])
    received = await receive(queue)
    await trim_stream(server, key)
    assert (await queue.depth())[Priority.NORMAL] == Depth(in_flight=2), "until somebody looks through the leases"
    assert await queue.release(received[:1]) == [False]
    assert await queue.dead_letter(received[1], "failed") is False
    assert await queue.peek(10) == []
    ahead.seconds = 2 * LONG
    assert await queue.peek(10) == []
    assert await receive(queue) == []
    assert (await queue.depth())[Priority.NORMAL] == Depth()


async def test_a_delayed_message_whose_home_was_deleted_is_no_more(
    queue: RedisQueue, server: Redis, key: Callable[..., str], ahead: Ahead
) -> None:
    await queue.send([message("a"), message("b")], delay=LONG)
    await server.execute_command("HDEL", key("living"), message("a").key)  # type: ignore[no-untyped-call]
    ahead.seconds = 2 * LONG
    assert [json.loads(each.body)["job"] for each in await queue.peek(10)] == ["b"]
    assert jobs(await receive(queue)) == ["b"]
    assert await receive(queue) == []


RUBBISH: dict[str, tuple[dict[Any, Any], str, str]] = {
    "other fields": ({"job": "1"}, '["job","1"]', "object"),
    "not UTF-8": ({"body": b'{"v":1,"job":"\xff"}'}, '{"v":1,"job":"\N{REPLACEMENT CHARACTER}"}', "utf-8"),
    "other fields, not UTF-8": (
        {b"\xff": b"\xfe"},
        '["\N{REPLACEMENT CHARACTER}","\N{REPLACEMENT CHARACTER}"]',
        "utf-8",
    ),
    "2 MiB": ({"body": "x" * (2 << 20)}, "x" * (2 << 20), "too large"),
    "odd deliveries": ({"body": "{", "deliveries": "nan"}, "{", "not JSON"),
    "many deliveries": ({"body": "{", "deliveries": "9" * 30}, "{", "not JSON"),
}


@pytest.mark.parametrize(("fields", "body", "reason"), RUBBISH.values(), ids=list(RUBBISH))
async def test_rubbish_in_the_stream_goes_to_the_dead_letters(
    fields: dict[Any, Any], body: str, reason: str, queue: RedisQueue, server: Redis, key: Callable[..., str]
) -> None:
    await queue.send([message("before")])
    await server.xadd(key("normal"), fields)
    await queue.send([message("after")])
    assert await queue.peek(10) == [
        Waiting(message("before").encode(), Priority.NORMAL, 0),
        Waiting(body, Priority.NORMAL, 0),
        Waiting(message("after").encode(), Priority.NORMAL, 0),
    ]
    assert jobs(await receive(queue)) == ["before", "after"]
    [dead] = await queue.dead(10)
    assert dead.body == body
    assert reason in dead.reason


async def test_a_receive_goes_on_past_rubbish(queue: RedisQueue, server: Redis, key: Callable[..., str]) -> None:
    for _ in range(3):
        await server.xadd(key("normal"), {"body": "rubbish"})
    await queue.send([message("a")])
    assert jobs(await receive(queue, 1)) == ["a"]


async def test_a_message_that_is_too_large_is_not_queued(queue: RedisQueue) -> None:
    large = message("large", traceparent="x" * MAX_BYTES)
    assert await queue.send([large, message("a")]) == [SendOutcome.FAILED, SENT]
    assert (await queue.depth())[Priority.NORMAL] == Depth(available=1)


async def test_rubbish_that_is_redriven_is_not_mistaken_for_other_rubbish(
    queue: RedisQueue, server: Redis, key: Callable[..., str]
) -> None:
    for number in range(3):
        await server.xadd(key("low"), {"body": f"rubbish {number}"})
    assert await receive(queue) == []
    dead = await queue.dead(10)
    assert await queue.redrive([each.id for each in dead]) == 3
    assert [each.body for each in await queue.peek(10)] == ["rubbish 0", "rubbish 1", "rubbish 2"]


async def test_dead_letters_of_all_priorities_are_listed_oldest_first(queue: RedisQueue) -> None:
    for number in range(9):
        await queue.send([message(f"{number}", Priority(number % 3))])
        [received] = await receive(queue)
        await queue.dead_letter(received, f"reason {number}")
    dead = await queue.dead(7)
    assert [each.reason for each in dead] == [f"reason {number}" for number in range(7)]
    assert await queue.delete_dead([each.id for each in dead[:4]]) == 4
    assert [each.reason for each in await queue.dead(3)] == ["reason 4", "reason 5", "reason 6"]


async def test_dead_letters_that_died_in_the_same_millisecond_are_told_apart(
    queue: RedisQueue, server: Redis, key: Callable[..., str]
) -> None:
    for priority in Priority:
        await server.xadd(key(priority.word, "dead"), {"body": priority.word, "died": 5_000_000}, id="5-1")
    assert await queue.delete_dead(["high-5-1"]) == 1
    assert await queue.redrive(["low-5-1"]) == 1
    assert [(each.id, each.died_at) for each in await queue.dead(9)] == [("normal-5-1", 5.0)]


@pytest.mark.parametrize("odd", ["", "normal", "normal-", "normal-x", "urgent-1-1", "normal-1-1 ", f"low-{'9' * 40}-1"])
async def test_an_id_of_no_dead_letter_is_none(odd: str, queue: RedisQueue) -> None:
    assert await queue.redrive([odd]) == 0
    assert await queue.delete_dead([odd]) == 0


async def test_a_reason_that_is_no_utf_8_is_kept_as_well_as_it_goes(queue: RedisQueue) -> None:
    await queue.send([message("a")])
    [received] = await receive(queue)
    await queue.dead_letter(received, "no file \udcff.wav" + "!" * 5000)
    [dead] = await queue.dead(1)
    assert dead.reason.startswith("no file ?.wav!!!")
    assert len(dead.reason) == 1000


async def test_peeking_shows_lost_leases_and_delays_that_are_over(queue: RedisQueue, ahead: Ahead) -> None:
    await queue.send([message("leased"), message("lost"), message("new")])
    [leased] = await receive(queue, 1)
    await queue.receive(1, wait=0, lease=1)
    await queue.send([message("due")], delay=1)
    await queue.send([message("later")], delay=LONG)
    ahead.seconds = 2
    peeked = [(json.loads(each.body)["job"], each.deliveries) for each in await queue.peek(10)]
    assert peeked == [("lost", 1), ("new", 0), ("due", 0)]
    assert [json.loads(each.body)["job"] for each in await queue.peek(2)] == ["lost", "new"]
    assert await queue.ack([leased]) == [True]


async def test_a_pool_that_nobody_used_is_empty(queue: RedisQueue) -> None:
    assert await queue.peek(10, pool="unused") == []
    assert await queue.dead(10, pool="unused") == []
    assert await queue.depth("unused") == dict.fromkeys(Priority, Depth())


async def test_every_batch_is_one_round_trip(url: str) -> None:
    batch = [message(f"{n}", Priority(n % 3)) for n in range(90)]
    async with proxy(url) as (wire, through), RedisQueue(through) as queue:
        for _ in range(2):
            await queue.send(batch)
            received = await queue.receive(90, wait=0, lease=LONG)
            await queue.extend(received, LONG)
            await queue.release(received)
            received = await queue.receive(90, wait=0, lease=LONG)
            before = wire.requests
            await queue.ack(received)
            acked = wire.requests
            await queue.send(batch)
            sent = wire.requests
            received = await queue.receive(90, wait=0, lease=LONG)
            assert len(received) == 90
            counts = acked - before, sent - acked, wire.requests - sent
            await queue.ack(received)
        assert counts == (1, 1, 1), "the second time, when the server knows the scripts"


async def test_no_script_takes_more_than_a_batch(url: str) -> None:
    async with proxy(url) as (wire, through), RedisQueue(through) as queue:
        ids = [f"normal-{number}-1" for number in range(BATCH + 1)]
        await queue.redrive(ids[:1])
        before = wire.requests
        assert await queue.redrive(ids) == 0
        assert wire.requests - before == 2
        before = wire.requests
        assert await queue.delete_dead(ids) == 0
        assert wire.requests - before == 2


async def test_a_server_that_forgot_the_scripts_is_told_them_again(queue: RedisQueue, server: Redis) -> None:
    await queue.send([message("a")])
    await server.script_flush()
    assert jobs(await receive(queue)) == ["a"]


async def test_a_closed_queue_receives_nothing(url: str) -> None:
    queue = RedisQueue(url)
    async with queue:
        pass
    with pytest.raises(Unavailable, match="closed"):
        await queue.receive(1, wait=LONG, lease=LONG)


async def test_a_queue_can_be_opened_again(url: str) -> None:
    queue = RedisQueue(url)
    for _ in range(2):
        async with queue:
            assert await queue.send([message("a")]) == [SENT]
            assert await queue.ack(await queue.receive(1, wait=LONG, lease=LONG)) == [True]


async def test_many_that_wait_hold_nobody_up(queue: RedisQueue, url: str) -> None:
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(RedisQueue(url)) for _ in range(5)]
        waiting = [asyncio.create_task(other.receive(1, wait=LONG, lease=LONG)) for other in others * 4]
        await asyncio.sleep(0.1)  # into the wait
        await queue.send([message(f"{n}") for n in range(20)])
        received = [job for each in await asyncio.gather(*waiting) for job in jobs(each)]
        assert sorted(received) == sorted(f"{n}" for n in range(20))
