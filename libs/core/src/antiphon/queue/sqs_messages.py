"""Messages as SQS carries them: what is sent, what is received, and what a receipt holds. Pure.

A group is a tenant. On a FIFO queue it has its own order; on a standard one it makes the queue fair: a tenant with a
long backlog does not hold up the others
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html).

A FIFO queue swallows, for five minutes, what comes with a deduplication id that it has seen, even if the first message
is gone by then. So the id of a message is its key: what the relay sends twice, since it crashed in between, comes once.
Everything that we send in place of another message takes its id from that message's: a redriven dead letter has the key
of the first send, and would be swallowed with it; but the same dead letter redriven twice at once is one message.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from antiphon.errors import MessageInvalid
from antiphon.messages import Message, decode
from antiphon.queue.base import DeadLetter, Received
from antiphon.queue.sqs_batches import BYTES
from antiphon.queue.sqs_queues import MAX_RECEIVES, is_fifo

if TYPE_CHECKING:
    from types_aiobotocore_sqs.literals import MessageSystemAttributeNameType
    from types_aiobotocore_sqs.type_defs import MessageTypeDef, SendMessageBatchRequestEntryTypeDef

LONGEST_DELAY = 900
LONGEST_HOLD = 12 * 3600 - 30
"""Seconds from a receive until SQS shows the message again whatever we ask, less what clocks and networks may differ.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""
REASON_LENGTH = 1000

DUE = "due"
"""When to show a message that is delayed for longer than SQS can: seconds since the epoch."""
REASON, DIED_AT, GROUP = "reason", "died-at", "group"
"""Why and when a message was given up, and its group while it lived."""
ATTRIBUTES = (DUE, REASON, DIED_AT, GROUP)
SYSTEM_ATTRIBUTES: "tuple[MessageSystemAttributeNameType, ...]" = (
    "ApproximateReceiveCount",
    "MessageGroupId",
    "SentTimestamp",
)

_ID = re.compile(r"[!-~]{1,128}")
# what XML 1.0 has no place for: https://www.w3.org/TR/REC-xml/#charsets
_NO_TEXT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def identifier(text: str) -> str:
    """`text` as SQS takes it for a group or a deduplication; another one for every other text."""
    if _ID.fullmatch(text):
        return text
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What we send to a queue."""

    body: str
    group: str
    once: str
    """Of two with the same, sent within five minutes, a FIFO queue keeps the first."""
    due: float = 0.0
    attributes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, message: Message, due: float) -> "Outgoing":
        return cls(message.encode(), identifier(message.tenant), identifier(message.key), due)

    def entry(self, id_: str, name: str, now: float) -> "SendMessageBatchRequestEntryTypeDef":
        """As an entry of SendMessageBatch to the queue `name`."""
        wait = max(0, math.ceil(self.due - now))
        texts = dict(self.attributes)
        if wait > (0 if is_fifo(name) else LONGEST_DELAY):
            texts[DUE] = f"{self.due:.3f}"
        entry: SendMessageBatchRequestEntryTypeDef = {"Id": id_, "MessageBody": self.body, "MessageGroupId": self.group}
        if is_fifo(name):
            entry["MessageDeduplicationId"] = self.once
        elif wait:
            entry["DelaySeconds"] = min(wait, LONGEST_DELAY)
        if texts:
            entry["MessageAttributes"] = {
                key: {"DataType": "String", "StringValue": value} for key, value in texts.items()
            }
        return entry

    @property
    def size(self) -> int:
        """Bytes that SQS counts: the body, and name, type and value of each attribute."""
        texts = {DUE: "1234567890.123", **self.attributes}
        return len(self.body.encode()) + sum(len(f"{key}String{value}".encode()) for key, value in texts.items())


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a receive brought. Times are seconds since the epoch."""

    queue: str
    id: str
    handle: str
    body: str
    group: str
    deliveries: int
    sent_at: float
    ceiling: float
    """Until when it can be ours, however often that is extended."""
    attributes: Mapping[str, str]

    @classmethod
    def of(cls, raw: "MessageTypeDef", queue: str, asked_at: float) -> "Incoming":
        """Read what SQS says; `asked_at` is when the receive began, hence no later than SQS handed the message over."""
        system: Mapping[Any, str] = raw.get("Attributes", {})
        texts = {key: value.get("StringValue", "") for key, value in raw.get("MessageAttributes", {}).items()}
        return cls(
            queue,
            raw["MessageId"],
            raw["ReceiptHandle"],
            raw["Body"],
            texts.get(GROUP) or system.get("MessageGroupId") or identifier(""),
            int(system.get("ApproximateReceiveCount", 1)),
            int(system.get("SentTimestamp", 0)) / 1000,
            asked_at + LONGEST_HOLD,
            texts,
        )

    @property
    def due(self) -> float:
        """When to show it."""
        return _seconds(self.attributes.get(DUE)) or 0.0

    @property
    def receipt(self) -> "Receipt":
        return Receipt(self.queue, self.id, self.handle, self.ceiling, self.group, self.body)

    def received(self) -> Received:
        """As the port shows it. Raises MessageInvalid."""
        message = decode(self.body)
        return Received(message, self.receipt.text(), self.deliveries)

    def dead_letter(self) -> DeadLetter:
        """As the port shows what the dead-letter queue holds.

        What SQS itself has moved there came without a reason; so did what has no room for one, but that says it itself.
        """
        died_at = _seconds(self.attributes.get(DIED_AT))
        if died_at is not None:
            return DeadLetter(self.id, self.body, self.attributes.get(REASON, ""), died_at)
        try:
            decode(self.body)
        except MessageInvalid as error:
            return DeadLetter(self.id, self.body, str(error), self.sent_at)
        return DeadLetter(self.id, self.body, f"received {MAX_RECEIVES} times, and never acked", self.sent_at)

    def redriven(self) -> Outgoing:
        """A dead letter as it goes back to its queue."""
        return Outgoing(self.body, self.group, f"redriven/{self.id}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """All that is needed to extend, ack, release or bury a message, also by another process than the one that received.

    The body is in it as it came: it may have fields that we do not know, which a dead letter must not lose.
    """

    queue: str
    id: str
    handle: str
    ceiling: float
    group: str
    body: str

    @classmethod
    def of(cls, received: Received) -> "Receipt":
        return cls(*json.loads(received.receipt))

    def text(self) -> str:
        return json.dumps([self.queue, self.id, self.handle, self.ceiling, self.group, self.body])

    def again(self, due: float) -> Outgoing:
        """The same message, to be shown when it is due."""
        return Outgoing(self.body, self.group, f"again/{self.id}", due)

    def buried(self, reason: str, now: float) -> Outgoing:
        """The dead letter of it.

        In a dead-letter queue everyone is a group alone: a group of which ten are being looked at hides the rest.
        """
        once = f"dead/{self.id}"
        texts = {DIED_AT: f"{now:.3f}", GROUP: self.group, REASON: _NO_TEXT.sub("?", reason[:REASON_LENGTH])}
        letter = Outgoing(self.body, once, once, attributes={key: text for key, text in texts.items() if text})
        return letter if letter.size <= BYTES else replace(letter, attributes={})


def _seconds(text: str | None) -> float | None:
    """The time in an attribute; None for what somebody else has put there."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None
