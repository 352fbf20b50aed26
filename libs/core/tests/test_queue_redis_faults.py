"""What becomes of the queue when its server is away, silent, restarted, emptied or full. Nothing accepted is lost."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from tests.proxy import Lose, Proxy, proxy
from tests.redis_server import RedisServer
from tests.redis_server import redis_server as running

from antiphon import redis_client
from antiphon.blobs.files import FileBlobs
from antiphon.errors import Unavailable
from antiphon.events.sqlite import SqliteEvents
from antiphon.jobs import Priority, State
from antiphon.messages import Message
from antiphon.ports import Ports
from antiphon.queue import Depth, Received, SendOutcome
from antiphon.queue.redis import RedisQueue
from antiphon.relay import Relay
from antiphon.store import schema
from antiphon.store.engine import open_database
from antiphon.store.sql import SqlStore
from antiphon.sweeper import Sweeper

from .conftest import Clock, accept

LONG = 60.0
SENT, DUPLICATE = SendOutcome.SENT, SendOutcome.DUPLICATE


def message(job: str) -> Message:
    return Message(job, 1, 0)


def jobs(received: Sequence[Received]) -> list[str]:
    return [each.message.job for each in received]


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    """A server that may be stopped, and keeps nothing."""
    with running() as server:
        yield server


@pytest.fixture
async def queue(own_server: RedisServer) -> AsyncIterator[RedisQueue]:
    async with RedisQueue(f"{own_server.url}?prefix={uuid4().hex}") as queue:
        yield queue


@pytest.fixture
async def wire(redis_server: str) -> AsyncIterator[tuple[Proxy, str]]:
    async with proxy(f"{redis_server}?prefix={uuid4().hex}") as found:
        yield found


async def recovered(queue: RedisQueue) -> None:
    """Return once the server answers again."""
    async with asyncio.timeout(LONG):
        while True:
            try:
                await queue.ping()
            except Unavailable:
                await asyncio.sleep(0.01)
            else:
                return


async def test_a_restart_that_keeps_its_file_loses_nothing() -> None:
    with running("--appendonly", "yes", "--appendfsync", "always") as server:
        async with RedisQueue(server.url) as queue:
            await queue.send([message("leased"), message("dead"), message("ready")])
            [leased] = await queue.receive(1, wait=0, lease=LONG)
            [dead] = await queue.receive(1, wait=0, lease=LONG)
            await queue.dead_letter(dead, "failed")
            await queue.send([message("delayed")], delay=LONG)
            server.stop()
            with pytest.raises(Unavailable):
                await queue.ack([leased])
            server.start()
            assert (await queue.depth())[Priority.NORMAL] == Depth(available=1, in_flight=1, delayed=1, dead=1)
            assert await queue.ack([leased]) == [True]
            assert await queue.send([message("delayed"), message("leased")]) == [DUPLICATE, SENT]
            assert jobs(await queue.receive(9, wait=0, lease=LONG)) == ["ready", "leased"]


async def test_after_a_restart_that_lost_everything_the_queue_works(queue: RedisQueue, own_server: RedisServer) -> None:
    await queue.send([message("a"), message("b")])
    received = await queue.receive(1, wait=0, lease=LONG)
    own_server.stop()
    own_server.start()
    await recovered(queue)
    assert await queue.extend(received, LONG) == [False]
    assert await queue.ack(received) == [False]
    assert await queue.send([message("a")]) == [SENT]
    assert jobs(await queue.receive(9, wait=0, lease=LONG)) == ["a"]


async def test_a_receive_that_waits_while_the_server_goes_away_says_so(
    queue: RedisQueue, own_server: RedisServer
) -> None:
    async with Redis(port=own_server.port) as server:
        receiving = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
        while not (await server.info("clients"))["blocked_clients"]:
            pass
    own_server.stop()
    with pytest.raises(Unavailable, match=f"127.0.0.1:{own_server.port}"):
        await asyncio.wait_for(receiving, LONG)
    with pytest.raises(Unavailable, match="does not answer"):
        await queue.send([message("a")])
    with pytest.raises(Unavailable, match="does not answer"):
        await queue.ping()
    with pytest.raises(Unavailable, match="does not answer"):
        await queue.examine()
    own_server.start()
    assert await queue.send([message("a")]) == [SENT]
    assert jobs(await queue.receive(1, wait=LONG, lease=LONG)) == ["a"]


async def test_a_server_that_is_away_at_the_start_is_named(own_server: RedisServer) -> None:
    own_server.stop()
    try:
        queue = RedisQueue(own_server.url.replace("://", "://user:secret@"))
        with pytest.raises(Unavailable, match=f"127.0.0.1:{own_server.port}") as raised:
            await queue.__aenter__()
        assert "secret" not in str(raised.value)
    finally:
        own_server.start()


async def test_messages_that_vanish_while_they_wait_and_are_leased_are_no_more(
    queue: RedisQueue, own_server: RedisServer
) -> None:
    await queue.send([message("leased"), message("waits")])
    received = await queue.receive(1, wait=0, lease=LONG)
    await queue.send([message("delayed")], delay=LONG)
    receiving = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG, priorities=[Priority.LOW]))
    async with Redis(port=own_server.port) as server:
        while not (await server.info("clients"))["blocked_clients"]:
            pass
        await server.flushall()
    assert await queue.depth() == dict.fromkeys(Priority, Depth())
    assert await queue.extend(received, LONG) == [False]
    assert await queue.release(received) == [False]
    assert await queue.dead_letter(received[0], "failed") is False
    assert await queue.ack(received) == [False]
    assert await queue.send([message("leased"), message("waits"), message("delayed")]) == [SENT] * 3
    await queue.send([Message("low", 1, 0, priority=Priority.LOW)])
    assert jobs(await asyncio.wait_for(receiving, LONG)) == ["low"]
    assert jobs(await queue.receive(9, wait=0, lease=LONG)) == ["leased", "waits", "delayed"]


async def test_a_server_that_says_nothing_any_more_is_unavailable(
    wire: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, url = wire
    async with RedisQueue(url) as queue:
        monkeypatch.setattr(redis_client, "ANSWER_SECONDS", 0.2)
        line.freeze()
        with pytest.raises(Unavailable, match="does not answer"):
            await queue.send([message("a")])
        line.mend()
        monkeypatch.undo()
        await recovered(queue)
        assert await queue.send([message("b")]) == [SENT]


async def test_a_broken_connection_is_made_anew(wire: tuple[Proxy, str]) -> None:
    line, url = wire
    async with RedisQueue(url) as queue:
        await queue.send([message("a")])
        line.cut()
        await recovered(queue)
        assert jobs(await queue.receive(1, wait=0, lease=LONG)) == ["a"]


@pytest.mark.parametrize("lose", Lose)
async def test_whether_a_lost_call_did_its_work_is_not_guessed(lose: Lose, wire: tuple[Proxy, str]) -> None:
    line, url = wire
    async with RedisQueue(url) as queue:
        await queue.send([message("a")])
        received = await queue.receive(1, wait=0, lease=LONG)
        await queue.ack([])
        line.break_at(b"EVALSHA", lose)
        with pytest.raises(Unavailable):
            await queue.ack(received)
        assert await queue.ack(received) == [lose is Lose.REQUEST]


async def test_a_connection_that_breaks_in_an_examination_is_no_finding(wire: tuple[Proxy, str]) -> None:
    line, url = wire
    async with RedisQueue(url) as queue:
        line.break_at(b"INFO", Lose.REQUEST)
        with pytest.raises(Unavailable):
            await queue.examine()


async def test_what_a_lost_receive_leased_comes_again(wire: tuple[Proxy, str]) -> None:
    line, url = wire
    async with RedisQueue(url) as queue:
        await queue.send([message("a")])
        line.break_at(b"EVALSHA", Lose.ANSWER)
        with pytest.raises(Unavailable):
            await queue.receive(1, wait=0, lease=0.2)
        [received] = await queue.receive(1, wait=LONG, lease=LONG)
        assert (received.message.job, received.deliveries) == ("a", 2)


async def test_a_full_server_refuses_new_messages_and_lets_go_of_those_it_has() -> None:
    with running("--maxmemory-policy", "noeviction") as server:
        async with RedisQueue(server.url) as queue, Redis(port=server.port) as client:
            await queue.send([message(f"{number}") for number in range(8)])
            await queue.send([message("delayed")], delay=0.001)
            early = await queue.receive(1, wait=0, lease=LONG)
            await client.config_set("maxmemory", 1)
            with pytest.raises(Unavailable, match="memory"):
                await queue.send([message("new")])
            with pytest.raises(Unavailable, match="memory"):
                await queue.ping()
            received = [*early, *await queue.receive(3, wait=0, lease=LONG)]
            assert await queue.extend(received, LONG) == [True] * 4
            assert await queue.ack(received[:1]) == [True]
            assert await queue.release(received[1:2]) == [True]
            assert await queue.release(received[2:3], delay=LONG) == [True]
            assert await queue.dead_letter(received[3], "failed")
            assert len(await queue.receive(9, wait=0, lease=LONG)) == 6
            assert (await queue.depth())[Priority.NORMAL] == Depth(in_flight=6, delayed=1, dead=1)
            await client.config_set("maxmemory", 0)
            assert await queue.send([message("new")]) == [SENT]


async def test_jobs_whose_messages_were_lost_with_the_queue_are_sent_again(
    queue: RedisQueue, own_server: RedisServer, tmp_path: Path, hand_clock: Clock
) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    await schema.migrate(url)
    async with (
        SqliteEvents(tmp_path / "store.db") as events,
        SqlStore(open_database(url), events, hand_clock.of_store) as store,
        FileBlobs(tmp_path / "blobs") as blobs,
    ):
        ports = Ports(store, queue, blobs, events)
        accepted = [await accept(ports) for _ in range(3)]
        relay, sweeper = Relay(store, queue), Sweeper(store, queue, blobs)
        assert await relay.relay() == 3
        async with Redis(port=own_server.port) as server:
            await server.flushall()
        hand_clock.advance(LONG)
        for _ in range(2):
            await sweeper.sweep()
        assert await relay.relay() == 3
        assert sorted(jobs(await queue.receive(9, wait=0, lease=LONG))) == sorted(job.id for job in accepted)
        assert {job.state for job in await store.jobs("default", limit=9)} == {State.QUEUED}
