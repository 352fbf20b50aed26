"""How the store erases jobs, and what it keeps of them for a while: functions of a connection."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from antiphon import lifecycle
from antiphon.jobs import Job
from antiphon.store import rows
from antiphon.store.base import Tombstone
from antiphon.store.tables import artifacts, events, idempotency_keys, jobs, outbox, tombstones

_FORGET_KEY = sa.delete(idempotency_keys).where(
    idempotency_keys.c.tenant == sa.bindparam("of"),
    idempotency_keys.c.key == sa.bindparam("used"),
    idempotency_keys.c.job == sa.bindparam("by"),  # by now the key may be another job's
)


def erase(erased: Sequence[Job], now: float, connection: Connection, *, retention_over: bool) -> list[Tombstone]:
    """Remove every row of these jobs; a tombstone takes the place of each."""
    ids = [job.id for job in erased]
    for table in (events, artifacts, outbox):
        connection.execute(sa.delete(table).where(table.c.job.in_(ids)))
    keys = [{"of": job.tenant, "used": job.idempotency_key, "by": job.id} for job in erased if job.idempotency_key]
    if keys:
        connection.execute(_FORGET_KEY, keys)
    connection.execute(sa.delete(jobs).where(jobs.c.id.in_(ids)))
    graves = [rows.of_tombstone(job, now, retention_over=retention_over) for job in erased]
    connection.execute(sa.insert(tombstones), graves)
    return [Tombstone(job.id, job.tenant, job.blob_prefix) for job in erased]


def any_due(now: float, connection: Connection) -> bool:
    """Whether `erase_due` would find anything."""
    return connection.execute(_due(now).limit(1)).one_or_none() is not None


def erase_due(limit: int, now: float, connection: Connection) -> list[Tombstone]:
    """See `Store.erase_due`. What another transaction has locked is left to it, or to the next look."""
    found = connection.execute(_due(now).limit(limit).with_for_update(skip_locked=True))
    changes = [lifecycle.erase(rows.job(row), now) for row in found]
    erased = [change.job for change in changes if change.erase]
    return erase(erased, now, connection, retention_over=True) if erased else []


def unswept(limit: int, age: float, now: float, connection: Connection) -> list[Tombstone]:
    """See `Store.tombstones`."""
    return [rows.tombstone(row) for row in connection.execute(_aged(~tombstones.c.swept, limit, now - age))]


def forgettable(limit: int, age: float, now: float, connection: Connection) -> list[str]:
    """The jobs whose tombstones have stood `age` seconds, and have nothing left to tell."""
    return [row.job for row in connection.execute(_aged(tombstones.c.swept, limit, now - age))]


def _due(now: float) -> sa.Select[Any]:
    """The jobs to be erased, in the words of their index, so that it serves."""
    return sa.select(jobs).where(jobs.c.erase_at <= now, ~jobs.c.legal_hold).order_by(jobs.c.erase_at)


def _aged(kind: sa.ColumnElement[bool], limit: int, before: float) -> sa.Select[Any]:
    return sa.select(tombstones).where(kind, tombstones.c.deleted_at <= before).limit(limit)
