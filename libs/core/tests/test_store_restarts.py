"""A PostgreSQL that is killed and comes back while jobs are accepted: what was acknowledged is there, whole."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests import servers
from tests.contract.stores import POLICY, new_job

from antiphon import lifecycle
from antiphon.errors import FenceLost, Unavailable
from antiphon.events.postgresql import PostgresqlEvents
from antiphon.jobs import Claim, Job, State
from antiphon.messages import Message
from antiphon.store import schema
from antiphon.store.base import Store, topic
from antiphon.store.engine import open_database
from antiphon.store.sql import SqlStore

LONG = 60.0
CRASHES = 2
CALLERS = 8


class Server:
    """A PostgreSQL at one address, whose data outlive it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = servers.free_port()

    @contextmanager
    def runs(self) -> Iterator[str]:
        """Ends as in a crash: without a checkpoint, in the middle of whatever it does."""
        with servers.postgres_in(self._directory, self._port, end=signal.SIGQUIT) as url:
            yield url


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="antiphon-restarts-") as directory:
        yield Server(Path(directory))


class Clients:
    """They submit jobs until `stop`, and come back when the store is away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._progress = asyncio.Condition()
        self._tasks = [asyncio.create_task(self._submit()) for _ in range(CALLERS)]
        self.acknowledged: dict[str, Job] = {}
        self.refused = 0

    async def go_on(self) -> None:
        """Return once some more jobs were acknowledged."""
        async with self._progress:
            enough = len(self.acknowledged) + 10
            await self._progress.wait_for(lambda: len(self.acknowledged) >= enough)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _submit(self) -> None:
        while True:
            try:
                job = await self._store.accept(new_job())
            except Unavailable:
                self.refused += 1
                await asyncio.sleep(0.02)
                continue
            self.acknowledged[job.id] = job
            async with self._progress:
                self._progress.notify_all()


async def test_no_acknowledged_job_is_lost_and_none_is_there_by_halves(server: Server) -> None:
    running = server.runs()
    url = await asyncio.to_thread(running.__enter__)
    await schema.migrate(url)
    async with PostgresqlEvents(url) as events, SqlStore(open_database(url), events) as store:
        clients = Clients(store)
        await clients.go_on()
        for _ in range(CRASHES):
            await asyncio.to_thread(running.__exit__, None, None, None)
            running = server.runs()
            await asyncio.to_thread(running.__enter__)
            await clients.go_on()
        await clients.stop()
        kept = {job.id: job for job in await store.jobs("default", limit=100_000)}
        promised = [row.message.job for row in await store.take_outbox(100_000, lease=30)]
        histories = [await store.events("default", job) for job in kept]
    await asyncio.to_thread(running.__exit__, None, None, None)
    assert clients.refused
    assert clients.acknowledged.items() <= kept.items()
    assert sorted(promised) == sorted(kept)
    assert all([event.number for event in history] == [1] for history in histories)


async def test_a_worker_carries_its_claim_over_a_crash_and_listeners_hear_of_the_end(server: Server) -> None:
    with server.runs() as url:
        await schema.migrate(url)
        events = PostgresqlEvents(url)
        store = SqlStore(open_database(url), events)
        await events.open()
        job = await store.accept(new_job())
        claim = partial(lifecycle.claim, message=Message.of(job), worker="w", lease=LONG, policy=POLICY)
        held = Claim.of(await store.change("default", job.id, claim))
        assert held is not None
    async with events.listen(topic(job.id)) as listener:
        with pytest.raises(Unavailable):
            await store.change("default", job.id, partial(lifecycle.beat, claim=held, lease=LONG))
        with server.runs():
            await store.change("default", job.id, partial(lifecycle.finish_leg, claim=held))
            assert await listener.wait(LONG)
            assert (await store.job("default", job.id)).state is State.SUCCEEDED
            with pytest.raises(FenceLost):
                await store.change("default", job.id, partial(lifecycle.finish_leg, claim=held))
            await events.close()
            await store.close()
