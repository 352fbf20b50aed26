"""What a new job may expect. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backlog:
    """A look at one pool: jobs that wait, jobs that run, and the mean run time of those that lately succeeded."""

    queued: int
    running: int
    oldest_due: float | None
    """When the job that waits longest was due, in seconds since the epoch."""
    mean_run_seconds: float | None


def eta_seconds(position: int, backlog: Backlog, slots: int) -> float | None:
    """Seconds until a job is done that has `position - 1` jobs before it, with `slots` jobs running at a time.

    None until a job has succeeded, since a guess without a measured rate would be a lie.
    """
    if backlog.mean_run_seconds is None:
        return None
    rounds = (position - 1 + backlog.running) // max(1, slots) + 1
    return rounds * backlog.mean_run_seconds
