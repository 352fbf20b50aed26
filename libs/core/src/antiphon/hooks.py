"""Where telemetry attaches to the core. The logic calls these, and does not know who listens.

A hook around something returns a context manager, so that spans nest; as in hynek/stamina's instrumentation.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from antiphon.jobs import Job


class Hooks:
    """Listens to nothing; a subscriber overrides what it wants to hear."""

    def accepted(self, job: Job) -> None:
        """A job was taken from a caller."""

    def ended(self, job: Job) -> None:
        """This process committed the job's terminal state."""

    def attempt(self, job: Job, outcome: str) -> None:
        """An attempt ended: `done`, `failed`, `retried`, `handed_back`, `fence_lost`."""

    def stage(self, job: Job, stage: str) -> AbstractContextManager[None]:
        """Around one stage of an attempt; leaves with the exception if it fails."""
        del job, stage
        return nullcontext()

    def slot_restarted(self, reason: str) -> None:
        """A slot got a new child process: `crash`, `cancel`, `timeout`."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """An HTTP request was answered; `route` is the template, never the path."""


class AllHooks(Hooks):
    """Passes everything on to several subscribers, in order."""

    def __init__(self, subscribers: Sequence[Hooks]) -> None:
        self._subscribers = subscribers

    def accepted(self, job: Job) -> None:
        for subscriber in self._subscribers:
            subscriber.accepted(job)

    def ended(self, job: Job) -> None:
        for subscriber in self._subscribers:
            subscriber.ended(job)

    def attempt(self, job: Job, outcome: str) -> None:
        for subscriber in self._subscribers:
            subscriber.attempt(job, outcome)

    @contextmanager
    def _staged(self, job: Job, stage: str) -> Iterator[None]:
        with ExitStack() as stack:
            for subscriber in self._subscribers:
                stack.enter_context(subscriber.stage(job, stage))
            yield

    def stage(self, job: Job, stage: str) -> AbstractContextManager[None]:
        return self._staged(job, stage)

    def slot_restarted(self, reason: str) -> None:
        for subscriber in self._subscribers:
            subscriber.slot_restarted(reason)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        for subscriber in self._subscribers:
            subscriber.request(method, route, status, seconds)
