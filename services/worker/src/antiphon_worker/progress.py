"""How far a job is, out of how far its stages are. Pure."""

from collections.abc import Sequence

_SHARES = {"transcribe": 30.0, "align": 5.0, "score": 3.0, "pitch": 3.0}
"""How long stages take beside each other (measured with tiny.en); those not named count 1."""


def percent(stages: Sequence[str], current: str, share: float) -> float:
    """How much of all `stages` is done, 0 to 100, when `share` (0 to 1) of the `current` one is."""
    weights = [_SHARES.get(stage, 1.0) for stage in stages]
    at = list(stages).index(current)
    done = sum(weights[:at]) + weights[at] * min(1.0, max(0.0, share))
    return round(100.0 * done / sum(weights), 1)
