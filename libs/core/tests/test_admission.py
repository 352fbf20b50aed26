import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.admission import Backlog, eta_seconds


@pytest.mark.parametrize(
    ("position", "running", "slots", "expected"),
    [(1, 0, 1, 10.0), (1, 1, 1, 20.0), (2, 0, 2, 10.0), (3, 2, 2, 30.0), (1, 0, 0, 10.0)],
)
def test_a_job_is_done_once_those_before_it_have_had_their_slots(
    position: int, running: int, slots: int, expected: float
) -> None:
    assert eta_seconds(position, Backlog(position, running, None, 10.0), slots) == expected


def test_there_is_no_eta_before_a_rate_is_known() -> None:
    assert eta_seconds(1, Backlog(1, 0, None, None), 1) is None


@given(position=st.integers(1, 1000), running=st.integers(0, 50), slots=st.integers(1, 50))
def test_more_slots_never_make_it_later(position: int, running: int, slots: int) -> None:
    backlog = Backlog(position, running, None, 3.0)
    fewer, more = eta_seconds(position, backlog, slots), eta_seconds(position, backlog, slots + 1)
    assert fewer is not None
    assert more is not None
    assert more <= fewer
