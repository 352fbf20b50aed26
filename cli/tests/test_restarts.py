import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon_cli.supervisor.restarts import Again, GiveUp, RestartPolicy, count_failed, next_start

POLICY = RestartPolicy(settled=5.0, failed_starts=4, base=0.1, ceiling=0.3)


@pytest.mark.parametrize(
    ("failed", "decision"), [(0, Again(0.0)), (1, Again(0.1)), (2, Again(0.2)), (3, Again(0.3)), (4, GiveUp(4))]
)
def test_the_wait_grows_with_every_failed_start_until_it_is_given_up(failed: int, decision: Again | GiveUp) -> None:
    assert next_start(failed, POLICY) == decision


def test_a_good_life_forgives_earlier_failed_starts() -> None:
    assert count_failed(3, served=4.9, policy=POLICY) == 4
    assert count_failed(3, served=5.0, policy=POLICY) == 0


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_no_wait_is_longer_than_the_ceiling_and_no_good_life_ends_in_giving_up(lives: list[float]) -> None:
    failed = 0
    for served in lives:
        failed = count_failed(failed, served, POLICY)
        decision = next_start(failed, POLICY)
        if served >= POLICY.settled:
            assert decision == Again(0.0)
        if isinstance(decision, Again):
            assert decision.after <= POLICY.ceiling
