"""Which benches there are. A new one is a folder with a `measure.py`, and a line here."""

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon_cli.bench.effort import Effort
    from antiphon_cli.bench.report import Figure, LeftOut
    from antiphon_cli.bench.sampling import Tell


@dataclass(frozen=True, slots=True)
class Bench:
    """`antiphon_cli.bench.<name>.measure` measures it; the docstring there says against what, and why that is fair."""

    name: str
    summary: str

    def measure(self, effort: "Effort", tell: "Tell") -> "Sequence[Figure | LeftOut]":
        """Raises BenchError."""
        figures: Sequence[Figure | LeftOut] = self._module().measure(effort, tell)
        return figures

    def about(self) -> str:
        return inspect.getdoc(self._module()) or ""

    def _module(self) -> ModuleType:
        return importlib.import_module(f"antiphon_cli.bench.{self.name}.measure")


BENCHES = (
    Bench("queue", "The queue's rate and latency, beside raw sqlite3 and a pipe."),
    Bench("speech", "What the platform adds to calling faster-whisper directly."),
    Bench("api", "How fast the API answers while a worker computes, and what an upload costs it."),
)
