"""What wake-ups through Redis promise beyond the port: they outlive their connection, coalesce, and hold nobody up."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from tests.proxy import Proxy, proxy
from tests.redis_server import redis_server as running

from antiphon import redis_client
from antiphon.errors import Unavailable
from antiphon.events import redis
from antiphon.events.redis import RedisEvents

LONG = 60.0


@pytest.fixture(autouse=True)
def _quick_to_reconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "BACKOFF", 0.05)


@pytest.fixture
def prefix() -> str:
    return uuid4().hex


@pytest.fixture
def url(redis_server: str, prefix: str) -> str:
    return f"{redis_server}?prefix={prefix}"


@pytest.fixture
async def wire(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    async with proxy(url) as found:
        yield found


@pytest.fixture
async def server(redis_server: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server, decode_responses=True) as client:
        yield client


async def test_a_lost_connection_is_made_anew_and_wakes_whoever_listens(wire: tuple[Proxy, str]) -> None:
    line, url = wire
    async with RedisEvents(url) as events, events.listen("one") as one, events.listen("two") as two:
        line.cut()
        assert await one.wait(LONG)
        assert await two.wait(LONG)


async def test_after_a_lost_connection_notifications_of_others_arrive_again(wire: tuple[Proxy, str], url: str) -> None:
    line, through = wire
    async with RedisEvents(through) as events, RedisEvents(url) as others, events.listen("job") as listener:
        for _ in range(3):
            line.cut()
            assert await listener.wait(LONG)  # for the new connection
            await others.notify(["job"])
            assert await listener.wait(LONG)


class Hasty(Random):
    """Draws the shortest time, and notes the longest that might have been."""

    def __init__(self) -> None:
        super().__init__()
        self.longest: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        self.longest.append(b)
        return a


async def test_the_pause_before_a_new_connection_grows_only_while_there_is_none(
    wire: tuple[Proxy, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "BACKOFF", LONG)
    line, through = wire
    hasty = Hasty()
    async with RedisEvents(through, hasty) as events, RedisEvents(url) as others, events.listen("job") as listener:
        for _ in range(3):
            line.cut()
            assert await listener.wait(LONG)
            await others.notify(["job"])
            assert await listener.wait(LONG)
        assert hasty.longest == [0.1, 0.1, 0.1]
        line.refuse()
        async with asyncio.timeout(LONG / 2):
            while len(hasty.longest) < 8:
                with pytest.raises(Unavailable):
                    await events.ping()
        assert hasty.longest[3:8] == [0.1, 0.2, 0.4, 0.8, 1.6]
        line.mend()
        assert await listener.wait(LONG)


async def test_what_is_notified_while_the_server_is_away_is_told_when_it_is_back(
    wire: tuple[Proxy, str], url: str
) -> None:
    line, through = wire
    async with RedisEvents(through) as events, RedisEvents(url) as others, others.listen("job") as listener:
        line.refuse()
        await events.notify(["job"])
        await events.notify(["another"])
        assert not await listener.wait(0.1)
        line.mend()
        assert await listener.wait(LONG)


async def test_a_notification_waits_for_no_server(wire: tuple[Proxy, str]) -> None:
    line, url = wire
    async with RedisEvents(url) as events, events.listen("job") as listener:
        line.freeze()
        await asyncio.wait_for(events.notify(["job"]), LONG / 2)
        assert await listener.wait(LONG), "those of the own process are told all the same"
        line.mend()


async def test_whoever_begins_to_listen_while_the_server_is_away_is_woken_when_it_is_back(
    wire: tuple[Proxy, str], url: str
) -> None:
    line, through = wire
    async with RedisEvents(through) as events, RedisEvents(url) as others, events.listen("one") as one:
        line.refuse()
        async with asyncio.timeout(LONG / 2):
            while events._connection is not None:
                with pytest.raises(Unavailable):
                    await events.ping()
        async with events.listen("two") as two:
            line.mend()
            assert await one.wait(LONG)
            assert await two.wait(LONG)
            while await two.wait(0.1):
                pass
            await others.notify(["two"])
            assert await two.wait(LONG)


async def test_whoever_listens_is_subscribed_by_then(wire: tuple[Proxy, str]) -> None:
    line, url = wire
    async with RedisEvents(url) as events, AsyncExitStack() as stack:
        line.freeze()
        entering = asyncio.create_task(stack.enter_async_context(events.listen("job")))
        assert not (await asyncio.wait([entering], timeout=0.1))[0]
        line.mend()
        await entering


async def test_a_server_that_says_nothing_any_more_is_left(
    wire: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, url = wire
    monkeypatch.setattr(redis, "LOOK", 0.1)
    monkeypatch.setattr(redis_client, "ANSWER_SECONDS", 0.2)
    async with RedisEvents(url) as events, events.listen("job") as listener:
        assert not await listener.wait(0.5), "a server that only has nothing to say is not left"
        line.freeze()
        line.connected.clear()
        await asyncio.wait_for(line.connected.wait(), LONG)
        line.mend()
        assert await listener.wait(LONG)


async def test_many_topics_are_one_round_trip(wire: tuple[Proxy, str], url: str) -> None:
    line, through = wire
    topics = [f"job-{number}" for number in range(40)]
    async with RedisEvents(through) as events, RedisEvents(url) as others, AsyncExitStack() as stack:
        await events.ping()
        listeners = [await stack.enter_async_context(others.listen(topic)) for topic in topics]
        before = line.requests
        for topic in topics:
            await events.notify([topic, topics[0]])
        assert all([await listener.wait(LONG) for listener in listeners])
        assert line.requests - before == 1


async def test_what_a_process_notifies_itself_of_is_news_once(url: str) -> None:
    async with (
        RedisEvents(url) as events,
        RedisEvents(url) as others,
        events.listen("job") as listener,
        others.listen("job") as other,
    ):
        await events.notify(["job"])
        assert await listener.wait(LONG)
        assert await other.wait(LONG)
        assert not await listener.wait(0.1)


async def test_a_process_subscribes_to_what_somebody_listens_to(url: str, server: Redis, prefix: str) -> None:
    async def subscribed() -> set[str]:
        return set(await server.pubsub_channels(f"{prefix}:*"))

    async with RedisEvents(url) as events:
        assert await subscribed() == {f"{prefix}:everybody"}
        async with events.listen("job"):
            async with events.listen("job"), events.listen("other"):
                assert await subscribed() == {f"{prefix}:everybody", f"{prefix}:topic:job", f"{prefix}:topic:other"}
            async with events.listen("third"):  # whose answer comes after that of what was left
                assert await subscribed() == {f"{prefix}:everybody", f"{prefix}:topic:job", f"{prefix}:topic:third"}
    async with asyncio.timeout(LONG):
        while await subscribed():
            pass


async def test_one_connection_listens_to_everything(url: str, server: Redis) -> None:
    before = (await server.info("clients"))["pubsub_clients"]
    async with RedisEvents(url) as events, AsyncExitStack() as stack:
        for number in range(20):
            await stack.enter_async_context(events.listen(f"job-{number}"))
        assert (await server.info("clients"))["pubsub_clients"] == before + 1


async def test_listeners_that_come_and_go_miss_nothing(url: str) -> None:
    async def listen(random: Random) -> None:
        for _ in range(20):
            topic = f"job-{random.randrange(3)}"
            async with events.listen(topic) as listener:
                await others.notify([topic])
                assert await listener.wait(LONG)
                if random.random() < 0.3:
                    waiting = asyncio.create_task(listener.wait(LONG))
                    await asyncio.sleep(0)
                    waiting.cancel()

    async with RedisEvents(url) as events, RedisEvents(url) as others:
        await asyncio.gather(*(listen(Random(seed)) for seed in range(10)))


async def test_more_than_can_be_remembered_is_told_to_everybody(
    wire: tuple[Proxy, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "MOST_UNTOLD", 5)
    line, through = wire
    async with RedisEvents(through) as events, RedisEvents(url) as others, others.listen("unheard of") as listener:
        line.refuse()
        await events.notify([f"job-{number}" for number in range(6)])
        line.mend()
        assert await listener.wait(LONG)


async def test_what_is_untold_at_the_end_is_told_before_it(url: str) -> None:
    async with RedisEvents(url) as others, others.listen("job") as listener:
        events = RedisEvents(url)
        await events.open()
        await events.notify(["job"])
        await events.close()
        assert await listener.wait(LONG)


async def test_closing_waits_for_no_server(wire: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "PARTING", 0.1)
    line, url = wire
    events = RedisEvents(url)
    await events.open()
    line.freeze()
    await events.notify(["job"])
    started = time.monotonic()
    await events.close()
    assert time.monotonic() - started < LONG / 10


@pytest.mark.parametrize("topic", ["", "*", "a b", "übung", "\udcff", "x" * 10_000, "{a}", "everybody"])
async def test_any_text_may_be_a_topic(topic: str, url: str) -> None:
    async with (
        RedisEvents(url) as events,
        RedisEvents(url) as others,
        events.listen(topic) as listener,
        events.listen("another") as other,
    ):
        await others.notify([topic])
        assert await listener.wait(LONG)
        assert not await other.wait(0)


async def test_installations_with_a_prefix_each_do_not_wake_each_other(url: str, redis_server: str) -> None:
    async with RedisEvents(url) as events, RedisEvents(redis_server) as others, events.listen("job") as listener:
        await others.notify(["job"])
        assert not await listener.wait(0.1)


async def test_a_server_that_is_away_at_the_start_is_named() -> None:
    with running() as server:
        url = server.url
    events = RedisEvents(url)
    with pytest.raises(Unavailable, match=f"127.0.0.1:{server.port}"):
        await events.__aenter__()
    with pytest.raises(Unavailable, match="closed"):
        await events.ping()


async def test_a_server_that_is_away_does_not_answer_a_ping(wire: tuple[Proxy, str]) -> None:
    line, url = wire
    async with RedisEvents(url) as events:
        line.refuse()
        with pytest.raises(Unavailable, match="does not answer"):
            await events.ping()
