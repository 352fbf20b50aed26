import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon_api.errors import RangeNotSatisfiable
from antiphon_api.ranges import Span, requested, unchanged

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-99", (0, 10)),
        ("bytes=3-5", (3, 6)),
        ("bytes=3-", (3, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-300", (0, 10)),
        ("BYTES=1-2", (1, 3)),
        ("bytes=5-3", None),
        ("bytes=0-1,4-5", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 400 + "-", None),
        (None, None),
    ],
)
def test_one_range_is_honoured_and_everything_else_is_ignored(header: str | None, span: tuple[int, int] | None) -> None:
    assert requested(header, None, ETAG, 10) == (None if span is None else Span(*span, 10))


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested(header, None, ETAG, 10)


def test_an_empty_file_satisfies_no_range() -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested("bytes=0-", None, ETAG, 0)


def test_a_range_that_depends_on_another_version_is_ignored() -> None:
    assert requested("bytes=0-1", '"other"', ETAG, 10) is None
    assert requested("bytes=0-1", f"W/{ETAG}", ETAG, 10) is None
    assert requested("bytes=0-1", ETAG, ETAG, 10) == Span(0, 2, 10)


@pytest.mark.parametrize(
    ("header", "same"),
    [
        (None, False),
        ('"other"', False),
        (ETAG, True),
        (f"W/{ETAG}", True),
        (f'"other", {ETAG}', True),
        ("*", True),
    ],
)
def test_if_none_match_compares_weakly(header: str | None, same: bool) -> None:
    assert unchanged(header, ETAG) is same


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20))
def test_a_span_lies_within_the_file_and_starts_where_it_was_asked_to(first: int, last: int, size: int) -> None:
    try:
        span = requested(f"bytes={first}-{last}", None, ETAG, size)
    except RangeNotSatisfiable:
        assert first >= size
        return
    if span is None:
        assert last < first
    else:
        assert (span.start, span.end) == (first, min(last + 1, size))
        assert span.content_range == f"bytes {first}-{span.end - 1}/{size}"
