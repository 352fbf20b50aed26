"""What the API answers, as far as the commands look into it. Fields that a newer server adds are let through."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    def json_object(self) -> dict[str, Any]:
        """As the server said it."""
        return self.model_dump(mode="json")


class Failure(_View):
    code: str
    message: str


class Source(_View):
    name: str
    size: int


class Accepted(_View):
    """The answer to a submission."""

    id: str
    state: str
    position: int | None = None
    eta_seconds: float | None = None


class Job(_View):
    """A job as it stands."""

    id: str
    state: str
    stage: str | None = None
    progress: float = 0.0
    attempt: int = 0
    round: int = 1
    source: Source
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    audio_seconds: float | None = None
    error: Failure | None = None

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL


class JobPage(_View):
    jobs: list[Job]
    next_cursor: str | None = None


class Queue(_View):
    """How full the queue of one pool and priority is, in messages."""

    pool: str
    priority: str
    available: int
    in_flight: int
    delayed: int
    dead: int


class QueueList(_View):
    queues: list[Queue]


@dataclass(frozen=True, slots=True)
class Update:
    """One thing that happened to a job: `kind` is `state`, `progress` or `result`."""

    kind: str
    job: Job
