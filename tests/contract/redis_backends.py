"""What the suites need to know of Redis."""

from random import Random
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from tests.contract.conftest import Clock, EventsBackend, QueueBackend

from antiphon.events import Events
from antiphon.events.redis import RedisEvents
from antiphon.messages import DEFAULT_POOL
from antiphon.queue import Queue
from antiphon.queue.redis import RedisQueue


class RedisQueueBackend(QueueBackend):
    """Keys of a prefix of its own, on a server that others use too."""

    lease = 60.0

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.server = request.getfixturevalue("redis_server")
        self.prefix = uuid4().hex
        self.url = f"{self.server}?prefix={self.prefix}"
        self.clock = Clock()

    def connect(self) -> Queue:
        return RedisQueue(self.url, ahead=lambda: self.clock.ahead, random=Random(7))

    async def put(self, body: str, pool: str = DEFAULT_POOL) -> None:
        async with Redis.from_url(self.server) as client:
            await client.xadd(f"{self.prefix}:{{{pool}}}:normal", {"body": body})


class RedisEventsBackend(EventsBackend):
    """Channels of a prefix of its own. Nothing but a notification wakes anybody, so there is no change to commit."""

    change_program = "pass"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.url = f"{request.getfixturevalue('redis_server')}?prefix={uuid4().hex}"

    def connect(self) -> Events:
        return RedisEvents(self.url)

    async def change(self) -> None:
        """Nothing; see above."""
