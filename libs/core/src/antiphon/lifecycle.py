"""How a job changes. Every function takes the job as it stands and the time, and returns the change; none does I/O.

`Store.change` reads the job, asks one of these, and writes what it returns, all in one transaction. An exception means
that nothing changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from antiphon.errors import (
    FenceLost,
    JobEphemeral,
    JobHeld,
    JobNotTerminal,
    JobSucceeded,
    JobTerminal,
    LeaseHeld,
    StaleMessage,
)
from antiphon.jobs import Artifact, Claim, Event, Failure, Job, Lease, State
from antiphon.messages import Message
from antiphon.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction writes: the job, at most one event and one outbox row, artifacts; or the job's erasure."""

    job: Job
    event: Event | None = None
    send: Message | None = None
    artifacts: tuple[Artifact, ...] = ()
    erase: bool = False


WORKER_LOST = Failure(
    "worker_lost",
    "the workers that tried this job were lost before they could finish it; redrive it once the workers are well",
)
EXPIRED = Failure("expired", "the job was not finished within the time that it was given (expires_in)")


def accept(job: Job, now: float) -> Change:
    """A new job enters the queue."""
    return _queue(replace(job, created_at=now, due_at=now), now)


def claim(job: Job, now: float, *, message: Message, worker: str, lease: float, policy: RetryPolicy) -> Change:
    """`worker` takes the job that `message` names, for `lease` seconds: fence + 1, attempt + 1.

    The job comes back terminal, and nobody's, if its time is over, if its last attempt was lost with its worker, or if
    it failed already and its message has yet to become a dead letter. Raises StaleMessage, LeaseHeld.
    """
    if (message.round, message.leg) != (job.round, job.leg):
        raise StaleMessage(f"the job is at round {job.round}, leg {job.leg}; the message at {message.key}")
    if job.state.terminal:
        if job.dead_letter:
            return Change(job)
        raise StaleMessage(f"the job is {job.state}")
    if job.lease is not None and job.lease.until > now:
        raise LeaseHeld(job.id, job.lease.until - now)
    if job.expires_at is not None and job.expires_at <= now:
        return expire(job, now)
    if job.attempt >= policy.attempts:
        return _end(replace(job, dead_letter=True), State.FAILED, now, WORKER_LOST)
    claimed = replace(
        job,
        state=State.RUNNING,
        fence=job.fence + 1,
        attempt=job.attempt + 1,
        lease=Lease(worker, now + lease),
        started_at=job.started_at if job.started_at is not None else now,
    )
    return _told(claimed, now)


def beat(job: Job, now: float, *, claim: Claim, lease: float) -> Change:
    """The worker still works: its lease runs `lease` seconds from now. Raises FenceLost."""
    held = _held(job, claim)
    return Change(replace(held, lease=Lease(claim.worker, now + lease)))


def progress(job: Job, _now: float, *, claim: Claim, stage: str, percent: float) -> Change:
    """How far the job is. Told to listeners without an event number. Raises FenceLost."""
    return Change(replace(_held(job, claim), stage=stage, progress=percent))


def save(
    job: Job,
    _now: float,
    *,
    claim: Claim,
    stage: str,
    percent: float,
    artifacts: Sequence[Artifact],
    audio_seconds: float | None = None,
) -> Change:
    """A stage is done and its artifacts are safe. Raises FenceLost."""
    held = replace(_held(job, claim), stage=stage, progress=percent)
    if audio_seconds is not None:
        held = replace(held, audio_seconds=audio_seconds)
    return Change(held, artifacts=tuple(artifacts))


def finish_leg(job: Job, now: float, *, claim: Claim, artifacts: Sequence[Artifact] = ()) -> Change:
    """The leg is done, its last stage leaving `artifacts`: the next pool's turn, or, after the last leg, success.

    Raises FenceLost.
    """
    held = _held(job, claim)
    if held.leg + 1 == len(held.legs):
        ended = _end(replace(held, progress=100.0), State.SUCCEEDED, now)
        return replace(ended, artifacts=tuple(artifacts))
    handed = replace(held, leg=held.leg + 1, attempt=0, lease=None, due_at=now)
    return Change(handed, send=Message.of(handed), artifacts=tuple(artifacts))


def retry(job: Job, now: float, *, claim: Claim, after: float) -> Change:
    """The attempt failed; the next may start in `after` seconds. Raises FenceLost."""
    return Change(replace(_held(job, claim), lease=None, due_at=now + after))


def fail(job: Job, now: float, *, claim: Claim, failure: Failure) -> Change:
    """The job failed for good; its message is to become a dead letter. Raises FenceLost."""
    return _end(replace(_held(job, claim), dead_letter=True), State.FAILED, now, failure)


def hand_back(job: Job, now: float, *, claim: Claim) -> Change:
    """The worker must go (drain, eviction): the attempt does not count. Raises FenceLost."""
    held = _held(job, claim)
    return Change(replace(held, attempt=held.attempt - 1, lease=None, due_at=now))


def buried(job: Job, _now: float, *, message: Message) -> Change:
    """The message of a failed job has become a dead letter."""
    return Change(replace(job, dead_letter=False) if message.round == job.round else job)


def cancel(job: Job, now: float) -> Change:
    """The caller does not want it any more; whoever works on it loses the fence. Raises JobTerminal."""
    if job.state is State.CANCELLED:
        return Change(job)
    if job.state.terminal:
        raise JobTerminal(job.id, job.state)
    return _end(replace(job, fence=job.fence + 1), State.CANCELLED, now)


def expire(job: Job, now: float) -> Change:
    """The job's time is over; nothing changes for one that has ended, or whose time is not over."""
    if job.state.terminal or job.expires_at is None or job.expires_at > now:
        return Change(job)
    return _end(replace(job, fence=job.fence + 1), State.EXPIRED, now, EXPIRED)


def redrive(job: Job, now: float) -> Change:
    """A new round for a job that ended without success; stages whose artifacts are there will not run again.

    An expiry that has passed no longer applies. Raises JobNotTerminal, JobSucceeded.
    """
    if not job.state.terminal:
        raise JobNotTerminal(job.id, job.state)
    if job.state is State.SUCCEEDED:
        raise JobSucceeded(job.id)
    return _queue(
        replace(
            job,
            round=job.round + 1,
            attempt=0,
            due_at=now,
            expires_at=job.expires_at if job.expires_at is not None and job.expires_at > now else None,
            started_at=None,
            finished_at=None,
            failure=None,
            dead_letter=False,
            progress=0.0,
        ),
        now,
    )


def resend(job: Job, now: float) -> Change:
    """The job's message was lost with its queue: send it again, unless someone works on the job."""
    if job.state.terminal or (job.lease is not None and job.lease.until > now):
        return Change(job)
    return Change(replace(job, due_at=now), send=Message.of(job))


def delete(job: Job, _now: float) -> Change:
    """The caller wants nothing of it kept; whoever works on it loses the fence. Raises JobHeld."""
    if job.legal_hold:
        raise JobHeld(job.id)
    return Change(job, erase=True)


def erase(job: Job, now: float) -> Change:
    """The time for which it is kept is over; nothing changes for one that is held, or that is to be kept longer."""
    if job.legal_hold or job.erase_at is None or job.erase_at > now:
        return Change(job)
    return Change(job, erase=True)


def hold(job: Job, _now: float) -> Change:
    """From now on it may not be erased, whether it has ended or not. Raises JobEphemeral."""
    if job.ephemeral:
        raise JobEphemeral(job.id)
    return Change(replace(job, legal_hold=True))


def lift(job: Job, _now: float) -> Change:
    """The legal hold is over; what should have been erased meanwhile will be."""
    return Change(replace(job, legal_hold=False))


def _held(job: Job, claim: Claim) -> Job:
    """The job, if `claim` is its last one and the job still runs."""
    if job.fence != claim.fence or job.lease is None or job.state is not State.RUNNING:
        raise FenceLost(f"the job is {job.state} at fence {job.fence}; the claim of {claim.worker} is {claim.fence}")
    return job


def _queue(job: Job, now: float) -> Change:
    queued = _told(replace(job, state=State.QUEUED), now)
    return replace(queued, send=Message.of(queued.job))


def _end(job: Job, state: State, now: float, failure: Failure | None = None) -> Change:
    ended = replace(job, state=state, lease=None, finished_at=now, failure=failure)
    return _told(ended, now)


def _told(job: Job, now: float) -> Change:
    """The change together with the next event, which tells it."""
    numbered = replace(job, events=job.events + 1)
    return Change(numbered, event=Event.of(numbered, now))
