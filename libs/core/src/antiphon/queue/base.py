"""The port `Queue`. What is promised here, `tests/contract/test_queue.py` asks of every adapter."""

import abc
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from antiphon.jobs import Priority
from antiphon.messages import DEFAULT_POOL, Message
from antiphon.resource import Resource


class Capability(StrEnum):
    """A promise that not every backend can make."""

    DEDUPLICATION = "deduplication"  # a message that still waits is not queued a second time
    ORDER = "order"  # messages of one group are received in the order in which they were sent
    LONG_DELAY = "long_delay"  # delays of more than 15 minutes need no second send
    CHECKED_RECEIPTS = "checked_receipts"  # an ack with a stale receipt is refused
    EXACT_DEPTH = "exact_depth"  # the depth tells apart, at once, what waits, is leased and is delayed
    PEEK = "peek"  # what waits can be read without receiving it


class SendOutcome(StrEnum):
    SENT = "sent"
    DUPLICATE = "duplicate"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Received:
    """A message that is ours until its lease ends. `receipt` is the adapter's own; `deliveries` starts at 1."""

    message: Message
    receipt: str
    deliveries: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits, as a peek shows it. `body` may be one that nobody can read; `deliveries` came before."""

    body: str
    priority: Priority
    deliveries: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up. `body` is as it was sent, since it may be one that nobody can read."""

    id: str
    body: str
    reason: str
    died_at: float


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages wait, are leased, are delayed, are dead."""

    available: int = 0
    in_flight: int = 0
    delayed: int = 0
    dead: int = 0

    @property
    def alive(self) -> int:
        return self.available + self.in_flight + self.delayed


PRIORITIES = frozenset(Priority)


class Queue(Resource):
    """Carries messages from whoever made work to whoever does it, at least once.

    Every pool has one queue per priority; a message names both. Correctness rests on the claim in the store, so a
    message may come twice, late, or after its job has ended.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    @abc.abstractmethod
    async def send(self, messages: Sequence[Message], *, delay: float = 0.0) -> list[SendOutcome]:
        """Queue each message, to be seen after `delay` seconds; one outcome per message, in order."""

    @abc.abstractmethod
    async def receive(
        self,
        limit: int,
        *,
        wait: float,
        lease: float,
        pool: str = DEFAULT_POOL,
        priorities: Collection[Priority] = PRIORITIES,
    ) -> list[Received]:
        """Up to `limit` messages, each ours for `lease` seconds; an empty list after `wait` seconds without work.

        The `priorities` are drawn by weight; an empty one never delays another. A message that cannot be read goes to
        the dead letters.
        """

    @abc.abstractmethod
    async def extend(self, received: Sequence[Received], lease: float) -> list[bool]:
        """Keep each for `lease` seconds from now; False where the lease was lost."""

    @abc.abstractmethod
    async def ack(self, received: Sequence[Received]) -> list[bool]:
        """Remove each for good; False where the lease was lost (see Capability.CHECKED_RECEIPTS)."""

    @abc.abstractmethod
    async def release(self, received: Sequence[Received], *, delay: float = 0.0) -> list[bool]:
        """Give each back, to be seen again after `delay` seconds; False where the lease was lost."""

    @abc.abstractmethod
    async def dead_letter(self, received: Received, reason: str) -> bool:
        """Move it to the dead letters; False where the lease was lost."""

    async def peek(self, limit: int, *, pool: str = DEFAULT_POOL) -> list[Waiting]:
        """The messages that could be received now, in the order of priority and arrival; they stay as they are.

        Only where the backend can (Capability.PEEK); the store knows the jobs that wait in any case.
        """
        raise NotImplementedError

    @abc.abstractmethod
    async def dead(self, limit: int, *, pool: str = DEFAULT_POOL) -> list[DeadLetter]:
        """The oldest dead letters."""

    @abc.abstractmethod
    async def redrive(self, ids: Sequence[str], *, pool: str = DEFAULT_POOL) -> int:
        """Send these dead letters again; how many there were. Only for messages of no job: the store redrives jobs."""

    @abc.abstractmethod
    async def delete_dead(self, ids: Sequence[str], *, pool: str = DEFAULT_POOL) -> int:
        """Forget these dead letters; how many there were."""

    @abc.abstractmethod
    async def depth(self, pool: str = DEFAULT_POOL) -> Mapping[Priority, Depth]:
        """The depth of every priority of a pool."""

    async def prepare(self, pool: str = DEFAULT_POOL) -> None:
        """Make the pool's queues, where the backend keeps queues that somebody has to make; fine to call again."""
