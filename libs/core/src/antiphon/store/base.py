"""The port `Store`. What is promised here, `tests/contract/test_store.py` asks of every adapter."""

import abc
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from antiphon.admission import Backlog
from antiphon.jobs import Artifact, Event, Job, Priority, State
from antiphon.lifecycle import Change
from antiphon.messages import Message
from antiphon.pools import Pool
from antiphon.resource import Resource

Decision = Callable[[Job, float], Change]
"""What is to become of a job, given how it stands and the database's time: a function of `lifecycle.py`."""


def topic(job: str) -> str:
    """The topic on which listeners hear of this job's changes."""
    return f"job:{job}"


def pool_topic(pool: str) -> str:
    """The topic on which the workers of a pool hear that it was paused, or resumed."""
    return f"pool:{pool}"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message that was promised in a transaction and still has to be sent."""

    id: int
    message: Message


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of an erased job. Its blobs, below `prefix`, are surely gone only once it is swept."""

    job: str
    tenant: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Census:
    """How many messages a pool's queue should hold, by what the store knows, and which jobs nobody seems to have."""

    pool: str
    expected: int
    overdue: tuple[tuple[str, str], ...]
    """(tenant, job) of those that are due, unleased, and have not been sent again within the hour."""


class Store(Resource):
    """Keeps jobs and their history. What it has committed survives a power cut; what it refuses it has not changed.

    Every row belongs to a tenant, and no call that names a tenant sees another's. Times come from the database's clock.
    """

    @abc.abstractmethod
    async def accept(self, job: Job) -> Job:
        """Take a new job: {job, event, outbox row} in one transaction.

        Within 24 hours the same idempotency key gives the job that it first gave. Raises IdempotencyMismatch if that
        one was for something else.
        Raises InDoubt if the store is gone before it could say whether it has taken the job; any other exception means
        that it has not.
        """

    @abc.abstractmethod
    async def change(self, tenant: str, job: str, decide: Decision) -> Job:
        """Apply a decision of `lifecycle.py` in one transaction; the job as it stands afterwards.

        What `decide` raises goes on to the caller, and nothing is changed. Raises JobNotFound, JobDeleted.
        """

    @abc.abstractmethod
    async def job(self, tenant: str, job: str) -> Job:
        """Raises JobNotFound, JobDeleted; RetentionOver, which is one, if nobody but time has erased the job."""

    @abc.abstractmethod
    async def jobs(
        self,
        tenant: str,
        *,
        limit: int,
        states: Collection[State] = (),
        created_after: float | None = None,
        created_before: float | None = None,
        before: str | None = None,
    ) -> list[Job]:
        """The newest jobs first; `before` is the id of the last job of the page before."""

    @abc.abstractmethod
    async def events(self, tenant: str, job: str, *, after: int = 0) -> list[Event]:
        """The job's history beyond event number `after`. Raises JobNotFound, JobDeleted."""

    @abc.abstractmethod
    async def artifacts(self, tenant: str, job: str) -> list[Artifact]:
        """What the job's stages have left, the newest of each name, in the order in which they were saved."""

    @abc.abstractmethod
    async def wait_for_outbox(self, timeout: float) -> None:
        """Return once this process has promised a message, at the latest after `timeout` seconds.

        Only this process: whoever promised sends first, and the others need not wake for it.
        """

    @abc.abstractmethod
    async def take_outbox(self, limit: int, *, lease: float) -> list[OutboxRow]:
        """The oldest promised messages, ours to send for `lease` seconds."""

    @abc.abstractmethod
    async def drop_outbox(self, ids: Sequence[int]) -> None:
        """These have been sent."""

    @abc.abstractmethod
    async def census(self, *, grace: float) -> list[Census]:
        """Of every pool with living jobs; a job is overdue `grace` seconds after it was due."""

    @abc.abstractmethod
    async def resend(self, tenant: str, job: str) -> bool:
        """Promise the job's message once more, unless that was done within the hour or the job no longer waits."""

    @abc.abstractmethod
    async def expired(self, limit: int) -> list[tuple[str, str]]:
        """(tenant, job) of living jobs whose time is over."""

    @abc.abstractmethod
    async def erase_due(self, limit: int) -> list[Tombstone]:
        """Erase jobs whose `erase_at` has passed and that are not held, the longest due first: what is left of them.

        Their blobs are the caller's to erase. Of several callers at once each gets jobs of its own.
        """

    @abc.abstractmethod
    async def tombstones(self, limit: int, *, age: float) -> list[Tombstone]:
        """Of jobs erased `age` seconds ago or earlier whose blobs have not been swept since."""

    @abc.abstractmethod
    async def sweep_tombstone(self, tombstone: Tombstone) -> None:
        """The blobs of the erased job are gone for good."""

    @abc.abstractmethod
    async def forget_tombstones(self, limit: int, *, age: float) -> int:
        """Remove swept tombstones of jobs erased `age` seconds ago or earlier; how many. They are then not found."""

    @abc.abstractmethod
    async def put_pool(self, pool: Pool) -> None:
        """Register a pool, or change it. Whether it is paused stays as it is."""

    @abc.abstractmethod
    async def pause(self, pool: str, *, paused: bool) -> Pool:
        """Keep the pool's workers from beginning anything new, or let them again. Raises PoolNotFound."""

    @abc.abstractmethod
    async def pool(self, name: str) -> Pool:
        """Raises PoolNotFound."""

    @abc.abstractmethod
    async def pools(self) -> list[Pool]:
        """The registered pools, by name."""

    @abc.abstractmethod
    async def backlog(self, pool: str) -> Backlog:
        """How busy a pool is."""

    @abc.abstractmethod
    async def waiting(
        self, pool: str, *, limit: int, priority: Priority | None = None, after: Job | None = None
    ) -> list[Job]:
        """The jobs whose present leg waits for the pool, in the order of their turn: by priority, then the oldest.

        They are queued, or run and nobody's lease on them does: between legs, between attempts, or left by a lost
        worker. `after` is the last job of the page before.
        """

    @abc.abstractmethod
    async def position(self, job: Job) -> int:
        """The job's place among those that wait for its pool, from 1; 0 once it no longer waits."""
