"""What the suites of the store share. Another adapter is a name in STORES, and a branch of the fixture `store_url`."""

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial

from sqlalchemy.engine import Connection

from antiphon import lifecycle
from antiphon.events.base import Events, Listener
from antiphon.ids import new_id
from antiphon.jobs import Artifact, Claim, Job, Leg, Priority, Source, State
from antiphon.messages import Message
from antiphon.retry import RetryPolicy
from antiphon.store.base import Store
from antiphon.store.engine import open_database
from antiphon.store.sql import SqlStore

STORES = ["sqlite", "postgresql"]
POLICY = RetryPolicy(attempts=3)


class Clock:
    """The database's time, in the hands of a test."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self, _: Connection) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Told(Events):
    """Remembers what it was told; the wake-ups themselves have a suite of their own."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def ping(self) -> None: ...

    async def notify(self, topics: Collection[str]) -> None:
        self.topics += topics

    def listen(self, topic: str) -> AbstractAsyncContextManager[Listener]:
        raise AssertionError(f"the store listens to nothing, not to {topic}")


@asynccontextmanager
async def opened(url: str, told: Told, clock: Clock) -> AsyncIterator[Store]:
    async with SqlStore(open_database(url), told, clock) as store:
        yield store


def new_job(**fields: object) -> Job:
    job = Job(
        id=new_id(),
        tenant="default",
        state=State.QUEUED,
        priority=Priority.NORMAL,
        source=Source("standard/default/x/source", "x.wav", 10, "0" * 64),
        options={"pipeline": "full"},
        legs=(Leg("default", ("decode", "transcribe")),),
        created_at=0.0,
        metadata={"colour": "blue"},
    )
    return replace(job, **fields)  # type: ignore[arg-type]


async def claim(store: Store, job: Job, worker: str = "w1", lease: float = 30.0) -> tuple[Job, Claim]:
    decide = partial(lifecycle.claim, message=Message.of(job), worker=worker, lease=lease, policy=POLICY)
    running = await store.change(job.tenant, job.id, decide)
    held = Claim.of(running)
    assert held is not None
    return running, held


def artifact(name: str, fence: int = 1, stage: str = "decode") -> Artifact:
    return Artifact(name, stage, "application/json", 3, "0" * 64, f"standard/default/x/{fence}/{name}", fence, 0.5)
