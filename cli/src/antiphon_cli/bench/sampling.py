"""How measurements are taken, in turn, and what many of them come to."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from antiphon_cli.bench.report import Measured, Spread

K = TypeVar("K")
T = TypeVar("T")
Tell = Callable[[str], None]
"""Told what a bench does now, for whoever waits for it."""


def in_turn(sides: Mapping[K, Callable[[], T]], rounds: int, tell: Tell) -> dict[K, list[T]]:
    """Run every side once a round, ABAB: what changes on the machine meanwhile meets all of them alike."""
    found: dict[K, list[T]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        tell(f"round {number} of {rounds}")
        for name, run in sides.items():
            found[name].append(run())
    return found


def paced(call: Callable[[], object], count: int, rate: float) -> list[float]:
    """The seconds that each of `count` calls took, begun at `rate` a second.

    A call that its predecessor kept waiting is counted from the moment at which it was due: whoever waits for an answer
    does not care why it is late. Otherwise the slowest answers would hide those behind them ("coordinated omission").
    """
    begin = time.perf_counter()
    taken = []
    for number in range(count):
        due = begin + number / rate
        ahead = due - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
        started = due if ahead < 0 else time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return taken


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of them lie, linear between neighbours (type 7 of Hyndman & Fan, 1996)."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    place = percent / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def median(values: Sequence[float]) -> Measured:
    """The middle one, and where four fifths of them lie."""
    spread = Spread(percentile(values, 10), percentile(values, 90), f"p10..p90 of {len(values)}")
    return Measured(percentile(values, 50), spread)


def tail(rounds: Sequence[Sequence[float]], percent: float) -> Measured:
    """A percentile of the values of all rounds; its spread is that of the rounds' own."""
    own = [percentile(values, percent) for values in rounds]
    every = [value for values in rounds for value in values]
    return Measured(percentile(every, percent), Spread(min(own), max(own), f"min..max of {len(rounds)} rounds"))


def largest(values: Sequence[float]) -> Measured:
    """The largest, where a single one may not be larger than promised."""
    return Measured(max(values), Spread(min(values), max(values), f"min..max of {len(values)}"))


def milliseconds(seconds: Sequence[float]) -> list[float]:
    return [1000 * each for each in seconds]
