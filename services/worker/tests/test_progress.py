import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon_worker.progress import percent

FULL = ["decode", "transcribe", "pitch", "sentiment", "render"]


@pytest.mark.parametrize(
    ("stage", "share", "expected"), [("decode", 0.0, 0.0), ("render", 1.0, 100.0), ("transcribe", 0.5, 44.4)]
)
def test_progress_goes_by_how_long_stages_take(stage: str, share: float, expected: float) -> None:
    assert percent(FULL, stage, share) == expected


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1)), min_size=2, max_size=2))
def test_progress_never_goes_back(points: list[tuple[int, float]]) -> None:
    (first, a), (second, b) = sorted(points)
    assert 0 <= percent(FULL, FULL[first], a) <= percent(FULL, FULL[second], b) <= 100


@given(st.floats(allow_nan=False))
def test_a_share_outside_its_bounds_is_taken_as_the_bound(share: float) -> None:
    assert 0 <= percent(FULL, "transcribe", share) <= 100
