"""Which systems there are. A new one is a file with a `System`, and a line here."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon_cli.bench.queue.peers.base import System


@dataclass(frozen=True, slots=True)
class Entrant:
    """A system that can take part. `kind` is its class in `module`; the first of `packages` is the one that counts."""

    name: str
    module: str
    kind: str
    packages: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package in self.packages if find_spec(package.replace("-", "_")) is None]

    @property
    def title(self) -> str:
        """Its name and version."""
        return f"{self.name} {version(self.packages[0])}"

    def open(self, url: str, handled: Callable[[], None]) -> "System":
        module = importlib.import_module(f"antiphon_cli.bench.queue.peers.{self.module}")
        system: System = getattr(module, self.kind)(url, handled)
        return system


OURS = Entrant("antiphon", "antiphon", "InBatches", ("antiphon",))
OURS_ONE_BY_ONE = Entrant("antiphon-one-by-one", "antiphon", "OneByOne", ("antiphon",))
PEERS = (
    Entrant("taskiq", "taskiq", "Taskiq", ("taskiq", "taskiq-redis")),
    Entrant("dramatiq", "dramatiq", "Dramatiq", ("dramatiq",)),
    Entrant("SAQ", "saq", "Saq", ("saq",)),
    Entrant("Celery", "celery", "Celery", ("celery",)),
    Entrant("RQ", "rq", "Rq", ("rq",)),
)
SYSTEMS = {system.name: system for system in (OURS, OURS_ONE_BY_ONE, *PEERS)}
