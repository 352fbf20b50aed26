"""The store on SQL, through SQLAlchemy Core: SQLite when embedded, PostgreSQL where many share it.

Every change of a job is one transaction: read its row under a lock, let a pure function of `lifecycle.py` decide, write
the row, the event that tells the change, the outbox row and the artifacts. So there is one place that writes.

SQLite has one writer at a time, for the whole file. Writers of this process therefore queue on an asyncio lock, which
is fair and wakes at once, and only processes compete through SQLite's busy handler, which sleeps in growing steps.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from antiphon import lifecycle, messages
from antiphon.admission import Backlog
from antiphon.errors import IdempotencyMismatch, JobDeleted, JobNotFound, Unavailable
from antiphon.events.base import Events
from antiphon.jobs import Artifact, Event, Job, State
from antiphon.lifecycle import Change
from antiphon.pools import Pool
from antiphon.store import rows, schema
from antiphon.store.base import OUTBOX, Census, Decision, OutboxRow, Store, Tombstone, topic
from antiphon.store.engine import READS, Clock
from antiphon.store.tables import artifacts, events, idempotency_keys, jobs, outbox, pools, tombstones

IDEMPOTENCY_SECONDS = 24 * 3600
RESEND_SECONDS = 3600
RATE_SECONDS = 3600
RATE_JOBS = 50
"""The mean run time is that of at most so many jobs that succeeded within so many seconds."""

_LIVING = (State.QUEUED.value, State.RUNNING.value)
_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class SqlStore(Store):
    """`clock` reads the time inside a transaction; `events` is told of what was committed."""

    def __init__(self, engine: AsyncEngine, events: Events, clock: Clock) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**{READS: True})
        self._events = events
        self._clock = clock
        self._insert = _INSERT[engine.dialect.name]
        self._turn = asyncio.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    async def open(self) -> None:
        async with self._reading() as connection:
            await schema.require_current(connection)

    async def close(self) -> None:
        await self._engine.dispose()

    async def ping(self) -> None:
        async with self._reading() as connection:
            await connection.execute(sa.select(sa.literal(1)))

    async def accept(self, job: Job) -> Job:
        async with self._writing() as (connection, now):
            if job.idempotency_key is not None:
                first = await self._first_use(connection, job, job.idempotency_key, now)
                if first is not None:
                    return first
            change = lifecycle.accept(job, now)
            await connection.execute(sa.insert(jobs).values(rows.of_job(change.job)))
            await self._write_parts(connection, change)
        await self._tell(change)
        return change.job

    async def change(self, tenant: str, job: str, decide: Decision) -> Job:
        async with self._writing() as (connection, now):
            before = await self._row(connection, tenant, job, lock=True)
            change = decide(before, now)
            if change == Change(before):
                return before
            await self._write(connection, change, now)
        await self._tell(change)
        return change.job

    async def job(self, tenant: str, job: str) -> Job:
        async with self._reading() as connection:
            return await self._row(connection, tenant, job)

    async def jobs(
        self,
        tenant: str,
        *,
        limit: int,
        states: Collection[State] = (),
        created_after: float | None = None,
        created_before: float | None = None,
        before: str | None = None,
    ) -> list[Job]:
        query = sa.select(jobs).where(jobs.c.tenant == tenant).order_by(jobs.c.id.desc()).limit(limit)
        if states:
            query = query.where(jobs.c.state.in_([state.value for state in states]))
        if created_after is not None:
            query = query.where(jobs.c.created_at >= created_after)
        if created_before is not None:
            query = query.where(jobs.c.created_at < created_before)
        if before is not None:
            query = query.where(jobs.c.id < before)
        return [rows.job(row) for row in await self._all(query)]

    async def events(self, tenant: str, job: str, *, after: int = 0) -> list[Event]:
        await self.job(tenant, job)
        query = sa.select(events).where(events.c.job == job, events.c.number > after).order_by(events.c.number)
        return [rows.event(row) for row in await self._all(query)]

    async def artifacts(self, tenant: str, job: str) -> list[Artifact]:
        query = (
            sa.select(artifacts)
            .join(jobs, jobs.c.id == artifacts.c.job)
            .where(artifacts.c.job == job, jobs.c.tenant == tenant)
            .order_by(artifacts.c.id)
        )
        found = [rows.artifact(row) for row in await self._all(query)]
        return list({artifact.name: artifact for artifact in found}.values())

    async def take_outbox(self, limit: int, *, lease: float) -> list[OutboxRow]:
        if not await self._all(sa.select(outbox.c.id).limit(1)):
            return []
        async with self._writing() as (connection, now):
            free = (
                sa.select(outbox.c.id)
                .where(outbox.c.leased_until <= now)
                .order_by(outbox.c.id)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
            taken = await connection.execute(
                sa.update(outbox)
                .where(outbox.c.id.in_(free.scalar_subquery()))
                .values(leased_until=now + lease)
                .returning(outbox.c.id, outbox.c.body)
            )
            found = sorted(taken.all())
        return [OutboxRow(row.id, messages.decode(row.body)) for row in found]

    async def drop_outbox(self, ids: Sequence[int]) -> None:
        async with self._writing() as (connection, _):
            await connection.execute(sa.delete(outbox).where(outbox.c.id.in_(ids)))

    async def census(self, *, grace: float) -> list[Census]:
        now = await self._now()
        unsent = sa.exists().where(outbox.c.job == jobs.c.id)
        living = (
            sa.select(jobs.c.pool, sa.func.count().label("jobs"))
            .where(jobs.c.state.in_(_LIVING), ~unsent)
            .group_by(jobs.c.pool)
        )
        expected = {row.pool: row.jobs for row in await self._all(living)}
        lost = (
            sa.select(jobs.c.pool, jobs.c.tenant, jobs.c.id)
            .where(jobs.c.state.in_(_LIVING), jobs.c.due_at < now - grace, ~unsent)
            .where(jobs.c.lease_until.is_(None) | (jobs.c.lease_until < now - grace))
            .where(jobs.c.resent_at.is_(None) | (jobs.c.resent_at < now - RESEND_SECONDS))
            .order_by(jobs.c.id)
            .limit(1000)
        )
        overdue: dict[str, list[tuple[str, str]]] = {}
        for row in await self._all(lost):
            overdue.setdefault(row.pool, []).append((row.tenant, row.id))
        return [Census(pool, count, tuple(overdue.get(pool, ()))) for pool, count in sorted(expected.items())]

    async def resend(self, tenant: str, job: str) -> bool:
        async with self._writing() as (connection, now):
            before = await self._row(connection, tenant, job, lock=True)
            change = lifecycle.resend(before, now)
            fresh = await connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == job)
                .where(jobs.c.resent_at.is_(None) | (jobs.c.resent_at < now - RESEND_SECONDS))
                .values(resent_at=now)
            )
            if change.send is None or fresh.rowcount == 0:
                return False
            await self._write(connection, change, now)
        await self._tell(change)
        return True

    async def expired(self, limit: int) -> list[tuple[str, str]]:
        query = (
            sa.select(jobs.c.tenant, jobs.c.id)
            .where(jobs.c.expires_at <= await self._now(), jobs.c.state.in_(_LIVING))
            .limit(limit)
        )
        return [(row.tenant, row.id) for row in await self._all(query)]

    async def tombstones(self, limit: int, *, age: float) -> list[Tombstone]:
        query = (
            sa.select(tombstones)
            .where(~tombstones.c.swept, tombstones.c.deleted_at <= await self._now() - age)
            .limit(limit)
        )
        return [Tombstone(row.job, row.tenant) for row in await self._all(query)]

    async def sweep_tombstone(self, tombstone: Tombstone) -> None:
        async with self._writing() as (connection, _):
            await connection.execute(sa.update(tombstones).where(tombstones.c.job == tombstone.job).values(swept=True))

    async def put_pool(self, pool: Pool) -> None:
        values = rows.of_pool(pool)
        async with self._writing() as (connection, _):
            await connection.execute(
                self._insert(pools).values(values).on_conflict_do_update(index_elements=["name"], set_=values)
            )

    async def pools(self) -> list[Pool]:
        return [rows.pool(row) for row in await self._all(sa.select(pools).order_by(pools.c.name))]

    async def backlog(self, pool: str) -> Backlog:
        now = await self._now()
        waiting = sa.and_(jobs.c.pool == pool, jobs.c.state == State.QUEUED.value)
        lately = (
            sa.select((jobs.c.finished_at - jobs.c.started_at).label("seconds"))
            .where(jobs.c.pool == pool, jobs.c.state == State.SUCCEEDED.value, jobs.c.finished_at > now - RATE_SECONDS)
            .order_by(jobs.c.finished_at.desc())
            .limit(RATE_JOBS)
            .subquery()
        )
        running = sa.and_(jobs.c.pool == pool, jobs.c.state == State.RUNNING.value)
        [row] = await self._all(
            sa.select(
                sa.select(sa.func.count()).select_from(jobs).where(waiting).scalar_subquery(),
                sa.select(sa.func.count()).select_from(jobs).where(running).scalar_subquery(),
                sa.select(sa.func.min(jobs.c.due_at)).where(waiting).scalar_subquery(),
                sa.select(sa.func.avg(lately.c.seconds)).scalar_subquery(),
            )
        )
        queued, running_now, oldest, seconds = row
        return Backlog(queued, running_now, oldest, seconds)

    async def position(self, job: Job) -> int:
        if job.state is not State.QUEUED:
            return 0
        ahead = sa.and_(
            jobs.c.state == State.QUEUED.value,
            jobs.c.pool == job.pool,
            (jobs.c.priority < job.priority) | ((jobs.c.priority == job.priority) & (jobs.c.id < job.id)),
        )
        [row] = await self._all(sa.select(sa.func.count()).select_from(jobs).where(ahead))
        return int(row[0]) + 1

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with _translated():
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[tuple[AsyncConnection, float]]:
        """A transaction and its time; committed unless it raises."""
        with _translated():
            async with self._turn, self._engine.begin() as connection:
                yield connection, await self._clock(connection)

    async def _all(self, query: sa.Select[Any]) -> Sequence[Any]:
        async with self._reading() as connection:
            found: Sequence[Any] = (await connection.execute(query)).all()
            return found

    async def _now(self) -> float:
        async with self._reading() as connection:
            return await self._clock(connection)

    async def _row(self, connection: AsyncConnection, tenant: str, job: str, *, lock: bool = False) -> Job:
        query = sa.select(jobs).where(jobs.c.id == job, jobs.c.tenant == tenant)
        row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
        if row is not None:
            return rows.job(row)
        grave = sa.select(tombstones.c.job).where(tombstones.c.job == job, tombstones.c.tenant == tenant)
        if (await connection.execute(grave)).one_or_none() is not None:
            raise JobDeleted(job)
        raise JobNotFound(job)

    async def _first_use(self, connection: AsyncConnection, job: Job, key: str, now: float) -> Job | None:
        """The job that first came with `key` within 24 hours; None if this is it, which is then on record."""
        mine = sa.and_(idempotency_keys.c.tenant == job.tenant, idempotency_keys.c.key == key)
        await connection.execute(
            sa.delete(idempotency_keys).where(mine, idempotency_keys.c.created_at < now - IDEMPOTENCY_SECONDS)
        )
        recorded = await connection.execute(
            self._insert(idempotency_keys)
            .values(tenant=job.tenant, key=key, fingerprint=job.fingerprint, job=job.id, created_at=now)
            .on_conflict_do_nothing()
        )
        if recorded.rowcount:
            return None
        first = (await connection.execute(sa.select(idempotency_keys).where(mine))).one()
        if first.fingerprint != job.fingerprint:
            raise IdempotencyMismatch(key)
        return await self._row(connection, job.tenant, first.job)

    async def _write(self, connection: AsyncConnection, change: Change, now: float) -> None:
        if change.erase:
            await self._erase(connection, change.job, now)
            return
        await connection.execute(sa.update(jobs).where(jobs.c.id == change.job.id).values(rows.standing(change.job)))
        await self._write_parts(connection, change)

    async def _write_parts(self, connection: AsyncConnection, change: Change) -> None:
        if change.event is not None:
            await connection.execute(sa.insert(events).values(rows.of_event(change.event)))
        if change.send is not None:
            await connection.execute(
                sa.insert(outbox).values(job=change.job.id, body=change.send.encode(), leased_until=0.0)
            )
        if change.artifacts:
            await connection.execute(
                sa.insert(artifacts), [rows.of_artifact(change.job.id, artifact) for artifact in change.artifacts]
            )

    async def _erase(self, connection: AsyncConnection, job: Job, now: float) -> None:
        for table in (events, artifacts, outbox, idempotency_keys):
            await connection.execute(sa.delete(table).where(table.c.job == job.id))
        await connection.execute(sa.delete(jobs).where(jobs.c.id == job.id))
        await connection.execute(
            sa.insert(tombstones).values(job=job.id, tenant=job.tenant, deleted_at=now, swept=False)
        )

    async def _tell(self, change: Change) -> None:
        topics = {topic(change.job.id)}
        if change.send is not None:
            topics.add(OUTBOX)
        await self._events.notify(topics)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn a database that cannot be reached, is full, or is read-only into Unavailable."""
    try:
        yield
    except (OperationalError, InterfaceError, OSError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise Unavailable(f"the store does not answer: {reason}") from error
