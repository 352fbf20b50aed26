"""What the API answers. The texts here are the reference documentation: OpenAPI is made from them."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from antiphon.admission import Backlog
from antiphon.jobs import Artifact, Job, State
from antiphon.pools import Pool
from antiphon.queue.base import Depth

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID = "01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11"


def moment(seconds: float) -> datetime:
    """A time of the core as the API tells it: RFC 3339, UTC.

    Rounded down, and exactly, so that a list of the jobs created since some job's `created_at` has that job in it.
    """
    return _EPOCH + timedelta(microseconds=int(Fraction(seconds) * 1_000_000))


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class Links(_Out):
    """Where to go from here; paths on this server."""

    self: str = Field(examples=[f"/v1/jobs/{_ID}"])
    events: str = Field(examples=[f"/v1/jobs/{_ID}/events"])
    result: str = Field(examples=[f"/v1/jobs/{_ID}/result"])
    artifacts: str = Field(examples=[f"/v1/jobs/{_ID}/artifacts"])
    cancel: str = Field(examples=[f"/v1/jobs/{_ID}/cancel"])

    @classmethod
    def of(cls, job: Job) -> "Links":
        root = f"/v1/jobs/{job.id}"
        return cls(
            self=root,
            events=f"{root}/events",
            result=f"{root}/result",
            artifacts=f"{root}/artifacts",
            cancel=f"{root}/cancel",
        )


class Accepted(_Out):
    """A job that was taken, and that will end: nothing short of a lost disk undoes this."""

    id: str = Field(description="UUIDv7.", examples=[_ID])
    state: State = Field(examples=["queued"])
    position: int | None = Field(
        description="Its place among the jobs that wait for its pool, from 1; 0 if it no longer waits.", examples=[1]
    )
    eta_seconds: float | None = Field(
        description="Seconds until it is probably done; null until a rate is known.", examples=[4.2]
    )
    links: Links

    @classmethod
    def of(cls, job: Job, position: int | None, eta_seconds: float | None) -> "Accepted":
        return cls(id=job.id, state=job.state, position=position, eta_seconds=eta_seconds, links=Links.of(job))


class JobError(_Out):
    """Why the job did not succeed."""

    code: str = Field(description="Stable, for programs.", examples=["audio_undecodable"])
    message: str = Field(description="For people.", examples=["the bytes are not audio that we can decode"])


class SourceOut(_Out):
    """The recording as it came in."""

    name: str = Field(examples=["clip.wav"])
    size: int = Field(description="Bytes.", examples=[96044])
    sha256: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])


class JobOut(_Out):
    """A job as it stands, or, in an event, as it stood."""

    id: str = Field(description="UUIDv7.", examples=[_ID])
    state: State = Field(description="Between attempts, and between legs, a job is still `running`.")
    stage: str | None = Field(description="The stage that it reached last.", examples=["transcribe"])
    progress: float = Field(ge=0, le=100, description="Percent of the work.", examples=[42.0])
    attempt: int = Field(description="Which try of the present leg this is; 0 before the first.", examples=[1])
    round: int = Field(description="1, and one more with every redrive.", examples=[1])
    priority: Literal["high", "normal", "low"]
    created_at: datetime
    started_at: datetime | None = Field(description="When a worker first took it in this round.")
    finished_at: datetime | None = Field(description="When this round ended.")
    expires_at: datetime | None = Field(description="When the job expires if it has not ended.")
    retention_seconds: int = Field(description="How long it is kept once it has ended.", examples=[2592000])
    retained_until: datetime | None = Field(
        description="When recording, results and history are erased, unless the job is held; null while it lives."
    )
    legal_hold: bool = Field(description="While true it is kept whatever `retained_until` says, and cannot be deleted.")
    audio_seconds: float | None = Field(description="Length of the recording, once it is decoded.", examples=[3.1])
    source: SourceOut
    options: dict[str, Any] = Field(
        description="How the recording is analysed, defaults filled in.",
        examples=[{"pipeline": "full", "language": "en", "model": None}],
    )
    metadata: dict[str, str] = Field(examples=[{"lesson": "12"}])
    error: JobError | None
    links: Links

    @classmethod
    def of(cls, job: Job) -> "JobOut":
        return cls(
            id=job.id,
            state=job.state,
            stage=job.stage,
            progress=job.progress,
            attempt=job.attempt,
            round=job.round,
            priority=job.priority.word,
            created_at=moment(job.created_at),
            started_at=_moment(job.started_at),
            finished_at=_moment(job.finished_at),
            expires_at=_moment(job.expires_at),
            retention_seconds=int(job.retention),
            retained_until=_moment(job.erase_at),
            legal_hold=job.legal_hold,
            audio_seconds=job.audio_seconds,
            source=SourceOut(name=job.source.name, size=job.source.size, sha256=job.source.sha256),
            options=dict(job.options),
            metadata=dict(job.metadata),
            error=JobError(code=job.failure.code, message=job.failure.message) if job.failure else None,
            links=Links.of(job),
        )


class JobPage(_Out):
    """The newest jobs first."""

    jobs: list[JobOut]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last one.")


class ArtifactOut(_Out):
    """A file that the analysis left."""

    name: str = Field(examples=["transcript.srt"])
    stage: str = Field(examples=["render"])
    media_type: str = Field(examples=["application/x-subrip"])
    size: int = Field(description="Bytes.", examples=[812])
    sha256: str
    link: str = Field(examples=[f"/v1/jobs/{_ID}/result/transcript.srt"])

    @classmethod
    def of(cls, job: Job, artifact: Artifact) -> "ArtifactOut":
        return cls(
            name=artifact.name,
            stage=artifact.stage,
            media_type=artifact.media_type,
            size=artifact.size,
            sha256=artifact.sha256,
            link=f"/v1/jobs/{job.id}/result/{quote(artifact.name, safe='')}",
        )


class ArtifactList(_Out):
    """Everything that the analysis left."""

    artifacts: list[ArtifactOut]


class QueueOut(_Out):
    """How full the queue of one pool and priority is, in messages. A backend may count approximately."""

    pool: str = Field(examples=["default"])
    priority: Literal["high", "normal", "low"]
    paused: bool = Field(description="The pool's workers begin nothing new until it is resumed.")
    available: int = Field(description="Waiting for a worker.")
    in_flight: int = Field(description="With a worker.")
    delayed: int = Field(description="Waiting for their time to come.")
    dead: int = Field(description="Given up; see redrive.")

    @classmethod
    def of(cls, pool: Pool, priority: str, depth: Depth) -> "QueueOut":
        return cls.model_validate(
            {
                "pool": pool.name,
                "priority": priority,
                "paused": pool.paused,
                "available": depth.available,
                "in_flight": depth.in_flight,
                "delayed": depth.delayed,
                "dead": depth.dead,
            }
        )


class QueueList(_Out):
    """The queues of every pool."""

    queues: list[QueueOut]


class BacklogOut(_Out):
    """How busy a pool is, by what the store knows."""

    queued: int = Field(description="Jobs that wait.")
    running: int = Field(description="Jobs that run.")
    oldest_due_at: datetime | None = Field(description="When the job that waits longest was due.")
    mean_run_seconds: float | None = Field(description="Of jobs that lately succeeded; null if there are none.")

    @classmethod
    def of(cls, backlog: Backlog) -> "BacklogOut":
        return cls(
            queued=backlog.queued,
            running=backlog.running,
            oldest_due_at=_moment(backlog.oldest_due),
            mean_run_seconds=backlog.mean_run_seconds,
        )


class PoolOut(_Out):
    """Workers of one model that serve one or more lanes and are scaled together."""

    name: str = Field(examples=["default"])
    model: str = Field(examples=["tiny.en"])
    lanes: list[str] = Field(examples=[["cpu", "gpu"]])
    concurrency: int = Field(description="Slots per worker.", examples=[1])
    target_wait: float = Field(description="Seconds that a job should wait at most.", examples=[60.0])
    paused: bool = Field(description="Its workers begin nothing new until it is resumed.")
    backlog: BacklogOut

    @classmethod
    def of(cls, pool: Pool, backlog: Backlog) -> "PoolOut":
        return cls(
            name=pool.name,
            model=pool.model,
            lanes=sorted(pool.lanes),
            concurrency=pool.concurrency,
            target_wait=pool.target_wait,
            paused=pool.paused,
            backlog=BacklogOut.of(backlog),
        )


class PoolList(_Out):
    """The registered pools, by name."""

    pools: list[PoolOut]


class Health(_Out):
    """It runs."""

    status: Literal["ok"] = "ok"
