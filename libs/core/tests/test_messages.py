"""What a message looks like on the way, and what is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import MessageInvalid
from antiphon.jobs import Priority
from antiphon.messages import MAX_BYTES, Message, decode

COUNTS = st.integers(0, 2**63)
TEXTS = st.text(max_size=40)
MESSAGES = st.builds(
    Message,
    job=TEXTS,
    round=COUNTS,
    leg=COUNTS,
    tenant=TEXTS,
    pool=TEXTS,
    priority=st.sampled_from(Priority),
    traceparent=st.none() | TEXTS,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)
MESSAGE = Message("0190", 1, 0, traceparent="00-1-2-01")


@given(message=MESSAGES)
def test_decoding_undoes_encoding(message: Message) -> None:
    assert decode(message.encode()) == message


@given(message=MESSAGES)
def test_the_body_is_json_on_one_line_of_ascii(message: Message) -> None:
    body = message.encode()
    assert body.isascii()
    assert "\n" not in body
    fields = json.loads(body)
    assert json.dumps(fields, separators=(",", ":")) == body
    assert (fields["v"], fields["job"], fields["priority"]) == (1, message.job, message.priority.word)
    assert ("traceparent" in fields) == (message.traceparent is not None)


def test_the_format_is_the_one_that_older_programs_wrote() -> None:
    body = '{"v":1,"job":"j","round":2,"leg":3,"tenant":"t","pool":"p","priority":"low","traceparent":"00-1-2-01"}'
    assert Message("j", 2, 3, "t", "p", Priority.LOW, "00-1-2-01").encode() == body


@given(body=st.text(max_size=200) | JSON.map(json.dumps))
def test_any_other_text_is_refused_and_nothing_else_happens(body: str) -> None:
    with pytest.raises(MessageInvalid):
        decode(body)


@given(field=st.sampled_from(["v", "job", "round", "leg", "tenant", "pool", "priority"]), value=JSON)
def test_a_field_of_any_other_kind_is_refused_or_read(field: str, value: Any) -> None:
    body = json.dumps({**json.loads(MESSAGE.encode()), field: value})
    try:
        message = decode(body)
    except MessageInvalid:
        return
    assert message == (MESSAGE if field in {"v", "priority"} else replace(MESSAGE, **{field: value}))


@pytest.mark.parametrize("field", ["v", "job", "round", "leg", "tenant", "pool", "priority"])
def test_a_missing_field_is_named(field: str) -> None:
    fields = json.loads(MESSAGE.encode())
    del fields[field]
    with pytest.raises(MessageInvalid, match="version" if field == "v" else field):
        decode(json.dumps(fields))


@pytest.mark.parametrize(
    "body",
    ["", " ", "null", "[]", "{", "{}x", "[" * 30_000, '{"a":' * 10_000, MESSAGE.encode() * 2, "9" * 5000, "\ufeff{}"],
)
def test_what_is_no_document_is_refused(body: str) -> None:
    with pytest.raises(MessageInvalid):
        decode(body)


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5, [1]])
def test_another_version_is_refused_by_its_number(version: object) -> None:
    with pytest.raises(MessageInvalid, match="version"):
        decode(json.dumps({**json.loads(MESSAGE.encode()), "v": version}))


def test_unknown_fields_of_the_same_version_are_ignored() -> None:
    assert decode(json.dumps({**json.loads(MESSAGE.encode()), "later": 1})) == MESSAGE


def test_white_space_around_the_document_is_not_part_of_it() -> None:
    assert decode(f"{MESSAGE.encode()} \n") == MESSAGE


def test_a_body_above_the_limit_is_not_even_parsed() -> None:
    fits = replace(MESSAGE, traceparent="x" * (MAX_BYTES - len(replace(MESSAGE, traceparent="").encode())))
    assert decode(fits.encode()) == fits
    with pytest.raises(MessageInvalid, match="too large"):
        decode(replace(fits, traceparent=f"{fits.traceparent}x").encode())


@given(one=MESSAGES, other=MESSAGES)
def test_a_key_is_of_job_round_and_leg(one: Message, other: Message) -> None:
    same = replace(other, job=one.job, round=one.round, leg=one.leg)
    assert same.key == one.key
    assert replace(one, round=one.round + 1).key != one.key
    assert replace(one, leg=one.leg + 1).key != one.key
