import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.jobs import Priority
from antiphon_api.errors import FieldsInvalid
from antiphon_api.options import JobOptions
from antiphon_speech.errors import NotAvailable


def parse(**options: Any) -> JobOptions:
    return JobOptions.parse(json.dumps(options).encode())


def test_everything_may_be_left_out() -> None:
    options = parse()
    assert options == JobOptions()
    assert [stage for stage, _ in options.stages()] == ["decode", "transcribe", "pitch", "sentiment", "render"]
    assert options.rank() is Priority.NORMAL


def test_what_concerns_the_job_is_not_told_to_the_analysis() -> None:
    options = parse(pipeline=["pitch"], language="de", priority="high", metadata={"a": "b"}, expires_in=60)
    assert options.rank() is Priority.HIGH
    assert options.analysis()["pipeline"] == ["pitch"]
    assert options.analysis()["language"] == "de"
    assert not {"priority", "metadata", "expires_in"} & options.analysis().keys()


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"pipelines": "full"}, "/options/pipelines"),
        ({"a/b~c": 1}, "/options/a~1b~0c"),
        ({"pipeline": "everything"}, "/options/pipeline"),
        ({"pipeline": []}, "/options/pipeline"),
        ({"pipeline": ["pitch", "sing"]}, "/options/pipeline/1"),
        ({"pipeline": {"transcribe": True}}, "/options/pipeline"),
        ({"language": "klingon"}, "/options/language"),
        ({"language": "xx"}, "/options/language"),
        ({"beam_size": 0}, "/options/beam_size"),
        ({"beam_size": "1"}, "/options/beam_size"),
        ({"vad": "yes"}, "/options/vad"),
        ({"model": ""}, "/options/model"),
        ({"priority": "urgent"}, "/options/priority"),
        ({"expires_in": 0}, "/options/expires_in"),
        ({"expires_in": 8 * 24 * 3600}, "/options/expires_in"),
        ({"expires_in": 1.5}, "/options/expires_in"),
        ({"metadata": {"lesson": 12}}, "/options/metadata/lesson"),
        ({"metadata": {"lesson": {"a": {"b": 1}}}}, "/options/metadata/lesson"),
        ({"metadata": {"lesson": "x" * 513}}, "/options/metadata/lesson"),
        ({"metadata": {"with blank": "x"}}, "/options/metadata/with blank"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "/options/metadata"),
        ({"metadata": []}, "/options/metadata"),
    ],
)
def test_what_is_wrong_is_told_of_the_field_that_it_is_wrong_with(options: dict[str, Any], pointer: str) -> None:
    with pytest.raises(FieldsInvalid) as caught:
        parse(**options)
    assert [error.pointer for error in caught.value.errors] == [pointer]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"full"',
        b"[" * 30_000,
        b'{"metadata":' * 5_000,
        b'{"metadata": {"a": "\\ud800"}}',
        b'{"\\ud800": 1}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}x",
        b'{"beam_size": ' + b"9" * 5_000 + b"}",
        b'{"expires_in": NaN}',
    ],
)
def test_text_that_is_no_object_of_options_is_refused_and_nothing_breaks(text: bytes) -> None:
    with pytest.raises(FieldsInvalid) as caught:
        JobOptions.parse(text)
    for error in caught.value.errors:
        (error.pointer + error.message).encode()


def test_a_wrong_value_is_not_repeated_since_it_may_be_a_secret() -> None:
    with pytest.raises(FieldsInvalid) as caught:
        parse(webhook_url=["hunter2"], metadata={"password": {"is": "hunter2"}}, beam_size="hunter2")
    assert "hunter2" not in str(caught.value.errors)


def test_an_endless_list_of_errors_is_cut() -> None:
    with pytest.raises(FieldsInvalid) as caught:
        parse(**{f"{'x' * 500}{n}": n for n in range(90)})
    assert len(caught.value.errors) <= 20
    assert all(len(error.pointer) <= 120 for error in caught.value.errors)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"reference_id": "r"}, "reference_id"),
        ({"script": "what was said"}, "script"),
        ({"webhook_url": "https://example.org"}, "webhook_url"),
        ({"pipeline": ["align"]}, "pipeline"),
        ({"pipeline": ["score"]}, "pipeline"),
        ({"pipeline": "pronunciation"}, "pipeline"),
    ],
)
def test_what_is_not_built_yet_is_not_available(options: dict[str, Any], field: str) -> None:
    with pytest.raises(NotAvailable) as caught:
        parse(**options)
    assert caught.value.field == field


def test_equal_requests_have_equal_fingerprints() -> None:
    spelt = parse(vad=True, language="en", pipeline="full")
    assert spelt.fingerprint("sha") == parse(pipeline="full", language="en").fingerprint("sha")
    ordered, turned = parse(metadata={"a": "1", "b": "2"}), parse(metadata={"b": "2", "a": "1"})
    assert ordered.fingerprint("sha") == turned.fingerprint("sha")
    assert spelt.fingerprint("sha") != spelt.fingerprint("another")
    assert spelt.fingerprint("sha") != parse(language="en", metadata={"a": "b"}).fingerprint("sha")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_either_options_or_refused(document: object) -> None:
    try:
        JobOptions.parse(json.dumps(document).encode())
    except (FieldsInvalid, NotAvailable) as error:
        str(error).encode()
