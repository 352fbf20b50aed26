"""Which queues there are on SQS, what they are called, and how they are made."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from antiphon.errors import SettingsError
from antiphon.jobs import Priority

if TYPE_CHECKING:
    from types_aiobotocore_sqs.literals import QueueAttributeNameType

SETTING = "ANTIPHON_QUEUE_URL"
DAY = 24 * 3600
RETENTION = 7 * DAY
DEAD_RETENTION = 14 * DAY
"""The longest that SQS keeps a message."""
MAX_RECEIVES = 100
"""A net only: attempts are counted in the store, and every failed attempt of a worker is one receive."""

_FIFO = ".fifo"
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,20}")  # a name has at most 80 characters, a pool 40
_PARAMETERS = ("create", "endpoint", "fifo", "prefix", "region")
_SWITCH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class SqsSettings:
    """What an `sqs://` URL says; region and endpoint are those of AWS's standard chain where it says none."""

    region: str | None = None
    endpoint: str | None = None
    prefix: str = "antiphon"
    fifo: bool = False
    create: bool = True

    @classmethod
    def of(cls, url: str) -> "SqsSettings":
        """Read `sqs://?region=...&endpoint=...&prefix=...&fifo=true&create=false`. Raises SettingsError."""
        parts = urlsplit(url)
        if parts.netloc or parts.path.strip("/") or parts.fragment:
            raise _wrong("names something before its parameters; write sqs://?region=eu-central-1")
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(given.keys() - set(_PARAMETERS))
        if unknown:
            raise _wrong(f"has the unknown parameter {unknown[0]!r}; known are: {', '.join(_PARAMETERS)}")
        endpoint = given.get("endpoint")
        if endpoint is not None and not _plain(endpoint):
            raise _wrong("has an endpoint that is not like http://host:port; credentials do not belong there")
        prefix = given.get("prefix", "antiphon")
        if not _PREFIX.fullmatch(prefix):
            raise _wrong(f"has the prefix {prefix!r}; use 1 to 20 letters, digits, hyphens and underscores")
        return cls(given.get("region"), endpoint, prefix, _switch(given, "fifo", False), _switch(given, "create", True))

    def name(self, pool: str, priority: Priority) -> str:
        """The queue of a pool and priority."""
        return f"{self.prefix}-{pool}-{priority.word}{_FIFO if self.fifo else ''}"

    def names(self, pool: str) -> list[str]:
        return [self.name(pool, priority) for priority in Priority]


def dead(name: str) -> str:
    """The queue of the dead letters of the queue `name`."""
    base = name.removesuffix(_FIFO)
    return f"{base}-dead{name[len(base) :]}"


def is_dead(name: str) -> bool:
    return name.removesuffix(_FIFO).endswith("-dead")  # others end with their priority


def is_fifo(name: str) -> bool:
    return name.endswith(_FIFO)


def attributes(name: str, dead_arn: str | None) -> "dict[QueueAttributeNameType, str]":
    """How the queue `name` is made; `dead_arn` is where its messages go after too many receives, if it has such.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
    """
    made: dict[QueueAttributeNameType, str] = {
        "MessageRetentionPeriod": str(DEAD_RETENTION if is_dead(name) else RETENTION),
        "SqsManagedSseEnabled": "true",
    }
    if dead_arn is not None:
        made["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": MAX_RECEIVES})
    if is_fifo(name):
        # the quotas then count for each group, that is tenant, alone:
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/high-throughput-fifo.html
        made |= {"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    return made


def faults(name: str, found: Mapping[str, str], dead_arn: str | None) -> list[str]:
    """In what a queue that is there differs from what we need; `found` are its attributes."""
    wrong = []
    retention, wanted = int(found.get("MessageRetentionPeriod", 0)), DEAD_RETENTION if is_dead(name) else RETENTION
    if retention < wanted:
        wrong.append(f"keeps messages for {retention / DAY:g} days only, not {wanted // DAY}")
    if found.get("SqsManagedSseEnabled") != "true" and not found.get("KmsMasterKeyId"):
        wrong.append("is not encrypted at rest")
    if is_dead(name):
        return wrong
    policy = json.loads(found.get("RedrivePolicy") or "{}")
    if not policy:
        wrong.append("has no redrive policy, so that a message which nobody can finish comes for ever")
    elif policy.get("deadLetterTargetArn") != dead_arn:
        wrong.append(f"has another dead-letter queue than {dead(name)}, where its dead letters are not seen")
    elif int(policy.get("maxReceiveCount", 0)) < MAX_RECEIVES:
        wrong.append(f"gives messages up after {policy.get('maxReceiveCount')} receives, not {MAX_RECEIVES}")
    return wrong


def _wrong(what: str) -> SettingsError:
    return SettingsError(f"{SETTING} {what}")


def _plain(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc


def _switch(given: Mapping[str, str], name: str, default: bool) -> bool:
    value = given.get(name)
    if value is None:
        return default
    if value not in _SWITCH:
        raise _wrong(f"has {name}={value}; write {name}=true or {name}=false")
    return _SWITCH[value]
