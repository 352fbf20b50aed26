"""In which order the priorities are asked for work: drawn by weight, so that `low` waits longer, but never for ever."""

from bisect import bisect
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, permutations
from random import Random
from types import MappingProxyType

from antiphon.jobs import Priority

WEIGHTS: Mapping[Priority, int] = MappingProxyType({Priority.HIGH: 7, Priority.NORMAL: 2, Priority.LOW: 1})


class WeightedDraw:
    """Draws orders without replacement: each place goes by weight to one of the priorities that are left.

    Every priority is in every order, so an empty one only passes its turn on. Every priority is first in its share of
    the draws whatever the others hold, so none starves. The orders are few and known: a draw is one random number.
    """

    def __init__(self, weights: Mapping[Priority, int] = WEIGHTS) -> None:
        if not weights or any(weight <= 0 for weight in weights.values()):
            raise ValueError("every priority needs a weight above 0, or it would starve")
        self.orders = tuple(permutations(weights))
        self.shares = tuple(_share(order, weights) for order in self.orders)
        # the last share is left out: what rounding leaves over belongs to the last order
        self._bounds = tuple(accumulate(self.shares))[:-1]

    def order(self, random: Random, *, among: Collection[Priority] | None = None) -> tuple[Priority, ...]:
        """All priorities, or those `among` them, in the order in which to ask them this time."""
        order = self.orders[bisect(self._bounds, random.random())]
        if among is None or len(among) == len(order):
            return order
        return tuple(priority for priority in order if priority in among)


def _share(order: Sequence[Priority], weights: Mapping[Priority, int]) -> float:
    left = sum(weights.values())
    share = 1.0
    for priority in order:
        share *= weights[priority] / left
        left -= weights[priority]
    return share
