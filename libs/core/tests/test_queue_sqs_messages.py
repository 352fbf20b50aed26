import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.messages import Message
from antiphon.queue.sqs_batches import BYTES, ENTRIES, batches
from antiphon.queue.sqs_messages import LONGEST_DELAY, LONGEST_HOLD, Incoming, Outgoing, Receipt, identifier

if TYPE_CHECKING:
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

QUEUE, FIFO = "antiphon-default-normal", "antiphon-default-normal.fifo"
NOW = 1_000_000.0


def incoming(body: str = "{}", attributes: dict[str, str] | None = None, **system: str) -> Incoming:
    raw: MessageTypeDef = {
        "MessageId": "id-1",
        "ReceiptHandle": "handle/with+signs==",
        "Body": body,
        "Attributes": system,  # type: ignore[typeddict-item]
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": text} for name, text in (attributes or {}).items()
        },
    }
    return Incoming.of(raw, QUEUE, NOW)


SIZES = st.lists(st.integers(0, BYTES + 10) | st.integers(0, 1000), max_size=60)


@given(SIZES)
def test_a_batch_is_never_too_large_and_none_could_be_joined_with_the_next(sizes: list[int]) -> None:
    parts = list(batches(sizes, lambda size: size))
    assert [size for part in parts for size in part] == sizes
    for part in parts:
        assert 1 <= len(part) <= ENTRIES
        assert sum(part) <= BYTES or len(part) == 1
    for part, after in pairwise(parts):
        assert len(part) == ENTRIES or sum(part) + after[0] > BYTES


@given(st.text() | st.from_regex(r"[!-~]{1,130}", fullmatch=True), st.text())
def test_every_text_is_an_identifier_of_its_own(one: str, another: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9!-~]{1,128}", identifier(one))
    assert (identifier(one) == identifier(another)) == (one == another)


def test_an_identifier_that_sqs_takes_stays_readable() -> None:
    assert identifier("0190/1/0") == "0190/1/0"


def test_the_group_is_the_tenant_on_both_kinds_of_queue() -> None:
    letter = Outgoing.of(Message("job", 1, 0, tenant="school"), 0)
    assert letter.entry("0", QUEUE, NOW)["MessageGroupId"] == "school"
    assert letter.entry("0", FIFO, NOW)["MessageGroupId"] == "school"


def test_only_a_fifo_queue_is_told_what_is_a_duplicate() -> None:
    letter = Outgoing.of(Message("job", 1, 0), 0)
    assert letter.entry("0", FIFO, NOW)["MessageDeduplicationId"] == "job/1/0"
    assert "MessageDeduplicationId" not in letter.entry("0", QUEUE, NOW)


def test_nothing_that_is_sent_in_place_of_a_message_is_swallowed_as_its_duplicate() -> None:
    first = Outgoing.of(Message("job", 1, 0), 0)
    came = incoming(first.body)
    ids = [first.once, came.receipt.again(NOW).once, came.receipt.buried("failed", NOW).once, came.redriven().once]
    assert len(set(ids)) == len(ids)
    assert came.redriven().once == incoming(first.body, MessageGroupId="other").redriven().once, "nor sent twice"


@pytest.mark.parametrize(
    ("due", "seconds", "later"),
    [
        (0.0, None, False),
        (NOW - 5, None, False),
        (NOW + 0.2, 1, False),
        (NOW + 60, 60, False),
        (NOW + LONGEST_DELAY, LONGEST_DELAY, False),
        (NOW + LONGEST_DELAY + 1, LONGEST_DELAY, True),
        (NOW + 30 * 24 * 3600, LONGEST_DELAY, True),
    ],
)
def test_a_delay_beyond_what_sqs_can_goes_along(due: float, seconds: int | None, later: bool) -> None:
    standard = Outgoing("{}", "g", "o", due).entry("0", QUEUE, NOW)
    assert standard.get("DelaySeconds") == seconds
    assert ("due" in standard.get("MessageAttributes", {})) == later
    fifo = Outgoing("{}", "g", "o", due).entry("0", FIFO, NOW)
    assert "DelaySeconds" not in fifo
    assert ("due" in fifo.get("MessageAttributes", {})) == (seconds is not None)


@pytest.mark.parametrize(
    ("text", "due"), [("1000123.5", 1000123.5), ("soon", 0.0), ("", 0.0), ("inf", 0.0), ("nan", 0.0)]
)
def test_a_due_time_that_nobody_can_mean_is_none(text: str, due: float) -> None:
    assert incoming(attributes={"due": text}).due == due


@given(st.text(st.characters(codec="utf-8"), max_size=50), st.dictionaries(st.text("abc", min_size=1), st.text("xü")))
def test_the_size_is_at_least_what_sqs_counts(body: str, attributes: dict[str, str]) -> None:
    letter = Outgoing(body, "group", "once", math.inf, attributes)
    entry = Outgoing(body, "group", "once", NOW + 5000, attributes).entry("0", QUEUE, NOW)
    counted = len(entry["MessageBody"].encode())
    for name, value in entry["MessageAttributes"].items():
        counted += len(f"{name}{value['DataType']}{value['StringValue']}".encode())
    assert letter.size >= counted


def test_a_receipt_says_all_that_another_process_needs() -> None:
    body = Message("job", 1, 0).encode()[:-1] + ',"new":"ü"}'
    came = incoming(body, MessageGroupId="school", ApproximateReceiveCount="3")
    received = came.received()
    assert Receipt.of(received) == Receipt(QUEUE, "id-1", "handle/with+signs==", NOW + LONGEST_HOLD, "school", body)
    assert received.deliveries == 3
    assert LONGEST_HOLD < 12 * 3600


def test_a_dead_letter_keeps_body_group_reason_and_time() -> None:
    letter = incoming("rubbish", MessageGroupId="school").receipt.buried("it \x00 failed\ud800" + "x" * 2000, NOW)
    back = incoming(letter.body, dict(letter.attributes), MessageGroupId=letter.group)
    shown = back.dead_letter()
    assert (shown.id, shown.body, shown.died_at) == ("id-1", "rubbish", NOW)
    assert shown.reason == ("it ? failed?" + "x" * 2000)[:1000]
    assert back.redriven().group == "school"
    assert letter.group != "school", "a group of which some are looked at would hide the rest"


def test_a_dead_letter_without_a_reason_is_one() -> None:
    letter = incoming(Message("job", 1, 0).encode()).receipt.buried("", NOW)
    assert "" not in letter.attributes.values(), "SQS takes no empty value"
    assert incoming(letter.body, dict(letter.attributes)).dead_letter().reason == ""


def test_what_sqs_gave_up_says_so() -> None:
    shown = incoming(Message("job", 1, 0).encode(), SentTimestamp="1000000500").dead_letter()
    assert (shown.reason, shown.died_at) == ("received 100 times, and never acked", NOW + 0.5)


def test_a_dead_letter_for_whose_reason_there_is_no_room_says_it_itself() -> None:
    body = "x" * (BYTES - 50)
    letter = incoming(body).receipt.buried("too large", NOW)
    assert letter.body == body
    assert letter.attributes == {}
    assert "too large" in incoming(body).dead_letter().reason
