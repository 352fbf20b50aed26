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
    retained_until: str | None = None
    legal_hold: bool = False
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
    paused: bool = False
    available: int
    in_flight: int
    delayed: int
    dead: int


class QueueList(_View):
    queues: list[Queue]


class Message(_View):
    """A message that waits; without a job if it cannot be read, and then with its body."""

    priority: str
    job: str | None = None
    state: str | None = None
    round: int | None = None
    deliveries: int | None = None
    body: str | None = None


class MessageList(_View):
    """`source` is `queue`, or `store` where the queue cannot show what waits."""

    source: str
    messages: list[Message]


class DeadLetter(_View):
    """A message that was given up; without a job if it cannot be read."""

    id: str
    reason: str
    died_at: str
    job: str | None = None
    state: str | None = None
    body: str = ""


class DeadLetterList(_View):
    dead: list[DeadLetter]


class Skipped(_View):
    """A dead letter that was not tried again."""

    id: str
    reason: str


class Redriven(_View):
    redriven: int
    skipped: list[Skipped]


class Purged(_View):
    cancelled: int
    removed: int
    complete: bool


class Backlog(_View):
    queued: int
    running: int


class Pool(_View):
    name: str
    paused: bool
    backlog: Backlog


@dataclass(frozen=True, slots=True)
class Update:
    """One thing that happened to a job: `kind` is `state`, `progress` or `result`."""

    kind: str
    job: Job
