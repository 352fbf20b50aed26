"""The store on SQL, through SQLAlchemy Core: SQLite when embedded, PostgreSQL where many share it.

Every change of a job is one transaction: read its row under a lock, let a pure function of `lifecycle.py` decide, write
the row, the event that tells the change, the outbox row and the artifacts. So there is one place that writes.

What happens inside a transaction are plain functions of a connection; `engine.py` runs them off the event loop.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from antiphon import lifecycle, messages
from antiphon.admission import Backlog
from antiphon.errors import (
    IdempotencyMismatch,
    InDoubt,
    JobDeleted,
    JobNotFound,
    MessageInvalid,
    PoolNotFound,
    RetentionOver,
    Unavailable,
)
from antiphon.events.base import Events
from antiphon.jobs import Artifact, Event, Job, Priority, State
from antiphon.lifecycle import Change
from antiphon.pools import Pool
from antiphon.resource import Finding
from antiphon.store import erasing, rows, schema, waiting, writing
from antiphon.store.base import Census, Decision, OutboxRow, Store, Tombstone, pool_topic, topic
from antiphon.store.engine import Database
from antiphon.store.examining import EXAMINATIONS
from antiphon.store.tables import artifacts, events, idempotency_keys, jobs, outbox, pools, tombstones

T = TypeVar("T")

IDEMPOTENCY_SECONDS = 24 * 3600

log = structlog.get_logger(__name__)

# What every job needs, built once: building a statement takes SQLAlchemy longer than running it takes SQLite.
_JOB = sa.select(jobs).where(jobs.c.id == sa.bindparam("job"), jobs.c.tenant == sa.bindparam("tenant"))
_HOLD = _JOB.with_for_update()
_GRAVE = sa.select(tombstones.c.retention_over).where(
    tombstones.c.job == sa.bindparam("job"), tombstones.c.tenant == sa.bindparam("tenant")
)
_ANY_PROMISE = sa.select(outbox.c.id).limit(1)
_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class SqlStore(Store):
    """`events` is told of what was committed. `clock` stands in for the database's, for tests."""

    def __init__(self, database: Database, events: Events, clock: Callable[[Connection], float] | None = None) -> None:
        self._database = database
        self._events = events
        self._now = clock or database.now
        self._insert = _INSERT[database.dialect]
        given = database.clock if clock is None else None
        self._timed = given is not None
        self._hold = _HOLD if given is None else _timed(_HOLD, given)
        self._promised = asyncio.Event()

    async def open(self) -> None:
        await self._database.read(schema.require_current)

    async def close(self) -> None:
        await self._database.close()

    async def ping(self) -> None:
        await self._all(sa.select(sa.literal(1)))

    async def examine(self) -> list[Finding]:
        return await self._database.read(EXAMINATIONS[self._database.dialect])

    async def accept(self, job: Job) -> Job:
        try:
            accepted, change = await self._database.write(partial(self._accept, job))
        except InDoubt:
            accepted, change = await self._accept_after_all(job)
        await self._tell(change)
        return accepted

    async def change(self, tenant: str, job: str, decide: Decision) -> Job:
        changed, change = await self._database.write(partial(self._change, tenant, job, decide))
        await self._tell(change)
        return changed

    async def job(self, tenant: str, job: str) -> Job:
        return await self._database.read(partial(_row, tenant=tenant, job=job))

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
        query = sa.select(events).where(events.c.job == job, events.c.number > after).order_by(events.c.number)

        def read(connection: Connection) -> list[Event]:
            _row(connection, tenant=tenant, job=job)
            return [rows.event(row) for row in connection.execute(query)]

        return await self._database.read(read)

    async def artifacts(self, tenant: str, job: str) -> list[Artifact]:
        query = (
            sa.select(artifacts)
            .join(jobs, jobs.c.id == artifacts.c.job)
            .where(artifacts.c.job == job, jobs.c.tenant == tenant)
            .order_by(artifacts.c.id)
        )
        found = [rows.artifact(row) for row in await self._all(query)]
        return list({artifact.name: artifact for artifact in found}.values())

    async def wait_for_outbox(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._promised.wait()
        except TimeoutError:
            return
        self._promised.clear()

    async def take_outbox(self, limit: int, *, lease: float) -> list[OutboxRow]:
        if not await self._all(_ANY_PROMISE):
            return []  # the usual look costs no write lock
        found = await self._database.write(partial(self._take_outbox, limit, lease))
        return [row for id_, body in sorted(found) if (row := _outbox_row(id_, body))]

    async def drop_outbox(self, ids: Sequence[int]) -> None:
        await self._execute(sa.delete(outbox).where(outbox.c.id.in_(ids)))

    async def census(self, *, grace: float) -> list[Census]:
        return await self._look(partial(waiting.census, grace))

    async def resend(self, tenant: str, job: str) -> bool:
        change = await self._database.write(partial(self._resend, tenant, job))
        if change is None:
            return False
        await self._tell(change)
        return True

    async def expired(self, limit: int) -> list[tuple[str, str]]:
        return await self._look(partial(waiting.expired, limit))

    async def erase_due(self, limit: int) -> list[Tombstone]:
        if not await self._look(erasing.any_due):
            return []  # the usual look costs no write lock
        erased = await self._database.write(
            lambda connection: erasing.erase_due(limit, self._now(connection), connection)
        )
        if erased:
            await self._events.notify({topic(tombstone.job) for tombstone in erased})
        return erased

    async def tombstones(self, limit: int, *, age: float) -> list[Tombstone]:
        return await self._look(partial(erasing.unswept, limit, age))

    async def sweep_tombstone(self, tombstone: Tombstone) -> None:
        await self._execute(sa.update(tombstones).where(tombstones.c.job == tombstone.job).values(swept=True))

    async def forget_tombstones(self, limit: int, *, age: float) -> int:
        old = await self._look(partial(erasing.forgettable, limit, age))
        if old:
            await self._execute(sa.delete(tombstones).where(tombstones.c.job.in_(old)))
        return len(old)

    async def put_pool(self, pool: Pool) -> None:
        values = rows.of_pool(pool)
        await self._execute(
            self._insert(pools).values(values).on_conflict_do_update(index_elements=["name"], set_=values)
        )

    async def pause(self, pool: str, *, paused: bool) -> Pool:
        change = sa.update(pools).where(pools.c.name == pool).values(paused=paused).returning(pools)
        if not rows.is_text(pool):
            raise PoolNotFound(pool)
        row = await self._database.write(lambda connection: connection.execute(change).one_or_none())
        if row is None:
            raise PoolNotFound(pool)
        await self._events.notify({pool_topic(pool)})
        return rows.pool(row)

    async def pool(self, name: str) -> Pool:
        if rows.is_text(name):
            for row in await self._all(sa.select(pools).where(pools.c.name == name)):
                return rows.pool(row)
        raise PoolNotFound(name)

    async def pools(self) -> list[Pool]:
        return [rows.pool(row) for row in await self._all(sa.select(pools).order_by(pools.c.name))]

    async def backlog(self, pool: str) -> Backlog:
        return await self._look(partial(waiting.backlog, pool))

    async def waiting(
        self, pool: str, *, limit: int, priority: Priority | None = None, after: Job | None = None
    ) -> list[Job]:
        return await self._look(partial(waiting.jobs_for, pool, limit, priority, after))

    async def position(self, job: Job) -> int:
        if job.state is not State.QUEUED:
            return 0
        return await self._database.read(partial(waiting.ahead, job)) + 1

    async def _look(self, look: Callable[[float, Connection], T]) -> T:
        """What can be seen at the database's present time."""
        return await self._database.read(lambda connection: look(self._now(connection), connection))

    async def _all(self, query: sa.Select[Any]) -> Sequence[Any]:
        return await self._database.read(lambda connection: connection.execute(query).all())

    async def _execute(self, statement: sa.Executable) -> None:
        await self._database.write(lambda connection: connection.execute(statement))

    async def _accept_after_all(self, job: Job) -> tuple[Job, Change | None]:
        """Accept a job that may have been accepted a moment ago, or still be about to.

        To look for it would not tell, since the commit may still be under way. To enter it once more waits, at its
        primary key, for whoever else enters it.
        """
        try:
            try:
                return await self._database.write(partial(self._accept, job))
            except sa.exc.IntegrityError:  # it has been
                self._promised.set()
                return await self.job(job.tenant, job.id), None
        except Unavailable as error:
            raise InDoubt(str(error)) from error

    def _accept(self, job: Job, connection: Connection) -> tuple[Job, Change | None]:
        """The job, and the change by which it came; None if its idempotency key had come before."""
        now = self._now(connection)
        if job.idempotency_key is not None:
            first = self._first_use(connection, job, job.idempotency_key, now)
            if first is not None:
                return first, None
        change = lifecycle.accept(job, now)
        writing.enter(change, connection)
        return change.job, change

    def _change(self, tenant: str, job: str, decide: Decision, connection: Connection) -> tuple[Job, Change | None]:
        """The job as it stands afterwards, and its change; None if nothing changed."""
        before, now = self._held(connection, tenant, job)
        change = decide(before, now)
        if change == Change(before):
            return before, None
        writing.write(change, now, connection)
        return change.job, change

    def _held(self, connection: Connection, tenant: str, job: str) -> tuple[Job, float]:
        """The job, which nobody else changes before we commit, and the time from which it is ours."""
        _require_text(tenant, job)
        row = connection.execute(self._hold, {"job": job, "tenant": tenant}).one_or_none()
        if row is None:
            raise _missing(connection, tenant, job)
        return rows.job(row), row.now if self._timed else self._now(connection)

    def _take_outbox(self, limit: int, lease: float, connection: Connection) -> list[tuple[int, str]]:
        now = self._now(connection)
        free = (
            sa.select(outbox.c.id)
            .where(outbox.c.leased_until <= now)
            .order_by(outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("free")  # which runs once, whatever the plan: a subquery might, and lock more than the limit
        )
        taken = connection.execute(
            sa.update(outbox)
            .where(outbox.c.id.in_(sa.select(free.c.id)))
            .values(leased_until=now + lease)
            .returning(outbox.c.id, outbox.c.body)
        )
        return [(row.id, row.body) for row in taken]

    def _resend(self, tenant: str, job: str, connection: Connection) -> Change | None:
        before, now = self._held(connection, tenant, job)
        change = lifecycle.resend(before, now)
        fresh = connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job)
            .where(jobs.c.resent_at.is_(None) | (jobs.c.resent_at < now - waiting.RESEND_SECONDS))
            .values(resent_at=now)
        )
        if change.send is None or fresh.rowcount == 0:
            return None
        writing.write(change, now, connection)
        return change

    def _first_use(self, connection: Connection, job: Job, key: str, now: float) -> Job | None:
        """The job that first came with `key` within 24 hours; None if this is it, which is then on record."""
        mine = sa.and_(idempotency_keys.c.tenant == job.tenant, idempotency_keys.c.key == key)
        connection.execute(
            sa.delete(idempotency_keys).where(mine, idempotency_keys.c.created_at < now - IDEMPOTENCY_SECONDS)
        )
        recorded = connection.execute(
            self._insert(idempotency_keys)
            .values(tenant=job.tenant, key=key, fingerprint=job.fingerprint, job=job.id, created_at=now)
            .on_conflict_do_nothing()
        )
        if recorded.rowcount:
            return None
        first = connection.execute(sa.select(idempotency_keys).where(mine)).one()
        if first.fingerprint != job.fingerprint:
            raise IdempotencyMismatch(key)
        return _row(connection, job.tenant, first.job)

    async def _tell(self, change: Change | None) -> None:
        if change is None:
            return
        if change.send is not None:
            self._promised.set()
        await self._events.notify({topic(change.job.id)})


def _timed(held: sa.Select[Any], clock: sa.ColumnElement[float]) -> sa.Select[Any]:
    """`held`, whose rows are locked, with the time as the column `now`, which is read once they are."""
    locked = held.subquery("held")  # what locks is not merged into what is around it, nor run after it
    return sa.select(locked, clock.label("now"))


def _outbox_row(id_: int, body: str) -> OutboxRow | None:
    """None for a message of another version, which a program of that version will send: during a rollout both run."""
    try:
        return OutboxRow(id_, messages.decode(body))
    except MessageInvalid as error:
        log.warning("a promised message is left to programs of its version", row=id_, error=str(error))
        return None


def _row(connection: Connection, tenant: str, job: str) -> Job:
    _require_text(tenant, job)
    row = connection.execute(_JOB, {"job": job, "tenant": tenant}).one_or_none()
    if row is None:
        raise _missing(connection, tenant, job)
    return rows.job(row)


def _require_text(tenant: str, job: str) -> None:
    """Raise JobNotFound for names that PostgreSQL refuses even to look for; a broken message may hold them."""
    if not (rows.is_text(tenant) and rows.is_text(job)):
        raise JobNotFound(job)


def _missing(connection: Connection, tenant: str, job: str) -> JobNotFound | JobDeleted:
    grave = connection.execute(_GRAVE, {"job": job, "tenant": tenant}).one_or_none()
    if grave is None:
        return JobNotFound(job)
    return RetentionOver(job) if grave.retention_over else JobDeleted(job)
