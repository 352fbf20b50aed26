"""Whether a service fails: decided from the outcomes of calls to it, so that readiness need not try for itself.

Closed is well. Several failures in a row open the circuit; after a rest it is half open, and one probe decides.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

FAILURES = 2
"""In a row, each after the client's own retries."""
REST = 5.0
"""Seconds between two probes of a service that fails."""


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Circuit:
    """Times are seconds of one clock that only goes forward."""

    failures: int = 0
    tried_at: float = 0.0
    """When the service was last tried in vain, once the circuit is open."""
    why: str = ""

    def state(self, now: float) -> State:
        if self.failures < FAILURES:
            return State.CLOSED
        return State.OPEN if now < self.tried_at + REST else State.HALF_OPEN

    def succeeded(self) -> "Circuit":
        """The service has answered, whatever it said: all is forgotten."""
        return Circuit()

    def failed(self, now: float, why: str) -> "Circuit":
        """The service did not answer, or broke."""
        return Circuit(self.failures + 1, now, why)

    def probing(self, now: float) -> "Circuit":
        """Somebody tries; until the outcome is known, others need not."""
        return replace(self, tried_at=now)
