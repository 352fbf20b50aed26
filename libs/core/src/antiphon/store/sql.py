"""The store on SQL, through SQLAlchemy Core: SQLite when embedded, PostgreSQL where many share it.

Every change of a job is one transaction: read its row under a lock, let a pure function of `lifecycle.py` decide, write
the row, the event that tells the change, the outbox row and the artifacts. So there is one place that writes.

What happens inside a transaction are plain functions of a connection; `engine.py` runs them off the event loop.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from antiphon import lifecycle, messages
from antiphon.admission import Backlog
from antiphon.errors import IdempotencyMismatch, JobDeleted, JobNotFound, MessageInvalid
from antiphon.events.base import Events
from antiphon.jobs import Artifact, Event, Job, State
from antiphon.lifecycle import Change
from antiphon.pools import Pool
from antiphon.store import rows, schema
from antiphon.store.base import Census, Decision, OutboxRow, Store, Tombstone, topic
from antiphon.store.engine import Database
from antiphon.store.tables import artifacts, events, idempotency_keys, jobs, outbox, pools, tombstones

IDEMPOTENCY_SECONDS = 24 * 3600
RESEND_SECONDS = 3600
RATE_SECONDS = 3600
RATE_JOBS = 50
"""The mean run time is that of at most so many jobs that succeeded within so many seconds."""

log = structlog.get_logger(__name__)

_LIVING = (State.QUEUED.value, State.RUNNING.value)

# What every job needs, built once: building a statement takes SQLAlchemy longer than running it takes SQLite.
_JOB = sa.select(jobs).where(jobs.c.id == sa.bindparam("job"), jobs.c.tenant == sa.bindparam("tenant"))
_JOB_LOCKED = _JOB.with_for_update()
_GRAVE = sa.select(tombstones.c.job).where(
    tombstones.c.job == sa.bindparam("job"), tombstones.c.tenant == sa.bindparam("tenant")
)
_CHANGE_JOB = sa.update(jobs).where(jobs.c.id == sa.bindparam("this"))
_ANY_PROMISE = sa.select(outbox.c.id).limit(1)
_WAITING = sa.and_(jobs.c.pool == sa.bindparam("pool"), jobs.c.state == State.QUEUED.value)
_RUNNING = sa.and_(jobs.c.pool == sa.bindparam("pool"), jobs.c.state == State.RUNNING.value)
_LATELY = (
    sa.select((jobs.c.finished_at - jobs.c.started_at).label("seconds"))
    .where(jobs.c.pool == sa.bindparam("pool"), jobs.c.state == State.SUCCEEDED.value)
    .where(jobs.c.finished_at > sa.bindparam("since"))
    .order_by(jobs.c.finished_at.desc())
    .limit(RATE_JOBS)
    .subquery()
)
_BACKLOG = sa.select(
    sa.select(sa.func.count()).select_from(jobs).where(_WAITING).scalar_subquery(),
    sa.select(sa.func.count()).select_from(jobs).where(_RUNNING).scalar_subquery(),
    sa.select(sa.func.min(jobs.c.due_at)).where(_WAITING).scalar_subquery(),
    sa.select(sa.func.avg(_LATELY.c.seconds)).scalar_subquery(),
)
_AHEAD = (
    sa.select(sa.func.count())
    .select_from(jobs)
    .where(
        _WAITING,
        (jobs.c.priority < sa.bindparam("priority"))
        | ((jobs.c.priority == sa.bindparam("priority")) & (jobs.c.id < sa.bindparam("job"))),
    )
)
_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class SqlStore(Store):
    """`events` is told of what was committed. `clock` stands in for the database's, for tests."""

    def __init__(self, database: Database, events: Events, clock: Callable[[Connection], float] | None = None) -> None:
        self._database = database
        self._events = events
        self._now = clock or database.now
        self._insert = _INSERT[database.dialect]
        self._promised = asyncio.Event()

    async def open(self) -> None:
        await self._database.read(schema.require_current)

    async def close(self) -> None:
        await self._database.close()

    async def ping(self) -> None:
        await self._all(lambda _: sa.select(sa.literal(1)))

    async def accept(self, job: Job) -> Job:
        accepted, change = await self._database.write(partial(self._accept, job))
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
        return [rows.job(row) for row in await self._all(lambda _: query)]

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
        found = [rows.artifact(row) for row in await self._all(lambda _: query)]
        return list({artifact.name: artifact for artifact in found}.values())

    async def wait_for_outbox(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._promised.wait()
        except TimeoutError:
            return
        self._promised.clear()

    async def take_outbox(self, limit: int, *, lease: float) -> list[OutboxRow]:
        if not await self._all(lambda _: _ANY_PROMISE):
            return []  # the usual look costs no write lock
        found = await self._database.write(partial(self._take_outbox, limit, lease))
        return [row for id_, body in sorted(found) if (row := _outbox_row(id_, body))]

    async def drop_outbox(self, ids: Sequence[int]) -> None:
        await self._execute(lambda _: sa.delete(outbox).where(outbox.c.id.in_(ids)))

    async def census(self, *, grace: float) -> list[Census]:
        return await self._database.read(partial(self._census, grace))

    async def resend(self, tenant: str, job: str) -> bool:
        change = await self._database.write(partial(self._resend, tenant, job))
        if change is None:
            return False
        await self._tell(change)
        return True

    async def expired(self, limit: int) -> list[tuple[str, str]]:
        found = await self._all(
            lambda now: (
                sa.select(jobs.c.tenant, jobs.c.id)
                .where(jobs.c.expires_at <= now, jobs.c.state.in_(_LIVING))
                .limit(limit)
            )
        )
        return [(row.tenant, row.id) for row in found]

    async def tombstones(self, limit: int, *, age: float) -> list[Tombstone]:
        found = await self._all(
            lambda now: (
                sa.select(tombstones).where(~tombstones.c.swept, tombstones.c.deleted_at <= now - age).limit(limit)
            )
        )
        return [Tombstone(row.job, row.tenant) for row in found]

    async def sweep_tombstone(self, tombstone: Tombstone) -> None:
        await self._execute(lambda _: sa.update(tombstones).where(tombstones.c.job == tombstone.job).values(swept=True))

    async def put_pool(self, pool: Pool) -> None:
        values = rows.of_pool(pool)
        await self._execute(
            lambda _: self._insert(pools).values(values).on_conflict_do_update(index_elements=["name"], set_=values)
        )

    async def pools(self) -> list[Pool]:
        return [rows.pool(row) for row in await self._all(lambda _: sa.select(pools).order_by(pools.c.name))]

    async def backlog(self, pool: str) -> Backlog:
        def read(connection: Connection) -> Backlog:
            row = connection.execute(_BACKLOG, {"pool": pool, "since": self._now(connection) - RATE_SECONDS}).one()
            return Backlog(row[0], row[1], row[2], row[3])

        return await self._database.read(read)

    async def position(self, job: Job) -> int:
        if job.state is not State.QUEUED:
            return 0
        values = {"pool": job.pool, "priority": job.priority.value, "job": job.id}
        ahead = await self._database.read(lambda connection: connection.execute(_AHEAD, values).scalar_one())
        return int(ahead) + 1

    async def _all(self, query: Callable[[float], sa.Select[Any]]) -> Sequence[Any]:
        """The rows of a query that may depend on the time."""
        return await self._database.read(lambda connection: connection.execute(query(self._now(connection))).all())

    async def _execute(self, statement: Callable[[float], sa.Executable]) -> None:
        def execute(connection: Connection) -> None:
            connection.execute(statement(self._now(connection)))

        await self._database.write(execute)

    def _accept(self, job: Job, connection: Connection) -> tuple[Job, Change | None]:
        """The job, and the change by which it came; None if its idempotency key had come before."""
        now = self._now(connection)
        if job.idempotency_key is not None:
            first = self._first_use(connection, job, job.idempotency_key, now)
            if first is not None:
                return first, None
        change = lifecycle.accept(job, now)
        connection.execute(sa.insert(jobs), rows.of_job(change.job))
        _write_parts(connection, change)
        return change.job, change

    def _change(self, tenant: str, job: str, decide: Decision, connection: Connection) -> tuple[Job, Change | None]:
        """The job as it stands afterwards, and its change; None if nothing changed."""
        before = _row(connection, tenant, job, lock=True)
        now = self._now(connection)
        change = decide(before, now)
        if change == Change(before):
            return before, None
        _write(connection, change, now)
        return change.job, change

    def _take_outbox(self, limit: int, lease: float, connection: Connection) -> list[tuple[int, str]]:
        now = self._now(connection)
        free = (
            sa.select(outbox.c.id)
            .where(outbox.c.leased_until <= now)
            .order_by(outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taken = connection.execute(
            sa.update(outbox)
            .where(outbox.c.id.in_(free.scalar_subquery()))
            .values(leased_until=now + lease)
            .returning(outbox.c.id, outbox.c.body)
        )
        return [(row.id, row.body) for row in taken]

    def _census(self, grace: float, connection: Connection) -> list[Census]:
        now = self._now(connection)
        unsent = sa.exists().where(outbox.c.job == jobs.c.id)
        living = (
            sa.select(jobs.c.pool, sa.func.count().label("jobs"))
            .where(jobs.c.state.in_(_LIVING), ~unsent)
            .group_by(jobs.c.pool)
        )
        lost = (
            sa.select(jobs.c.pool, jobs.c.tenant, jobs.c.id)
            .where(jobs.c.state.in_(_LIVING), jobs.c.due_at < now - grace, ~unsent)
            .where(jobs.c.lease_until.is_(None) | (jobs.c.lease_until < now - grace))
            .where(jobs.c.resent_at.is_(None) | (jobs.c.resent_at < now - RESEND_SECONDS))
            .order_by(jobs.c.id)
            .limit(1000)
        )
        expected = {row.pool: row.jobs for row in connection.execute(living)}
        overdue: dict[str, list[tuple[str, str]]] = {}
        for row in connection.execute(lost):
            overdue.setdefault(row.pool, []).append((row.tenant, row.id))
        return [Census(pool, count, tuple(overdue.get(pool, ()))) for pool, count in sorted(expected.items())]

    def _resend(self, tenant: str, job: str, connection: Connection) -> Change | None:
        before = _row(connection, tenant, job, lock=True)
        now = self._now(connection)
        change = lifecycle.resend(before, now)
        fresh = connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job)
            .where(jobs.c.resent_at.is_(None) | (jobs.c.resent_at < now - RESEND_SECONDS))
            .values(resent_at=now)
        )
        if change.send is None or fresh.rowcount == 0:
            return None
        _write(connection, change, now)
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


def _outbox_row(id_: int, body: str) -> OutboxRow | None:
    """None for a message of another version, which a program of that version will send: during a rollout both run."""
    try:
        return OutboxRow(id_, messages.decode(body))
    except MessageInvalid as error:
        log.warning("a promised message is left to programs of its version", row=id_, error=str(error))
        return None


def _row(connection: Connection, tenant: str, job: str, *, lock: bool = False) -> Job:
    names = {"job": job, "tenant": tenant}
    row = connection.execute(_JOB_LOCKED if lock else _JOB, names).one_or_none()
    if row is not None:
        return rows.job(row)
    if connection.execute(_GRAVE, names).one_or_none() is not None:
        raise JobDeleted(job)
    raise JobNotFound(job)


def _write(connection: Connection, change: Change, now: float) -> None:
    if change.erase:
        _erase(connection, change.job, now)
        return
    connection.execute(_CHANGE_JOB, {**rows.standing(change.job), "this": change.job.id})
    _write_parts(connection, change)


def _write_parts(connection: Connection, change: Change) -> None:
    if change.event is not None:
        connection.execute(sa.insert(events), rows.of_event(change.event))
    if change.send is not None:
        promise = {"job": change.job.id, "body": change.send.encode(), "leased_until": 0.0}
        connection.execute(sa.insert(outbox), promise)
    if change.artifacts:
        connection.execute(
            sa.insert(artifacts), [rows.of_artifact(change.job.id, artifact) for artifact in change.artifacts]
        )


def _erase(connection: Connection, job: Job, now: float) -> None:
    for table in (events, artifacts, outbox, idempotency_keys):
        connection.execute(sa.delete(table).where(table.c.job == job.id))
    connection.execute(sa.delete(jobs).where(jobs.c.id == job.id))
    connection.execute(sa.insert(tombstones).values(job=job.id, tenant=job.tenant, deleted_at=now, swept=False))
