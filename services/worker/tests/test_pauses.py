"""A worker obeys the pause of its pool: on real embedded ports, with a real slot, in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from services.worker.tests.test_worker import Heard, accept, until, working

from antiphon.errors import Unavailable
from antiphon.jobs import State
from antiphon.pools import Pool
from antiphon.ports import Ports, open_ports
from antiphon.queue.sqlite import SqliteQueue
from antiphon.store.engine import open_database
from antiphon.store.schema import migrate
from antiphon.store.sql import SqlStore
from antiphon_speech.engines import EngineSettings
from antiphon_worker import worker as module
from antiphon_worker.settings import WorkerSettings
from antiphon_worker.slots import Slot, Slots
from antiphon_worker.worker import Worker

SHORT = 0.5
"""Seconds in which a worker that may would have begun a job that waits."""
PATIENCE = 20.0


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(data=tmp_path / "files", scratch=tmp_path, retry_base_seconds=0, drain_seconds=5)


class WatchedQueue(SqliteQueue):
    """Tells how many polls are under way, and what they took."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.polls = 0
        self.changed = asyncio.Event()

    async def receive(self, *arguments: Any, **options: Any) -> Any:
        self.polls += 1
        self.changed.set()
        try:
            return await super().receive(*arguments, **options)
        finally:
            self.polls -= 1
            self.changed.set()

    async def until_polls(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.polls != number:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def ports(settings: WorkerSettings) -> AsyncIterator[Ports]:
    await migrate(settings.store())
    async with open_ports(settings) as ports, WatchedQueue(settings.data / "queue.db") as queue:
        await ports.store.put_pool(Pool())
        yield Ports(ports.store, queue, ports.blobs, ports.events)


@pytest.fixture
def queue(ports: Ports) -> WatchedQueue:
    assert isinstance(ports.queue, WatchedQueue)
    return ports.queue


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def recording(clips: Path) -> bytes:
    return (clips / "bobby.wav").read_bytes()


@asynccontextmanager
async def polling(ports: Ports, settings: WorkerSettings, heard: Heard) -> AsyncIterator[None]:
    """As `working`, for a body in which no job runs: the engines are not loaded, which takes seconds."""
    slots, slot = Slots(0, EngineSettings(), heard), Slot(EngineSettings(), heard)
    slot.start()
    slots.give_back(slot)
    worker = Worker("w1", ports, slots, settings, heard)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run())
        yield
        await worker.drain()
    await slot.stop()


async def available(ports: Ports) -> int:
    return sum(depth.available for depth in (await ports.queue.depth()).values())


async def test_a_pool_that_is_paused_from_the_start_is_not_received_from_until_it_is_resumed(
    ports: Ports, queue: WatchedQueue, settings: WorkerSettings, heard: Heard, recording: bytes
) -> None:
    await ports.store.pause("default", paused=True)
    job = await accept(ports, recording)
    async with working(ports, settings, heard) as worker:
        await asyncio.sleep(SHORT)
        assert (queue.polls, worker.running, await available(ports)) == (0, 0, 1)
        await ports.store.pause("default", paused=False)
        await until(ports, job, State.SUCCEEDED)
    assert heard.attempts == ["done"]


async def test_a_pause_ends_the_poll_under_way_at_once_and_loses_nothing(
    ports: Ports, queue: WatchedQueue, settings: WorkerSettings, heard: Heard, recording: bytes
) -> None:
    async with working(ports, settings, heard):
        await queue.until_polls(1)
        await ports.store.pause("default", paused=True)
        await queue.until_polls(0)
        job = await accept(ports, recording)
        await asyncio.sleep(SHORT)
        assert await available(ports) == 1
        await ports.store.pause("default", paused=False)
        done = await until(ports, job, State.SUCCEEDED)
    assert done.attempt == 1


async def test_what_runs_when_the_pause_comes_goes_on(
    ports: Ports, queue: WatchedQueue, settings: WorkerSettings, heard: Heard, minutes: Path, recording: bytes
) -> None:
    running = await accept(ports, minutes.read_bytes(), ("decode", "pitch"))
    async with working(ports, settings, heard) as worker:
        await until(ports, running, State.RUNNING)
        await ports.store.pause("default", paused=True)
        waiting = await accept(ports, recording)
        await until(ports, running, State.SUCCEEDED)
        await asyncio.sleep(SHORT)
        assert (queue.polls, worker.running) == (0, 0), "the free slot takes nothing new"
        assert (await ports.store.job("default", waiting.id)).state is State.QUEUED
    assert heard.attempts == ["done"]


async def test_many_pauses_and_resumes_lose_no_message_and_no_slot(
    ports: Ports, settings: WorkerSettings, heard: Heard, recording: bytes
) -> None:
    jobs = [await accept(ports, recording, ("decode",)) for _ in range(12)]
    async with working(ports, settings, heard):
        for turn in range(20):
            await ports.store.pause("default", paused=turn % 2 == 0)
            await asyncio.sleep(0.02 * (turn % 4))
        for job in jobs:
            await until(ports, job, State.SUCCEEDED)
    assert heard.attempts == ["done"] * 12


async def test_another_pools_pause_is_none_of_its_business(
    ports: Ports, queue: WatchedQueue, settings: WorkerSettings, heard: Heard
) -> None:
    await ports.store.put_pool(Pool("other"))
    await ports.store.pause("other", paused=True)
    async with polling(ports, settings, heard):
        await queue.until_polls(1)


async def test_a_pool_that_is_not_registered_is_served(
    ports: Ports, queue: WatchedQueue, settings: WorkerSettings, heard: Heard
) -> None:
    async with polling(ports, settings.model_copy(update={"pool": "unheard-of"}), heard):
        await queue.until_polls(1)


async def test_a_worker_of_a_paused_pool_can_be_drained(
    ports: Ports, queue: WatchedQueue, settings: WorkerSettings, heard: Heard
) -> None:
    async with polling(ports, settings, heard):
        await queue.until_polls(1)
        await ports.store.pause("default", paused=True)
        await queue.until_polls(0)
    assert queue.polls == 0


async def test_a_pause_that_nobody_told_of_is_found_by_the_next_look(
    ports: Ports,
    queue: WatchedQueue,
    settings: WorkerSettings,
    heard: Heard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where the wake-up is lost with its backend: the worker listens to the wrong place, and hears nothing."""
    monkeypatch.setattr(module, "PAUSE_LOOK", 0.2)
    elsewhere = WorkerSettings(data=tmp_path / "elsewhere")
    await migrate(elsewhere.store())
    async with (
        open_ports(elsewhere) as deaf,
        polling(Ports(ports.store, queue, ports.blobs, deaf.events), settings, heard),
    ):
        await queue.until_polls(1)
        await ports.store.pause("default", paused=True)
        await queue.until_polls(0)


class Flickering(SqlStore):
    """Does not answer the question after a pool while it is `away`; remembers how often it was asked."""

    away = False
    asked = 0

    async def until_asked(self, times: int) -> None:
        """Wait until it has been asked so often from now on."""
        until = self.asked + times
        async with asyncio.timeout(PATIENCE):
            while self.asked < until:
                self.question.clear()
                await self.question.wait()

    async def open(self) -> None:
        self.question = asyncio.Event()
        await super().open()

    async def pool(self, name: str) -> Pool:
        self.asked += 1
        self.question.set()
        if self.away:
            raise Unavailable("the connection broke")
        return await super().pool(name)


async def test_a_store_that_is_away_changes_nothing_about_a_pause(
    ports: Ports,
    queue: WatchedQueue,
    settings: WorkerSettings,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAUSE_LOOK", 0.05)
    async with Flickering(open_database(settings.store()), ports.events) as store:
        store.away = True
        async with polling(Ports(store, queue, ports.blobs, ports.events), settings, heard):
            await store.until_asked(3)
            assert queue.polls == 0, "whether the pool is paused is not known yet"
            store.away = False
            await queue.until_polls(1)
            store.away = True
            await store.until_asked(3)
            assert queue.polls == 1
            store.away = False
            await ports.store.pause("default", paused=True)
            await queue.until_polls(0)
            store.away = True
            await store.until_asked(3)
            assert queue.polls == 0


async def test_the_store_is_not_asked_without_end_while_others_commit(
    ports: Ports, queue: WatchedQueue, settings: WorkerSettings, heard: Heard
) -> None:
    """Embedded, every commit wakes every listener."""
    clock = asyncio.get_running_loop().time
    async with (
        Flickering(open_database(settings.store()), ports.events) as store,
        polling(Ports(store, queue, ports.blobs, ports.events), settings, heard),
    ):
        await queue.until_polls(1)
        began, before = clock(), store.asked
        for _ in range(200):
            await ports.store.put_pool(Pool())
        assert store.asked - before <= (clock() - began) / module.REST + 2
