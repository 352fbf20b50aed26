"""What a bench found. Frozen; its arithmetic is a division and a comparison, so that a reader can redo it."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from antiphon_cli.bench.machine import Machine
from antiphon_cli.errors import CommandError


class BenchError(CommandError):
    """A bench cannot measure here, or what it measured means nothing."""

    code = "bench_failed"


@dataclass(frozen=True, slots=True)
class Spread:
    """From where to where the measurements lie; `of` says which of them: `p10..p90 of 15 rounds`."""

    low: float
    high: float
    of: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One number for many measurements."""

    value: float
    spread: Spread


@dataclass(frozen=True, slots=True)
class Against:
    """What was measured beside the subject, in the same unit and in the same run."""

    what: str
    measured: Measured


_HOLDS: Mapping[str, Callable[[float, float], bool]] = {"<": operator.lt, "<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to reach: its value, or its ratio to what it stands against."""

    of: Literal["value", "ratio"]
    sign: Literal["<", "<=", ">="]
    bound: float

    def met_by(self, number: float) -> bool:
        return _HOLDS[self.sign](number, self.bound)

    def text(self, unit: str) -> str:
        return f"ratio {self.sign} {self.bound:g}" if self.of == "ratio" else f"{self.sign} {self.bound:g} {unit}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a report."""

    figure: str
    unit: str
    measured: Measured
    against: Against
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """The subject's value divided by the other's; None where that one is 0."""
        other = self.against.measured.value
        return self.measured.value / other if other else None

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None if there is none."""
        if self.target is None:
            return None
        judged = self.measured.value if self.target.of == "value" else self.ratio
        return None if judged is None else self.target.met_by(judged)

    def json_object(self) -> dict[str, Any]:
        return {
            "figure": self.figure,
            "unit": self.unit,
            **_numbers(self.measured),
            "against": {"what": self.against.what, **_numbers(self.against.measured)},
            "ratio": None if self.ratio is None else _short(self.ratio),
            "target": None if self.target is None else self.target.text(self.unit),
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What could not be measured here, and why."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"Left out: {self.what} ({self.why})."


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one bench, and under which circumstances they came about."""

    bench: str
    command: str
    machine: Machine
    commit: str | None
    figures: Sequence[Figure]
    left_out: Sequence[LeftOut] = ()

    @property
    def missed(self) -> list[Figure]:
        """The figures that did not reach their target."""
        return [figure for figure in self.figures if figure.met is False]

    def json_object(self) -> dict[str, Any]:
        return {
            "bench": self.bench,
            "command": self.command,
            "machine": asdict(self.machine),
            "commit": self.commit,
            "figures": [figure.json_object() for figure in self.figures],
            **({"left_out": [asdict(each) for each in self.left_out]} if self.left_out else {}),
        }


def _numbers(measured: Measured) -> dict[str, Any]:
    spread = measured.spread
    return {
        "value": _short(measured.value),
        "spread": {"low": _short(spread.low), "high": _short(spread.high), "of": spread.of},
    }


def _short(number: float) -> float:
    """Without digits that no measurement has."""
    return float(f"{number:.5g}")
