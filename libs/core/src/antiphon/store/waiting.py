"""What the store sees of the jobs that wait, and of the pools that they wait for: functions of a connection."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from antiphon.admission import Backlog
from antiphon.jobs import Job, Priority, State
from antiphon.store import rows
from antiphon.store.base import Census
from antiphon.store.tables import jobs, outbox

RESEND_SECONDS = 3600
RATE_SECONDS = 3600
RATE_JOBS = 50
"""The mean run time is that of at most so many jobs that succeeded within so many seconds."""

_LIVING = (State.QUEUED.value, State.RUNNING.value)

# Built once, as in sql.py: the API asks these for every job that it takes.
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


def backlog(pool: str, now: float, connection: Connection) -> Backlog:
    row = connection.execute(_BACKLOG, {"pool": pool, "since": now - RATE_SECONDS}).one()
    return Backlog(row[0], row[1], row[2], row[3])


def ahead(job: Job, connection: Connection) -> int:
    """How many will be served before `job`, which is queued."""
    values = {"pool": job.pool, "priority": job.priority.value, "job": job.id}
    return int(connection.execute(_AHEAD, values).scalar_one())


def jobs_for(
    pool: str, limit: int, priority: Priority | None, after: Job | None, now: float, connection: Connection
) -> list[Job]:
    """See `Store.waiting`."""
    turn = sa.tuple_(jobs.c.priority, jobs.c.id)

    def of(state: State, *more: sa.ColumnElement[bool]) -> sa.Select[Any]:
        query = sa.select(jobs).where(jobs.c.state == state.value, jobs.c.pool == pool, *more)
        if priority is not None:
            query = query.where(jobs.c.priority == priority.value)
        if after is not None:
            query = query.where(turn > sa.tuple_(sa.literal(after.priority.value), sa.literal(after.id)))
        return query.order_by(jobs.c.priority, jobs.c.id).limit(limit)

    free = jobs.c.lease_until.is_(None) | (jobs.c.lease_until <= now)
    # one query for each state, which the index then answers in order; a job may pass from one to the other
    found = [*connection.execute(of(State.QUEUED)), *connection.execute(of(State.RUNNING, free))]
    waiting = {job.id: job for job in map(rows.job, found)}
    return sorted(waiting.values(), key=lambda job: (job.priority, job.id))[:limit]


def census(grace: float, now: float, connection: Connection) -> list[Census]:
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


def expired(limit: int, now: float, connection: Connection) -> list[tuple[str, str]]:
    query = sa.select(jobs.c.tenant, jobs.c.id).where(jobs.c.expires_at <= now, jobs.c.state.in_(_LIVING)).limit(limit)
    return [(row.tenant, row.id) for row in connection.execute(query)]
