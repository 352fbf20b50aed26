"""Between the frozen data of the core and the rows of `tables.py`."""

from typing import Any

from sqlalchemy import Row

from antiphon.jobs import Artifact, Event, Failure, Job, Lease, Leg, Priority, Source, State
from antiphon.pools import Pool
from antiphon.store.base import Tombstone

Values = dict[str, Any]


def standing(job: Job) -> Values:
    """The columns of a job that its life changes."""
    return {
        "state": job.state.value,
        "pool": job.pool,
        "expires_at": job.expires_at,
        "round": job.round,
        "leg": job.leg,
        "attempt": job.attempt,
        "fence": job.fence,
        "lease_worker": job.lease.worker if job.lease else None,
        "lease_until": job.lease.until if job.lease else None,
        "due_at": job.due_at,
        "stage": job.stage,
        "progress": job.progress,
        "audio_seconds": job.audio_seconds,
        "events": job.events,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "dead_letter": job.dead_letter,
        "legal_hold": job.legal_hold,
        **_of_failure(job.failure),
    }


def of_job(job: Job) -> Values:
    source = job.source
    return {
        **standing(job),
        "id": job.id,
        "tenant": job.tenant,
        "priority": job.priority.value,
        "source": {"key": source.key, "name": source.name, "size": source.size, "sha256": source.sha256},
        "options": dict(job.options),
        "legs": [{"pool": leg.pool, "stages": list(leg.stages)} for leg in job.legs],
        "metadata": dict(job.metadata),
        "traceparent": job.traceparent,
        "idempotency_key": job.idempotency_key,
        "fingerprint": job.fingerprint,
        "created_at": job.created_at,
        "retention": job.retention,
    }


def job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        tenant=row.tenant,
        state=State(row.state),
        priority=Priority(row.priority),
        source=Source(**row.source),
        options=row.options,
        legs=tuple(Leg(leg["pool"], tuple(leg["stages"])) for leg in row.legs),
        created_at=row.created_at,
        metadata=row.metadata,
        traceparent=row.traceparent,
        idempotency_key=row.idempotency_key,
        fingerprint=row.fingerprint,
        expires_at=row.expires_at,
        retention=row.retention,
        round=row.round,
        leg=row.leg,
        attempt=row.attempt,
        fence=row.fence,
        lease=None if row.lease_until is None else Lease(row.lease_worker, row.lease_until),
        due_at=row.due_at,
        stage=row.stage,
        progress=row.progress,
        audio_seconds=row.audio_seconds,
        events=row.events,
        started_at=row.started_at,
        finished_at=row.finished_at,
        failure=_failure(row),
        dead_letter=row.dead_letter,
        legal_hold=row.legal_hold,
    )


def of_event(event: Event) -> Values:
    return {
        "job": event.job,
        "number": event.number,
        "at": event.at,
        "state": event.state.value,
        "round": event.round,
        "attempt": event.attempt,
        "stage": event.stage,
        "progress": event.progress,
        "audio_seconds": event.audio_seconds,
        "started_at": event.started_at,
        "finished_at": event.finished_at,
        **_of_failure(event.failure),
    }


def event(row: Row[Any]) -> Event:
    return Event(
        job=row.job,
        number=row.number,
        at=row.at,
        state=State(row.state),
        round=row.round,
        attempt=row.attempt,
        stage=row.stage,
        progress=row.progress,
        audio_seconds=row.audio_seconds,
        started_at=row.started_at,
        finished_at=row.finished_at,
        failure=_failure(row),
    )


def of_artifact(job: str, artifact: Artifact) -> Values:
    return {
        "job": job,
        "name": artifact.name,
        "stage": artifact.stage,
        "media_type": artifact.media_type,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "key": artifact.key,
        "fence": artifact.fence,
        "seconds": artifact.seconds,
    }


def artifact(row: Row[Any]) -> Artifact:
    return Artifact(row.name, row.stage, row.media_type, row.size, row.sha256, row.key, row.fence, row.seconds)


def of_pool(pool: Pool) -> Values:
    """The columns that a registration sets; `paused` is not among them."""
    return {
        "name": pool.name,
        "model": pool.model,
        "lanes": sorted(pool.lanes),
        "concurrency": pool.concurrency,
        "target_wait": pool.target_wait,
    }


def pool(row: Row[Any]) -> Pool:
    return Pool(row.name, row.model, frozenset(row.lanes), row.concurrency, row.target_wait, row.paused)


def of_tombstone(job: Job, now: float, *, retention_over: bool) -> Values:
    return {
        "job": job.id,
        "tenant": job.tenant,
        "prefix": job.blob_prefix,
        "deleted_at": now,
        "retention_over": retention_over,
        "swept": False,
    }


def tombstone(row: Row[Any]) -> Tombstone:
    # without a prefix a program before schema 0002 has deleted the job, when keys began with the tenant
    return Tombstone(row.job, row.tenant, row.prefix or f"{row.tenant}/{row.job}")


def _of_failure(failure: Failure | None) -> Values:
    return {
        "failure_code": failure.code if failure else None,
        "failure_message": _text(failure.message) if failure else None,
    }


def _failure(row: Row[Any]) -> Failure | None:
    return None if row.failure_code is None else Failure(row.failure_code, row.failure_message)


def is_text(text: str) -> bool:
    """Whether every database can hold `text`: PostgreSQL has no NUL, and neither has half of a surrogate pair.

    https://www.postgresql.org/docs/current/datatype-character.html
    """
    return _text(text) == text


def _text(text: str) -> str:
    """`text` with a mark in place of what a database cannot hold: what a library says may quote anything."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
