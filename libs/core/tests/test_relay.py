import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from libs.core.tests.conftest import Clock, accept

from antiphon.messages import Message
from antiphon.ports import Ports
from antiphon.queue import SendOutcome
from antiphon.queue.sqlite import SqliteQueue
from antiphon.relay import LEASE, Relay


async def waiting(ports: Ports) -> int:
    return sum(depth.available for depth in (await ports.queue.depth()).values())


async def test_what_is_accepted_is_sent_once_and_leaves_the_outbox(ports: Ports) -> None:
    jobs = [await accept(ports) for _ in range(3)]
    relay = Relay(ports.store, ports.queue)
    assert await relay.relay() == 3
    assert await relay.relay() == 0
    received = await ports.queue.receive(9, wait=0, lease=30)
    assert [item.message for item in received] == [Message.of(job) for job in jobs]


async def test_what_a_relay_took_and_never_sent_is_sent_by_another_after_its_lease(
    ports: Ports, hand_clock: Clock
) -> None:
    await accept(ports)
    assert len(await ports.store.take_outbox(10, lease=LEASE)) == 1  # and this relay is killed
    relay = Relay(ports.store, ports.queue)
    assert await relay.relay() == 0
    hand_clock.advance(LEASE + 0.1)
    assert await relay.relay() == 1


class RefusesTheFirst(SqliteQueue):
    """A queue that takes all of a batch but its first message, as SQS may."""

    async def send(self, messages: Sequence[Message], *, delay: float = 0.0) -> list[SendOutcome]:
        return [SendOutcome.FAILED, *await super().send(messages[1:], delay=delay)]


async def test_what_the_queue_refused_is_sent_after_the_lease(ports: Ports, tmp_path: Path, hand_clock: Clock) -> None:
    refused, taken = await accept(ports), await accept(ports)
    async with RefusesTheFirst(tmp_path / "queue.db", clock=hand_clock) as queue:
        assert await Relay(ports.store, queue).relay() == 1
    hand_clock.advance(LEASE + 0.1)
    assert await Relay(ports.store, ports.queue).relay() == 1
    received = await ports.queue.receive(9, wait=0, lease=30)
    assert [item.message.job for item in received] == [taken.id, refused.id]


async def test_what_was_sent_and_not_dropped_is_queued_once(ports: Ports, hand_clock: Clock) -> None:
    await accept(ports)
    [row] = await ports.store.take_outbox(10, lease=LEASE)
    await ports.queue.send([row.message])  # and this relay is killed before it drops the row
    hand_clock.advance(LEASE + 0.1)
    assert await Relay(ports.store, ports.queue).relay() == 1
    assert await waiting(ports) == 1


async def test_a_running_relay_is_woken_by_an_acceptance(ports: Ports) -> None:
    relay = asyncio.create_task(Relay(ports.store, ports.queue).run())
    async with asyncio.timeout(10):
        job = await accept(ports)
        [received] = await ports.queue.receive(1, wait=10, lease=30)
    assert received.message == Message.of(job)
    relay.cancel()


async def test_a_relay_outlives_a_queue_that_is_away(ports: Ports, tmp_path: Path, hand_clock: Clock) -> None:
    for file in tmp_path.glob("queue.db*"):
        file.unlink()
    (tmp_path / "queue.db").mkdir()
    relay = asyncio.create_task(Relay(ports.store, ports.queue).run())
    await accept(ports)
    async with asyncio.timeout(20), ports.events.listen("anything") as listener:
        while await ports.store.take_outbox(1, lease=0.0):  # until the relay has taken the row, and failed
            await listener.wait(0.02)
        (tmp_path / "queue.db").rmdir()
        hand_clock.advance(LEASE + 0.1)
        received = await ports.queue.receive(1, wait=15, lease=30)
    assert len(received) == 1
    assert not relay.done()
    relay.cancel()


async def test_a_promised_message_of_a_newer_version_is_left_to_programs_of_that_version(
    ports: Ports, tmp_path: Path
) -> None:
    newer, job = await accept(ports), await accept(ports)
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection, connection:
        connection.execute("UPDATE outbox SET body = replace(body, '\"v\":1', '\"v\":2') WHERE job = ?", (newer.id,))
    assert await Relay(ports.store, ports.queue).relay() == 1
    [received] = await ports.queue.receive(9, wait=0, lease=30)
    assert received.message.job == job.id
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert connection.execute("SELECT job FROM outbox").fetchall() == [(newer.id,)]
