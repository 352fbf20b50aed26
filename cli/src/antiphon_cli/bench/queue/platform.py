"""Whole no-op jobs through the platform: accepted, relayed, received, claimed, finished, acked, with every event told.

Submitters, relay and worker share one process and one event loop, as nothing else is to be measured: no HTTP, no
recording, no stage. The peer is the same database under its bare driver (`bare.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from antiphon import lifecycle
from antiphon.errors import Unavailable
from antiphon.events import open_events
from antiphon.ids import new_id
from antiphon.jobs import Claim, Job, Leg, Priority, Source, State
from antiphon.messages import DEFAULT_POOL, Message
from antiphon.queue import Queue, Received, open_queue
from antiphon.relay import BATCH, Relay
from antiphon.retry import RetryPolicy
from antiphon.store import schema
from antiphon.store.base import Store
from antiphon.store.engine import Database, open_database
from antiphon.store.sql import SqlStore
from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.programs import stand
from antiphon_cli.bench.queue import bare
from antiphon_cli.bench.report import Against, BenchError, Figure, LeftOut, Measured, Spread, Target
from antiphon_cli.bench.sampling import Tell, in_turn, median
from antiphon_cli.bench.servers import NotInstalled, postgres_or_own, redis_or_own

ROUNDS = 5
JOBS = 300
WIDTHS = (1, 32)
"""How many submitters there are, and how many slots."""
LEASE = 60.0
PATIENCE = 60.0
POLICY = RetryPolicy(attempts=3)
PARTS = Measured(3.0, Spread(3.0, 3.0, "by design"))
AT_MOST_THREE = Target("value", "<=", 3.0)

Run = Callable[[int, int], Awaitable[None]]
"""Takes so many jobs through, so many at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the platform keeps its work."""

    name: str
    store: str
    queue: str


def platforms(effort: Effort, tell: Tell) -> list[Figure | LeftOut]:
    """Jobs a second, and transactions a job, on SQLite and on PostgreSQL. Raises BenchError."""
    with stand() as here:
        embedded = Place("SQLite", f"sqlite:///{here.directory / 'store.db'}", _file(here.directory / "queue.db"))
        figures: list[Figure | LeftOut] = [*_figures(effort, tell, embedded, bare.sqlite(here.directory / "bare.db"))]
        try:
            with postgres_or_own(effort.postgres_url) as url, _queue(effort, here.directory) as (queue_name, queue):
                served = Place(f"PostgreSQL and {queue_name}", url, queue)
                figures += _figures(effort, tell, served, bare.postgresql(url))
        except NotInstalled as error:
            figures.append(LeftOut("the full platform on PostgreSQL", str(error)))
    return figures


@contextmanager
def _queue(effort: Effort, directory: Path) -> Iterator[tuple[str, str]]:
    """A queue beside PostgreSQL: its name and its URL."""
    try:
        with redis_or_own(effort.redis_url) as url:
            yield "Redis", url
    except NotInstalled:
        yield "an SQLite queue", _file(directory / "queue-beside.db")


def _file(path: Path) -> str:
    return f"sqlite:///{path}"


def _figures(effort: Effort, tell: Tell, place: Place, floor: Run) -> Iterator[Figure]:
    jobs = effort.of(JOBS, 40)
    with asyncio.Runner() as runner:
        runner.run(schema.migrate(place.store))
        try:
            yield from _measured(runner, effort, tell, place, floor, jobs)
        finally:
            runner.run(schema.migrate(place.store, to="base"))


def _measured(
    runner: asyncio.Runner, effort: Effort, tell: Tell, place: Place, floor: Run, jobs: int
) -> Iterator[Figure]:
    def rate(run: Run, width: int) -> float:
        return jobs / runner.run(_timed(run, jobs, width))

    whole = partial(_whole, place)
    sides = {(run, width): partial(rate, run, width) for width in WIDTHS for run in (whole, floor)}
    found = in_turn(sides, effort.rounds(ROUNDS), lambda what: tell(f"platform on {place.name}, {what}"))
    for width in WIDTHS:
        peer = Against("its bare driver, three transactions a job", median(found[floor, width]))
        yield Figure(f"full platform on {place.name}, {width} at once", "jobs/s", median(found[whole, width]), peer)
    for width in WIDTHS:
        each = runner.run(_transactions(place, jobs, width))
        yield Figure(
            f"store transactions on {place.name}, {width} at once",
            "a job",
            Measured(each, Spread(each, each, f"of {jobs} jobs")),
            Against("accept, claim, commit", PARTS),
            AT_MOST_THREE,
        )


async def _timed(run: Run, jobs: int, width: int) -> float:
    """Seconds."""
    begin = perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            await run(jobs, width)
    except (TimeoutError, Unavailable) as error:
        raise BenchError(f"{jobs} jobs did not get through in {PATIENCE:g} s: {error}") from error
    return perf_counter() - begin


async def _whole(place: Place, jobs: int, width: int) -> None:
    """From the first submission to the last ack."""
    async with _opened(place) as (_, store), open_queue(place.queue) as queue:
        relaying = asyncio.create_task(Relay(store, queue).run())
        try:
            await asyncio.gather(_submit(store, jobs, width), _work(store, queue, jobs, width))
        finally:
            relaying.cancel()
            await asyncio.wait([relaying])


async def _transactions(place: Place, jobs: int, width: int) -> float:
    """How many a job takes; the relay's are not counted, and no queue is needed."""
    async with _opened(place) as (database, store):
        begin = database.commits
        await _submit(store, jobs, width)
        accepted = database.commits - begin
        promised = []
        while rows := await store.take_outbox(BATCH, lease=LEASE):
            promised += rows
            await store.drop_outbox([row.id for row in rows])
        begin = database.commits
        await _each(jobs, width, lambda number: _run(store, promised[number].message))
        return (accepted + database.commits - begin) / jobs


@asynccontextmanager
async def _opened(place: Place) -> AsyncIterator[tuple[Database, Store]]:
    database = open_database(place.store)
    async with open_events(place.store) as events, SqlStore(database, events) as store:
        yield database, store


async def _submit(store: Store, jobs: int, width: int) -> None:
    await _each(jobs, width, lambda _: store.accept(_job()))


async def _each(count: int, width: int, do: Callable[[int], Awaitable[object]]) -> None:
    """Call `do` for 0, 1, 2 ..., `width` at once."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await do(number)

    await asyncio.gather(*(some() for _ in range(width)))


async def _work(store: Store, queue: Queue, jobs: int, slots: int) -> None:
    """As a worker does: receive no more than there are free slots, run each, ack it."""
    free = asyncio.Semaphore(slots)

    async def serve(received: Received) -> None:
        await _run(store, received.message)
        await queue.ack([received])
        free.release()

    begun = 0
    async with asyncio.TaskGroup() as tasks:
        while begun < jobs:
            await free.acquire()
            wanted = 1
            while not free.locked():
                await free.acquire()
                wanted += 1
            batch = await queue.receive(wanted, wait=20.0, lease=LEASE)
            begun += len(batch)
            for _ in range(wanted - len(batch)):
                free.release()
            for received in batch:
                tasks.create_task(serve(received))


async def _run(store: Store, message: Message) -> None:
    """Claim the job, do nothing, commit its end."""
    claim = partial(lifecycle.claim, message=message, worker="bench", lease=LEASE, policy=POLICY)
    held = Claim.of(await store.change(message.tenant, message.job, claim))
    if held is None:
        raise BenchError("a job of the bench was not to be had")
    await store.change(message.tenant, message.job, partial(lifecycle.finish_leg, claim=held))


def _job() -> Job:
    job = new_id()
    return Job(
        id=job,
        tenant="default",
        state=State.QUEUED,
        priority=Priority.NORMAL,
        source=Source(f"standard/default/{job}/source", "noop.wav", 0, "0" * 64),
        options={},
        legs=(Leg(DEFAULT_POOL, ("decode",)),),
        created_at=0.0,
    )
