"""Wake-ups through the publish and subscribe of Redis or Valkey, over one subscribed connection per process.

A topic is a channel, to which a process subscribes while somebody in it listens, so that a thousand workers do not hear
of each other's jobs. In a cluster every node hands a message on to all others, so any of them will do
(https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#pubsub). Databases share the channels:
installations that share a server need a prefix each.

- `notify` leaves the publishing to a task, which sends all topics that have gathered meanwhile in one round trip. So no
  change in the store waits for Redis, or fails with it. What cannot be told is told when Redis is back.
- Whoever is not subscribed hears nothing (https://redis.io/docs/latest/develop/pubsub/#delivery-semantics). After a
  lost connection, whoever listens is therefore woken, having perhaps missed something.
"""

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import structlog
from redis.asyncio import Redis

from antiphon.errors import Unavailable
from antiphon.events.base import Events, Listener
from antiphon.events.listeners import Listeners
from antiphon.redis_client import REFUSED, Server, close

MOST_UNTOLD = 10_000
"""Topics that are kept while nobody can be told; beyond that everybody is woken."""
LOOK = 10.0
"""Seconds after which a silent connection is asked whether it still is one, and after as many more given up."""
BACKOFF = 5.0
"""Seconds between two attempts to reach Redis, at most."""
PARTING = 2.0
"""Seconds that `close` has to tell what is still untold."""

_SETTING = "ANTIPHON_EVENTS_URL"

log = structlog.get_logger(__name__)


class RedisEvents(Events):
    """Notifies and listens on the server at `url`, which need not have anything to do with the store's."""

    def __init__(self, url: str, random: Random | None = None) -> None:
        self._server = Server.at(url, _SETTING)
        self._random = random or Random()
        self._name = secrets.token_bytes(8)
        self._everybody = f"{self._server.prefix}:everybody".encode()
        self._topics = f"{self._server.prefix}:topic:".encode()
        self._listeners = Listeners()
        self._channels: Counter[bytes] = Counter()
        self._untold: set[bytes] = set()
        self._stirred = asyncio.Event()
        self._nodes: list[Redis] = []
        self._connection: Any = None
        self._unanswered: deque[Callable[[], None]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._turn = 0
        self._failures = 0

    async def open(self) -> None:
        self._nodes = self._server.nodes()
        connection = await self._connect_anywhere()
        self._tasks = [asyncio.create_task(self._listen(connection)), asyncio.create_task(self._tell())]

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connection is not None:
            await self._leave(self._connection)
        self._listeners.end()
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(PARTING):
                await self._publish()
        nodes, self._nodes = self._nodes, []
        for node in nodes:
            await close(node)

    async def ping(self) -> None:
        node = self._node()
        async with self._server.answering():
            await node.publish(f"{self._server.prefix}:ping", b"")

    async def notify(self, topics: Collection[str]) -> None:
        self._listeners.wake(topics)  # those of this process need not wait for the server
        self._untold.update(map(self._channel, topics))
        if len(self._untold) > MOST_UNTOLD:
            self._untold = {self._everybody}
        self._stirred.set()

    @asynccontextmanager
    async def listen(self, topic: str) -> AsyncIterator[Listener]:
        self._node()
        channel = self._channel(topic)
        with self._listeners.enter(topic) as listener:
            self._channels[channel] += 1
            try:
                await self._subscribe(channel)
                yield listener
            finally:
                self._channels[channel] -= 1
                if not self._channels[channel]:
                    del self._channels[channel]
                    await self._ask("UNSUBSCRIBE", [channel], _nothing)

    async def _subscribe(self, channel: bytes) -> None:
        """Return once the server has heard of it. While the server is away that is later, with a wake-up."""
        subscribed = asyncio.Event()
        if await self._ask("SUBSCRIBE", [channel], subscribed.set):
            await subscribed.wait()

    async def _ask(self, command: str, channels: Collection[bytes], then: Callable[[], None]) -> bool:
        """Send a command, whose last answer calls `then`; so does the loss of the connection. False without one."""
        connection = self._connection
        if connection is None or not channels:
            return False
        self._unanswered += [*[_nothing] * (len(channels) - 1), then]
        with suppress(*REFUSED):  # who reads from the connection finds it lost
            await connection.send_command(command, *channels)
        return True

    async def _connect_anywhere(self) -> Any:
        """A subscribed connection, to whichever node of a cluster takes it. Raises Unavailable."""
        for _ in self._nodes[1:]:
            with suppress(Unavailable):
                return await self._connect()
        return await self._connect()

    async def _connect(self) -> Any:
        connection = self._node().connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with self._server.answering():
                await connection.connect()
                await connection.send_command("SUBSCRIBE", self._everybody)
                await connection.read_response()
        except BaseException:
            self._turn += 1  # another node of a cluster may be there
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        return connection

    async def _listen(self, connection: Any) -> None:
        """Hear over one connection after the other, until cancelled."""
        while True:
            try:
                await self._hear(connection)
            except REFUSED as error:
                log.warning("wake-ups pause until Redis is back; listeners look by themselves", error=str(error))
            await self._leave(connection)
            connection = await self._reconnect()
            if not await self._ask("SUBSCRIBE", list(self._channels), self._listeners.wake_all):
                self._listeners.wake_all()

    async def _leave(self, connection: Any) -> None:
        self._connection = None
        await connection.disconnect(nowait=True)
        while self._unanswered:
            self._unanswered.popleft()()

    async def _hear(self, connection: Any) -> None:
        asked = False
        while True:
            heard = await connection.read_response(timeout=LOOK)
            if heard is not None:
                asked = False
                self._heard(*heard)
            elif asked:
                raise TimeoutError(f"no answer in {LOOK:.0f} s")
            else:
                asked = True
                await connection.send_command("PING")

    def _heard(self, kind: bytes, channel: bytes, content: Any = None) -> None:
        if kind in {b"subscribe", b"unsubscribe"}:
            self._unanswered.popleft()()
            return
        self._failures = 0  # it lasts
        if kind == b"message" and channel == self._everybody:
            self._listeners.wake_all()
        elif kind == b"message" and content != self._name:  # our own were told in `notify`
            self._listeners.wake([channel.removeprefix(self._topics).decode("utf-8", "surrogatepass")])

    async def _reconnect(self) -> Any:
        while True:
            await self._pause(self._failures)
            self._failures += 1
            with suppress(Unavailable):
                return await self._connect()

    async def _tell(self) -> None:
        """Publish what is untold, whenever something is, until cancelled."""
        failures = 0
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            try:
                await self._publish()
                failures = 0
            except Unavailable as error:
                if failures == 0:
                    log.warning("others are told of changes once Redis is back", error=str(error))
                await self._pause(failures)
                failures += 1
                self._stirred.set()

    async def _publish(self) -> None:
        telling, self._untold = self._untold, set()
        try:
            async with self._server.answering(), self._node().pipeline(transaction=False) as pipeline:
                for channel in telling:
                    pipeline.publish(channel, self._name)
                await pipeline.execute()
        except BaseException:
            self._untold |= telling
            raise

    async def _pause(self, failures: int) -> None:
        await asyncio.sleep(self._random.uniform(0, min(BACKOFF, 0.1 * 2 ** min(failures, 10))))

    def _channel(self, topic: str) -> bytes:
        return self._topics + topic.encode("utf-8", "surrogatepass")

    def _node(self) -> Redis:
        if not self._nodes:
            raise Unavailable(f"the events of {self._server.shown} are closed")
        return self._nodes[self._turn % len(self._nodes)]


def _nothing() -> None:
    """What follows an answer that nobody waits for."""
