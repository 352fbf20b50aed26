"""Empties a pool's queue of what waits: the jobs are cancelled, then their messages are taken out.

In this order, and only what the store calls over is taken out: so no message of a job is lost that nobody cancelled,
such as one that is accepted meanwhile. Messages that are delayed (between attempts) or still in the outbox are out of
reach; that does no harm, since workers do away with a cancelled job's message in passing.
"""

import asyncio
from dataclasses import dataclass

from antiphon import lifecycle
from antiphon.errors import JobDeleted, JobNotFound
from antiphon.hooks import Hooks
from antiphon.jobs import Job, Priority
from antiphon.lifecycle import Change
from antiphon.messages import Message
from antiphon.ports import Ports
from antiphon.queue.base import PRIORITIES, Received

BATCH = 100
LAST_LOOK = 0.2
"""Seconds without a message after which the queue counts as empty; some backends miss what is there at a first look."""
LEASE = 60.0
"""Seconds for which living messages are held at most, should we die: a purge is over long before."""
HELD = 1000
"""Living messages that are held at most, since no worker gets them meanwhile."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What became of a purge. Not `complete`: its time was over, or too many living messages were in the way."""

    cancelled: int
    removed: int
    complete: bool


def cancel_waiting(job: Job, now: float, *, pool: str) -> Change:
    """As `lifecycle.cancel`, for a job that waits for `pool`; one that has ended, or that somebody works on, stays."""
    leased = job.lease is not None and job.lease.until > now
    if job.state.terminal or leased or job.pool != pool:
        return Change(job)
    return lifecycle.cancel(job, now)


def wanted(message: Message, job: Job) -> bool:
    """Whether a worker still has anything to do for `message`: the job, or at least its dead letter."""
    return (message.round, message.leg) == (job.round, job.leg) and (not job.state.terminal or job.dead_letter)


async def purge(ports: Ports, hooks: Hooks, pool: str, priority: Priority | None, *, seconds: float) -> Purged:
    """Cancel what waits for `pool`, of one priority or of all, for at most some `seconds`; fine to call again."""
    deadline = asyncio.get_running_loop().time() + seconds
    cancelled = await _cancel(ports, hooks, pool, priority, deadline)
    removed, complete = await _take_out(ports, pool, priority, deadline)  # if there is time left
    return Purged(cancelled, removed, complete)


async def _cancel(ports: Ports, hooks: Hooks, pool: str, priority: Priority | None, deadline: float) -> int:
    """How many were cancelled: those that waited when their page was read."""
    cancelled = 0
    last: Job | None = None
    while True:
        waiting = await ports.store.waiting(pool, limit=BATCH, priority=priority, after=last)
        for last in waiting:
            if not _time_left(deadline):
                return cancelled
            cancelled += await _cancelled(ports, hooks, last, pool)
        if len(waiting) < BATCH:
            return cancelled


async def _cancelled(ports: Ports, hooks: Hooks, job: Job, pool: str) -> bool:
    """Whether it was we who ended the job."""
    ended = False

    def decide(standing: Job, now: float) -> Change:
        nonlocal ended
        change = cancel_waiting(standing, now, pool=pool)
        ended = change.event is not None
        return change

    try:
        standing = await ports.store.change(job.tenant, job.id, decide)
    except (JobNotFound, JobDeleted):
        return False  # deleted since we looked, which ends it as well
    if ended:
        hooks.ended(standing)
    return ended


async def _take_out(ports: Ports, pool: str, priority: Priority | None, deadline: float) -> tuple[int, bool]:
    """How many messages were removed, and whether none is left that we could see."""
    priorities = PRIORITIES if priority is None else {priority}
    held: list[Received] = []
    removed = 0
    try:
        while _time_left(deadline) and len(held) < HELD:
            received = await ports.queue.receive(BATCH, wait=LAST_LOOK, lease=LEASE, pool=pool, priorities=priorities)
            held += received
            over = [each for each in received if not await _living(ports, each.message)]
            if not over and len(received) < BATCH:
                return removed, True  # what comes now is new, and there may be no end of it
            removed += sum(await ports.queue.ack(over))
            gone = {each.receipt for each in over}
            held = [each for each in held if each.receipt not in gone]
        return removed, False
    finally:
        if held:
            await ports.queue.release(held)


async def _living(ports: Ports, message: Message) -> bool:
    try:
        return wanted(message, await ports.store.job(message.tenant, message.job))
    except (JobNotFound, JobDeleted):
        return False


def _time_left(deadline: float) -> bool:
    return asyncio.get_running_loop().time() < deadline
