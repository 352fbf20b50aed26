"""Where telemetry attaches to the core. The logic calls these, and does not know who listens.

A hook around something returns a context manager, so that spans nest; as in hynek/stamina's instrumentation.
"""

from contextlib import AbstractContextManager, nullcontext

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
        """A slot got a new child process, after a `crash` or a `cancel`; time-outs cancel too."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """An HTTP request was answered; `route` is the template, never the path."""
