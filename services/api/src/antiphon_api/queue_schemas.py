"""What the queue tools take and answer. As in `schemas.py`, the texts here are the reference documentation."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from antiphon.jobs import Job, State
from antiphon.messages import Message
from antiphon.purge import Purged
from antiphon.queue.base import DeadLetter, Waiting
from antiphon_api.dead_letters import Redriven
from antiphon_api.schemas import moment

MAX_BODY = 2000
"""Characters of a message that are shown."""
_ID = "01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11"


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class _In(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MessageOut(_Out):
    """A message that waits, with what the store knows of its job."""

    job: str | None = Field(description="Its job; null for a message that cannot be read.", examples=[_ID])
    state: State | None = Field(description="How the job stands; null if there is no such job.", examples=["queued"])
    round: int | None = Field(description="The job's round for which it was sent.", examples=[1])
    leg: int | None = Field(description="Which leg of the job it is for, from 0.", examples=[0])
    tenant: str | None = Field(examples=["default"])
    priority: Literal["high", "normal", "low"]
    deliveries: int | None = Field(
        description="How often it was given to a worker before; null if only the queue knows.", examples=[0]
    )
    body: str | None = Field(description="A message that cannot be read as it is, cut if it is long; null otherwise.")

    @classmethod
    def of_message(cls, waiting: Waiting, message: Message | None, job: Job | None) -> "MessageOut":
        """A message as the queue showed it."""
        return cls(
            job=None if message is None else message.job,
            state=None if job is None else job.state,
            round=None if message is None else message.round,
            leg=None if message is None else message.leg,
            tenant=None if message is None else message.tenant,
            priority=waiting.priority.word,
            deliveries=waiting.deliveries,
            body=_shown(waiting.body) if message is None else None,
        )

    @classmethod
    def of_job(cls, job: Job) -> "MessageOut":
        """The message that a waiting job has, or is about to have."""
        return cls(
            job=job.id,
            state=job.state,
            round=job.round,
            leg=job.leg,
            tenant=job.tenant,
            priority=job.priority.word,
            deliveries=None,
            body=None,
        )


class MessageList(_Out):
    """What waits, in the order of priority and arrival."""

    source: Literal["queue", "store"] = Field(
        description="Whether the queue itself was looked into, or the store was asked for the jobs that wait, "
        "delayed ones among them, since this queue's backend shows nothing without handing it out."
    )
    messages: list[MessageOut]


class DeadLetterOut(_Out):
    """A message that was given up."""

    id: str = Field(description="Names it to redrive.", examples=["5f2b7c9e0d1a4e68"])
    reason: str = Field(description="Why it was given up.", examples=["audio_undecodable: the bytes are not audio"])
    died_at: datetime
    job: str | None = Field(description="Its job; null for a message that cannot be read.", examples=[_ID])
    state: State | None = Field(description="How the job stands; null if there is no such job.", examples=["failed"])
    body: str = Field(description="The message as it was sent, cut if it is long.")

    @classmethod
    def of(cls, letter: DeadLetter, message: Message | None, job: Job | None) -> "DeadLetterOut":
        return cls(
            id=letter.id,
            reason=_shown(letter.reason),
            died_at=moment(letter.died_at),
            job=None if message is None else message.job,
            state=None if job is None else job.state,
            body=_shown(letter.body),
        )


class DeadLetterList(_Out):
    """The oldest first."""

    dead: list[DeadLetterOut]


class RedriveIn(_In):
    """Which dead letters to send on their way again."""

    ids: list[Annotated[str, Field(max_length=200)]] | None = Field(
        default=None, max_length=1000, description="These; the oldest if absent.", examples=[["5f2b7c9e0d1a4e68"]]
    )
    limit: int = Field(default=100, ge=1, le=1000, description="How many of the oldest at most, without `ids`.")


class SkippedOut(_Out):
    """A dead letter that was not sent again. It is gone now, unless there was none with this id."""

    id: str
    reason: str = Field(examples=["its job is succeeded, and in round 2 by now; this was round 1"])


class RedrivenOut(_Out):
    """What became of the dead letters."""

    redriven: int = Field(description="On their way again: jobs in a new round, and messages of no job.")
    skipped: list[SkippedOut] = Field(description="Not sent again, since their jobs do not want it.")

    @classmethod
    def of(cls, redriven: Redriven) -> "RedrivenOut":
        skipped = [SkippedOut(id=id_, reason=reason) for id_, reason in redriven.skipped]
        return cls(redriven=redriven.count, skipped=skipped)


class PurgeIn(_In):
    """What to purge."""

    priority: Literal["high", "normal", "low"] | None = Field(
        default=None, description="Only jobs of this priority; all if absent."
    )


class PurgedOut(_Out):
    """What a purge did."""

    cancelled: int = Field(description="Jobs that waited, and are now cancelled.")
    removed: int = Field(description="Messages that were taken out of the queue.")
    complete: bool = Field(description="False if more may be left: ask again.")

    @classmethod
    def of(cls, purged: Purged) -> "PurgedOut":
        return cls(cancelled=purged.cancelled, removed=purged.removed, complete=purged.complete)


def _shown(text: str) -> str:
    """Bounded, and without the lone surrogates that JSON in UTF-8 cannot carry."""
    return text[:MAX_BODY].encode("utf-8", errors="replace").decode("utf-8")
