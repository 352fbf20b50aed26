"""What a queue carries: ids and numbers, never audio. Frozen and versioned, since old messages outlive a deployment."""

from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quoted
from typing import Annotated, Literal

import msgspec

from antiphon.errors import MessageInvalid
from antiphon.jobs import DEFAULT_TENANT, Job, Priority

VERSION = 1
MAX_BYTES = 64 * 1024
DEFAULT_POOL = "default"

_WORDS = tuple(priority.word for priority in Priority)


@dataclass(frozen=True, slots=True)
class Message:
    """Carries a job through one leg. Whether it is still wanted, the store alone decides."""

    job: str
    round: int
    leg: int
    tenant: str = DEFAULT_TENANT
    pool: str = DEFAULT_POOL
    priority: Priority = Priority.NORMAL
    traceparent: str | None = None

    @property
    def key(self) -> str:
        """Equal for messages that ask for the same work; what deduplication compares."""
        return f"{self.job}/{self.round}/{self.leg}"

    @classmethod
    def of(cls, job: Job) -> "Message":
        """The message for the leg at which `job` stands."""
        return cls(job.id, job.round, job.leg, job.tenant, job.pool, job.priority, job.traceparent)

    def encode(self) -> str:
        """JSON text; `decode` is its inverse. Spelled out, since `json.dumps` takes eight times as long."""
        trace = "" if self.traceparent is None else f',"traceparent":{_quoted(self.traceparent)}'
        return (
            f'{{"v":{VERSION},"job":{_quoted(self.job)},"round":{self.round},"leg":{self.leg},'
            f'"tenant":{_quoted(self.tenant)},"pool":{_quoted(self.pool)},"priority":"{_WORDS[self.priority]}"{trace}}}'
        )


class _Wire(msgspec.Struct):
    """The JSON of a message of this version. Fields that we do not know are left alone."""

    v: int
    job: str
    round: Annotated[int, msgspec.Meta(ge=0)]
    leg: Annotated[int, msgspec.Meta(ge=0)]
    tenant: str
    pool: str
    priority: Literal["high", "normal", "low"]
    traceparent: str | None = None


_read = msgspec.json.Decoder(_Wire).decode
_PRIORITIES = dict(zip(_WORDS, Priority, strict=True))


def decode(body: str) -> Message:
    """The message that `body` spells.

    Raises MessageInvalid for what is too large, not JSON, of another version, or lacks a field.
    """
    if len(body) > MAX_BYTES:
        raise MessageInvalid(f"a message of {len(body)} characters is too large; at most {MAX_BYTES} are read")
    try:
        wire = _read(body)
    except msgspec.ValidationError as error:
        raise MessageInvalid(f"the message is not one of version {VERSION}: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise MessageInvalid(f"the message is not JSON: {error}") from None
    if wire.v != VERSION:
        raise MessageInvalid(f"the message has version {wire.v}; this program reads version {VERSION}")
    return Message(wire.job, wire.round, wire.leg, wire.tenant, wire.pool, _PRIORITIES[wire.priority], wire.traceparent)
