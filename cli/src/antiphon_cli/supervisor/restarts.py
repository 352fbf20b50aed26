"""When a program that died is started again. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Again:
    """Start it once more, `after` seconds from now."""

    after: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It has died too often at once after its start."""

    deaths: int


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Who was not ready for `settled` seconds failed to start; so many failed starts in a row end the supervisor."""

    settled: float = 5.0
    failed_starts: int = 5
    base: float = 0.1
    ceiling: float = 5.0


def count_failed(failed: int, served: float, policy: RestartPolicy) -> int:
    """The failed starts in a row, of which there were `failed` before a life with `served` seconds of being ready.

    How long a program took to die before it was ready does not count: on a busy machine that is long.
    """
    return failed + 1 if served < policy.settled else 0


def next_start(failed: int, policy: RestartPolicy) -> Again | GiveUp:
    """What follows `failed` failed starts in a row: at once after a good life, then ever later."""
    if failed >= policy.failed_starts:
        return GiveUp(failed)
    if failed == 0:
        return Again(0.0)
    return Again(min(policy.ceiling, policy.base * 2 ** (failed - 1)))
