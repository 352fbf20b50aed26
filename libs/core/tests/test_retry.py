from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.retry import GiveUp, Retry, RetryPolicy, StageFailure, next_attempt

PASSING = StageFailure("slot_crashed", "the process died", retryable=True)
FINAL = StageFailure("audio_undecodable", "not audio", retryable=False)


@pytest.mark.parametrize(
    ("failure", "attempt", "expected"),
    [(FINAL, 1, "audio_undecodable"), (PASSING, 3, "slot_crashed"), (PASSING, 4, "slot_crashed")],
)
def test_what_cannot_heal_or_was_tried_enough_is_given_up(failure: StageFailure, attempt: int, expected: str) -> None:
    assert next_attempt(failure, attempt, RetryPolicy(attempts=3), Random(1)) == GiveUp(expected)


@given(attempt=st.integers(1, 50), seed=st.integers())
def test_a_retry_never_waits_longer_than_its_step_or_the_ceiling(attempt: int, seed: int) -> None:
    policy = RetryPolicy(attempts=100, base=2.0, ceiling=60.0)
    decision = next_attempt(PASSING, attempt, policy, Random(seed))
    assert isinstance(decision, Retry)
    assert 0 <= decision.after <= min(60.0, 2.0 * 2 ** (attempt - 1))


def test_waits_are_spread_over_the_whole_step() -> None:
    random = Random(7)
    waits = [next_attempt(PASSING, 1, RetryPolicy(), random) for _ in range(1000)]
    seconds = sorted(wait.after for wait in waits if isinstance(wait, Retry))
    assert seconds[0] < 0.1
    assert seconds[-1] > 1.9
