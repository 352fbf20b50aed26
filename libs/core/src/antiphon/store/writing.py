"""What a change writes: functions of a connection.

On PostgreSQL every statement is a round trip, so a job, its event and its promise go in one: the two ride along as
common table expressions, which are carried out whether or not anything reads them
(https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING). SQLite has no such thing, and for
it a statement is a function call.
"""

from functools import cache

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from antiphon.lifecycle import Change
from antiphon.store import erasing, rows
from antiphon.store.tables import artifacts, events, jobs, outbox

_Part = tuple[str, tuple[str, ...]]
"""A part of a change, and the columns that it sets."""

_INTO = {"job": jobs, "event": events, "promise": outbox}


def enter(change: Change, connection: Connection) -> None:
    """Write a job that is new."""
    _write("job", rows.of_job(change.job), change, connection)


def write(change: Change, now: float, connection: Connection) -> None:
    """Write what has become of a job."""
    if change.erase:
        erasing.erase([change.job], now, connection, retention_over=False)
        return
    _write("standing", rows.standing(change.job), change, connection)


def _write(first: str, values: rows.Values, change: Change, connection: Connection) -> None:
    parts = {first: values}
    if change.event is not None:
        parts["event"] = rows.of_event(change.event)
    if change.send is not None:
        parts["promise"] = {"job": change.job.id, "body": change.send.encode(), "leased_until": 0.0}
    named = {part: {f"{part}_{name}": value for name, value in columns.items()} for part, columns in parts.items()}
    named[first]["this"] = change.job.id
    if connection.dialect.name == "postgresql":
        shape = tuple((part, tuple(columns)) for part, columns in parts.items())
        connection.execute(_together(shape), {name: value for each in named.values() for name, value in each.items()})
    else:
        for part, columns in parts.items():
            connection.execute(_alone((part, tuple(columns))), named[part])
    if change.artifacts:
        connection.execute(
            sa.insert(artifacts), [rows.of_artifact(change.job.id, artifact) for artifact in change.artifacts]
        )


@cache  # of the few shapes that changes have; building a statement takes SQLAlchemy longer than running it takes SQLite
def _alone(part: _Part) -> sa.Insert | sa.Update:
    name, columns = part
    values: rows.Values = {column: sa.bindparam(f"{name}_{column}") for column in columns}
    if name == "standing":
        return sa.update(jobs).where(jobs.c.id == sa.bindparam("this")).values(values)
    return sa.insert(_INTO[name]).values(values)


@cache
def _together(parts: tuple[_Part, ...]) -> sa.Insert | sa.Update:
    first, *others = parts
    return _alone(first).add_cte(*(_alone(part).cte(f"the_{part[0]}") for part in others))
