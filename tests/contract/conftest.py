"""The adapters under test, and what the suites need to know of their backends. Another adapter is another parameter."""

import abc
import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.contract.s3_backend import s3_blobs
from tests.contract.stores import STORES, Told, opened
from tests.contract.stores import Clock as StoreClock

from antiphon.blobs import Blobs
from antiphon.blobs.files import FileBlobs
from antiphon.events import Events
from antiphon.events.sqlite import SqliteEvents
from antiphon.messages import DEFAULT_POOL, Message
from antiphon.queue import Capability, Depth, Queue, Received
from antiphon.queue.sqlite import SqliteQueue
from antiphon.store import schema
from antiphon.store.base import Store

RunPython = Callable[..., Awaitable[asyncio.subprocess.Process]]


LONG = 60.0
"""Seconds that no test spends: a wait that must be cut short, a lease that must not end."""


def message(job: str = "job", **fields: Any) -> Message:
    """A message of a tenant of its own, unless that is said: no leased one then holds back others, even in order."""
    return Message(job, fields.pop("round", 1), fields.pop("leg", 0), **{"tenant": job, **fields})


def messages(count: int, **fields: Any) -> list[Message]:
    return [message(f"job-{number}", **fields) for number in range(count)]


def jobs(received: Sequence[Received]) -> list[str]:
    return [each.message.job for each in received]


def counted(queue: Queue, depth: Depth) -> Depth | tuple[int, int]:
    """What of a depth can be compared."""
    return depth if Capability.EXACT_DEPTH in queue.capabilities else (depth.alive, depth.dead)


async def drain(queue: Queue, limit: int = 10, *, pool: str = "default") -> list[Received]:
    """Receive until nothing is left; a backend may hand over less than it has."""
    everything: list[Received] = []
    while batch := await queue.receive(limit, wait=0, lease=LONG, pool=pool):
        everything += batch
    return everything


class Clock:
    """The wall clock, which a test can put forward. For a backend with a clock of its own, `advance` has to wait."""

    waits = False

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    async def advance(self, seconds: float) -> None:
        self.ahead += seconds


class QueueBackend(abc.ABC):
    """The queues of one backend. Lives as long as a test."""

    lease: float
    """A lease for tests that wait for its end: short where waiting is real, else long enough for a slow machine."""
    many = 1000
    """Messages for tests of many: fewer where each takes milliseconds."""
    examples = 60
    """Of a sequence of calls."""
    url: str
    """Where another process finds the same queues."""
    clock: Clock

    @abc.abstractmethod
    def connect(self) -> Queue:
        """Another connection to the same queues, not open yet."""

    @abc.abstractmethod
    async def put(self, body: str, pool: str = DEFAULT_POOL) -> None:
        """Queue, at normal priority, what a program of another version or a broken one has sent."""


class SqliteQueueBackend(QueueBackend):
    lease = 60.0

    def __init__(self, directory: Path) -> None:
        self.path = directory / "queue.db"
        self.url = f"sqlite:///{self.path}"
        self.clock = Clock()
        self._bodies = 0

    def connect(self) -> Queue:
        return SqliteQueue(self.path, clock=self.clock, random=Random(7))

    async def put(self, body: str, pool: str = DEFAULT_POOL) -> None:
        self._bodies += 1
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(
                "INSERT INTO message (pool, priority, visible_at, key, body) VALUES (?, 1, ?, ?, ?)",
                (pool, self.clock(), f"body {self._bodies}", body),
            )


class EventsBackend(abc.ABC):
    """The wake-ups of one backend. Lives as long as a test."""

    url: str
    change_program: str
    """`change` as a line of Python for another process."""

    @abc.abstractmethod
    def connect(self) -> Events:
        """Another connection to the same wake-ups, not open yet."""

    @abc.abstractmethod
    async def change(self) -> None:
        """Commit a change to the store, which comes before every notification."""


class SqliteEventsBackend(EventsBackend):
    change_program = (
        "with sqlite3.connect(sys.argv[1][10:]) as store: store.execute('INSERT INTO change DEFAULT VALUES')"
    )

    def __init__(self, directory: Path) -> None:
        self.path = directory / "store.db"
        self.url = f"sqlite:///{self.path}"
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE change (number INTEGER PRIMARY KEY)")

    def connect(self) -> Events:
        return SqliteEvents(self.path)

    async def change(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("INSERT INTO change DEFAULT VALUES")


def _postgresql_events(request: pytest.FixtureRequest) -> EventsBackend:
    from tests.contract.postgresql_backends import PostgresqlEventsBackend

    return PostgresqlEventsBackend(request)


def _redis_events(request: pytest.FixtureRequest) -> EventsBackend:
    from tests.contract.redis_backends import RedisEventsBackend

    return RedisEventsBackend(request)


def _redis_queue(request: pytest.FixtureRequest) -> QueueBackend:
    from tests.contract.redis_backends import RedisQueueBackend

    return RedisQueueBackend(request)


def _sqs_queue(request: pytest.FixtureRequest, *, fifo: bool) -> QueueBackend:
    from tests.contract.sqs_backend import SqsQueueBackend

    return SqsQueueBackend(request, fifo=fifo)


# each takes the test's request, by whose fixtures it gets at its server, and a directory of the test's own
QUEUES: dict[str, Callable[[pytest.FixtureRequest, Path], QueueBackend]] = {
    "sqlite": lambda _, directory: SqliteQueueBackend(directory),
    "redis": lambda request, _: _redis_queue(request),
    "sqs": lambda request, _: _sqs_queue(request, fifo=False),
    "sqs fifo": lambda request, _: _sqs_queue(request, fifo=True),
}
BLOBS: dict[str, Callable[[pytest.FixtureRequest, Path], Blobs]] = {
    "files": lambda _, directory: FileBlobs(directory / "blobs"),
    "s3": lambda request, _: s3_blobs(request),
}
EVENTS: dict[str, Callable[[pytest.FixtureRequest, Path], EventsBackend]] = {
    "sqlite": lambda _, directory: SqliteEventsBackend(directory),
    "postgresql": lambda request, _: _postgresql_events(request),
    "redis": lambda request, _: _redis_events(request),
}


@pytest.fixture(params=QUEUES)
def queues(request: pytest.FixtureRequest, tmp_path: Path) -> QueueBackend:
    return QUEUES[request.param](request, tmp_path)


@pytest.fixture
async def queue(queues: QueueBackend) -> AsyncIterator[Queue]:
    async with queues.connect() as queue:
        yield queue


@pytest.fixture
async def other_queue(queues: QueueBackend, queue: Queue) -> AsyncIterator[Queue]:
    """A second connection to what `queue` is connected to."""
    async with queues.connect() as other:
        yield other


@pytest.fixture
def clock(queues: QueueBackend) -> Clock:
    return queues.clock


@pytest.fixture
def lease(queues: QueueBackend) -> float:
    return queues.lease


@pytest.fixture(params=BLOBS)
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    async with BLOBS[request.param](request, tmp_path) as blobs:
        yield blobs


@pytest.fixture
def store_clock() -> StoreClock:
    return StoreClock()


@pytest.fixture
def told() -> Told:
    """What a store told others of."""
    return Told()


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/deep/store.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(store_url: str, told: Told, store_clock: StoreClock) -> AsyncIterator[Store]:
    await schema.migrate(store_url)
    async with opened(store_url, told, store_clock) as store:
        yield store


@pytest.fixture(params=EVENTS)
def events_backend(request: pytest.FixtureRequest, tmp_path: Path) -> EventsBackend:
    return EVENTS[request.param](request, tmp_path)


@pytest.fixture
async def events(events_backend: EventsBackend) -> AsyncIterator[Events]:
    async with events_backend.connect() as events:
        yield events


@pytest.fixture
async def other_events(events_backend: EventsBackend, events: Events) -> AsyncIterator[Events]:
    """A second connection to what `events` is connected to."""
    async with events_backend.connect() as other:
        yield other


@pytest.fixture
async def run_python() -> AsyncIterator[RunPython]:
    """Runs a program in a process of its own, which has ended when the test has."""
    async with AsyncExitStack() as stack:

        async def run(program: str, *arguments: str) -> asyncio.subprocess.Process:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", program, *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            stack.push_async_callback(end, process)
            return process

        async def end(process: asyncio.subprocess.Process) -> None:
            if process.returncode is None:
                process.kill()
            await process.communicate()

        yield run
