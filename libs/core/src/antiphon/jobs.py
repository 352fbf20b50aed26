"""Jobs and what belongs to them: states, legs, artifacts, events. All frozen; `lifecycle.py` says how it changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any

from antiphon.retention import STANDARD_SECONDS, RetentionClass, blob_prefix

DEFAULT_TENANT = "default"

JSON = Mapping[str, Any]


class State(StrEnum):
    """`queued -> running -> succeeded | failed | cancelled | expired`; a redrive opens a new round at `queued`."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING)


class Priority(IntEnum):
    """Served by weight 7:2:1, so that `low` waits longer but never for ever."""

    HIGH = 0
    NORMAL = 1
    LOW = 2

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Leg:
    """Consecutive stages that one pool serves."""

    pool: str
    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """The recording as it came in."""

    key: str
    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Lease:
    """Who works on a job, and until when (seconds since the epoch on the database's clock)."""

    worker: str
    until: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed, in a stable code and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a stage left behind: immutable, its bytes in the blob store under `key`."""

    name: str
    stage: str
    media_type: str
    size: int
    sha256: str
    key: str
    fence: int
    seconds: float = 0.0
    """How long the stage took that left it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request to analyse one recording. Times are seconds since the epoch, on the database's clock."""

    id: str
    tenant: str
    state: State
    priority: Priority
    source: Source
    options: JSON
    legs: tuple[Leg, ...]
    created_at: float
    metadata: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    expires_at: float | None = None
    retention: float = STANDARD_SECONDS
    """Seconds from its end for which it is kept. Its own, so that a change of a setting breaks no promise."""
    # where it stands
    round: int = 1
    leg: int = 0
    attempt: int = 0
    fence: int = 0
    lease: Lease | None = None
    due_at: float = 0.0
    """From when on a worker should have it; what is overdue and unleased was lost on the way."""
    stage: str | None = None
    progress: float = 0.0
    audio_seconds: float | None = None
    events: int = 0
    """Number of the last event."""
    started_at: float | None = None
    finished_at: float | None = None
    failure: Failure | None = None
    dead_letter: bool = False
    """The job failed, and its message still has to go to the dead letters."""
    legal_hold: bool = False
    """Nobody may erase it, and neither does time."""

    @property
    def blob_prefix(self) -> str:
        """What the keys of all its blobs begin with: the one place where the recording went when it came in."""
        return self.source.key.rpartition("/")[0]

    @property
    def ephemeral(self) -> bool:
        """Whether a rule of the blobs' backend may erase what it left, whatever we say."""
        return self.blob_prefix == blob_prefix(RetentionClass.EPHEMERAL, self.tenant, self.id)

    @property
    def erase_at(self) -> float | None:
        """From when on nothing of it is kept, unless it is held; None while it has not ended."""
        return None if self.finished_at is None else self.finished_at + self.retention

    @property
    def pool(self) -> str:
        """The pool of the present leg."""
        return self.legs[self.leg].pool


@dataclass(frozen=True, slots=True)
class Event:
    """A row of a job's history, written in the transaction of the change that it tells. Numbers only grow.

    It keeps what may differ from event to event; the rest is in the job.
    """

    job: str
    number: int
    at: float
    state: State
    round: int
    attempt: int
    stage: str | None = None
    progress: float = 0.0
    audio_seconds: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    failure: Failure | None = None

    @classmethod
    def of(cls, job: Job, now: float) -> "Event":
        """The event that tells how `job` stands now."""
        return cls(
            job=job.id,
            number=job.events,
            at=now,
            state=job.state,
            round=job.round,
            attempt=job.attempt,
            stage=job.stage,
            progress=job.progress,
            audio_seconds=job.audio_seconds,
            started_at=job.started_at,
            finished_at=job.finished_at,
            failure=job.failure,
        )

    def applied(self, job: Job) -> Job:
        """`job` as it stood when this event was written."""
        return replace(
            job,
            events=self.number,
            state=self.state,
            round=self.round,
            attempt=self.attempt,
            stage=self.stage,
            progress=self.progress,
            audio_seconds=self.audio_seconds,
            started_at=self.started_at,
            finished_at=self.finished_at,
            failure=self.failure,
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to commit: void as soon as the job's fence has moved on."""

    job: str
    tenant: str
    fence: int
    worker: str

    @classmethod
    def of(cls, job: Job) -> "Claim | None":
        """The claim by which `job` is being worked on, if it is."""
        return None if job.lease is None else cls(job.id, job.tenant, job.fence, job.lease.worker)
