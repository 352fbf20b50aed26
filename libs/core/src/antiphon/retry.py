"""When to try again. Pure: no clock, no I/O."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class StageFailure:
    """Why a stage of an attempt failed, in a form that travels between processes."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` per leg and round; seconds between them grow from `base`, and never beyond `ceiling`."""

    attempts: int = 3
    base: float = 2.0
    ceiling: float = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    after: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    code: str


def next_attempt(failure: StageFailure, attempt: int, policy: RetryPolicy, random: Random) -> Retry | GiveUp:
    """When to try again after `failure` of attempt number `attempt` (the first is 1).

    Full jitter, which spreads a thundering herd best:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    if not failure.retryable or attempt >= policy.attempts:
        return GiveUp(failure.code)
    return Retry(after=random.uniform(0, min(policy.ceiling, policy.base * 2 ** (attempt - 1))))
