"""The weighted draw: every order is complete, the shares are the weights, and nobody starves."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.jobs import Priority
from antiphon.queue.weights import WEIGHTS, WeightedDraw

SEEDS = st.integers(0, 2**32)


class Fixed(Random):
    """Draws one number for ever."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def random(self) -> float:
        return self.number


@given(number=st.floats(0, 1, exclude_max=True))
def test_every_draw_is_an_order_of_all_priorities(number: float) -> None:
    assert sorted(WeightedDraw().order(Fixed(number))) == sorted(Priority)


@given(weights=st.fixed_dictionaries({priority: st.integers(1, 1000) for priority in Priority}))
def test_each_priority_is_first_in_its_share_of_the_draws(weights: dict[Priority, int]) -> None:
    draw = WeightedDraw(weights)
    assert sum(draw.shares) == pytest.approx(1)
    for priority, weight in weights.items():
        first = sum(share for order, share in zip(draw.orders, draw.shares, strict=True) if order[0] == priority)
        assert first == pytest.approx(weight / sum(weights.values()))


@given(weights=st.fixed_dictionaries({priority: st.integers(1, 1000) for priority in Priority}))
def test_what_an_empty_priority_leaves_is_shared_by_weight(weights: dict[Priority, int]) -> None:
    draw = WeightedDraw(weights)
    for empty in Priority:
        one, other = (priority for priority in Priority if priority != empty)
        before = sum(
            share
            for order, share in zip(draw.orders, draw.shares, strict=True)
            if order.index(one) < order.index(other)
        )
        assert before == pytest.approx(weights[one] / (weights[one] + weights[other]))


@given(seed=SEEDS)
def test_low_does_not_starve(seed: int) -> None:
    """The chance of 400 draws without it is 0.9 ** 400, less than 1e-18."""
    random, draw = Random(seed), WeightedDraw()
    assert any(draw.order(random)[0] == Priority.LOW for _ in range(400))


def test_the_weights_are_seven_two_one() -> None:
    random, draw = Random(1), WeightedDraw()
    first = Counter(draw.order(random)[0] for _ in range(100_000))
    assert dict(WEIGHTS) == {Priority.HIGH: 7, Priority.NORMAL: 2, Priority.LOW: 1}
    assert first[Priority.HIGH] == pytest.approx(70_000, rel=0.02)
    assert first[Priority.NORMAL] == pytest.approx(20_000, rel=0.04)
    assert first[Priority.LOW] == pytest.approx(10_000, rel=0.06)


@pytest.mark.parametrize("weights", [{}, {Priority.HIGH: 1, Priority.LOW: 0}, {Priority.HIGH: -1}])
def test_a_weight_that_would_starve_is_refused(weights: dict[Priority, int]) -> None:
    with pytest.raises(ValueError, match="starve"):
        WeightedDraw(weights)


def test_one_priority_alone_is_always_first() -> None:
    assert WeightedDraw({Priority.LOW: 3}).order(Random(1)) == (Priority.LOW,)
