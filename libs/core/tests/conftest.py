"""Real embedded ports in a temporary directory, with the time in a test's hands."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection
from tests.aws_faults import Faults, faulty
from tests.contract.s3_backend import new_bucket

from antiphon.blobs.files import FileBlobs
from antiphon.events.sqlite import SqliteEvents
from antiphon.ids import new_id
from antiphon.jobs import Job, Leg, Priority, Source, State
from antiphon.ports import Ports
from antiphon.queue.sqlite import SqliteQueue
from antiphon.store import schema
from antiphon.store.engine import open_database
from antiphon.store.sql import SqlStore


class Clock:
    """The time of store and queue alike."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def of_store(self, _: Connection) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def hand_clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(aws_server: str, aws_credentials: None) -> str:
    """The name of a bucket of this test's own."""
    return new_bucket(aws_server)


@pytest.fixture
async def faults(aws_server: str) -> AsyncIterator[Faults]:
    """A way to what stands in for AWS that fails as a test tells it to."""
    async with faulty(aws_server) as faults:
        yield faults


@pytest.fixture
async def ports(tmp_path: Path, hand_clock: Clock) -> AsyncIterator[Ports]:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    await schema.migrate(url)
    async with AsyncExitStack() as stack:
        events = await stack.enter_async_context(SqliteEvents(tmp_path / "store.db"))
        store = await stack.enter_async_context(SqlStore(open_database(url), events, hand_clock.of_store))
        queue = await stack.enter_async_context(SqliteQueue(tmp_path / "queue.db", clock=hand_clock))
        blobs = await stack.enter_async_context(FileBlobs(tmp_path / "blobs"))
        yield Ports(store, queue, blobs, events)


async def accept(ports: Ports, **fields: object) -> Job:
    """A job that was accepted a moment ago."""
    job_id = new_id()
    job = Job(
        id=job_id,
        tenant="default",
        state=State.QUEUED,
        priority=Priority.NORMAL,
        source=Source(f"standard/default/{job_id}/source", "x.wav", 10, "0" * 64),
        options={},
        legs=(Leg("default", ("decode",)),),
        created_at=0.0,
    )
    return await ports.store.accept(replace(job, **fields))  # type: ignore[arg-type]
