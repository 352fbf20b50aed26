"""What a queue carries: ids and numbers, never audio. Frozen and versioned, since old messages outlive a deployment."""

import json
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quoted

from antiphon.errors import MessageInvalid
from antiphon.jobs import DEFAULT_TENANT, Job, Priority

VERSION = 1
MAX_BYTES = 64 * 1024
DEFAULT_POOL = "default"

# json.loads without what it does for others: bytes, byte order marks, options
_read = json.JSONDecoder().raw_decode
_PRIORITIES = {priority.word: priority for priority in Priority}


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
            f'"tenant":{_quoted(self.tenant)},"pool":{_quoted(self.pool)},"priority":"{self.priority.word}"{trace}}}'
        )


def decode(body: str) -> Message:
    """The message that `body` spells.

    Raises MessageInvalid for what is too large, not JSON, of another version, or lacks a field.
    """
    if len(body) > MAX_BYTES:
        raise MessageInvalid(f"a message of {len(body)} characters is too large; at most {MAX_BYTES} are read")
    try:
        fields, end = _read(body)
    except (ValueError, RecursionError) as error:
        raise MessageInvalid(f"the message is not JSON: {error}") from None
    if body[end:].strip():
        raise MessageInvalid("the message is not JSON: something follows it")
    if not isinstance(fields, dict):
        raise MessageInvalid("the message is not a JSON object")
    if fields.get("v") != VERSION:
        raise MessageInvalid(f"the message has version {fields.get('v')!r}; this program reads version {VERSION}")
    try:
        return Message(
            job=_text(fields["job"]),
            round=_count(fields["round"]),
            leg=_count(fields["leg"]),
            tenant=_text(fields["tenant"]),
            pool=_text(fields["pool"]),
            priority=_PRIORITIES[_text(fields["priority"])],
            traceparent=None if fields.get("traceparent") is None else _text(fields["traceparent"]),
        )
    except KeyError as error:
        raise MessageInvalid(f"the message lacks, or does not know, {error}") from None
    except TypeError as error:
        raise MessageInvalid(f"the message has a field of the wrong type: {error}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is not a count")
    return value
