"""What became of one recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no result: a stable code, and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The artifacts of a recording, or the trouble with it. `seconds`: how long it took."""

    recording: Path
    seconds: float
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    trouble: Trouble | None = None
