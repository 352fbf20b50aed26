"""Antiphon: `RedisQueue`, with a task for each message that was received, on the event loop that the worker has."""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

from antiphon.ids import new_id
from antiphon.messages import Message
from antiphon.queue import Queue, Received, open_queue
from antiphon_cli.bench.queue.peers.base import System

LIMIT = 100
"""Messages received at once; as many as taskiq reads and runs at once."""
SENT_AT_ONCE = 1000
LEASE = 60.0
LONG_POLL = 20.0


class InBatches(System):
    """Acks what it received together, once all of it is handled."""

    def send(self, jobs: int) -> None:
        asyncio.run(self._send([Message(new_id(), round=1, leg=0) for _ in range(jobs)]))

    async def _send(self, messages: Sequence[Message]) -> None:
        async with open_queue(self.url) as queue:
            for start in range(0, len(messages), SENT_AT_ONCE):
                await queue.send(messages[start : start + SENT_AT_ONCE])

    def work(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> NoReturn:
        async with open_queue(self.url) as queue:
            while True:
                await self._handle(queue, await queue.receive(LIMIT, wait=LONG_POLL, lease=LEASE))

    async def _handle(self, queue: Queue, received: Sequence[Received]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in received:
                tasks.create_task(self._job())
        await queue.ack(received)

    async def _job(self) -> None:
        self.handled()


class OneByOne(InBatches):
    """Acks each message by itself, as the worker does, whose jobs end at different times."""

    async def _handle(self, queue: Queue, received: Sequence[Received]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for message in received:
                tasks.create_task(self._see_through(queue, message))

    async def _see_through(self, queue: Queue, message: Received) -> None:
        await self._job()
        await queue.ack([message])
