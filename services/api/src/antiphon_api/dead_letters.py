"""What becomes of dead letters when their jobs are tried again.

The dead letter of a job stands for one of its rounds. It is the store that tries the job again, in a new round; the
queue sends again only what belongs to no job.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import structlog

from antiphon import lifecycle
from antiphon.errors import JobDeleted, JobNotFound, Unavailable
from antiphon.jobs import Job, State
from antiphon.lifecycle import Change
from antiphon.messages import Message
from antiphon.ports import Ports
from antiphon.purge import wanted
from antiphon.queue.base import DeadLetter, Queue
from antiphon_api import carried

SEARCHED = 1000
"""Dead letters looked through; what lies beyond stays, and does no harm but to be counted."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many dead letters are on their way again, and why others are not: (id, reason)."""

    count: int
    skipped: tuple[tuple[str, str], ...]


class _Spent(Exception):
    """The dead letter's job does not want it any more; the message says why."""


async def forget(queue: Queue, job: Job) -> None:
    """Remove the dead letters of earlier rounds of `job`, which by now has a message of its own again."""
    try:
        dead = await queue.dead(SEARCHED, pool=job.pool)
        ids = [letter.id for letter in dead if _carries(letter, job)]
        if ids:
            await queue.delete_dead(ids, pool=job.pool)
    except Unavailable as error:
        log.warning("a redriven job's dead letter stays where it is", job=job.id, error=str(error))


async def redrive(ports: Ports, pool: str, ids: Collection[str] | None, limit: int) -> Redriven:
    """Send the dead letters with these ids, or the oldest `limit`, on their way again; fine to call again.

    One whose job is over without having failed in that round, or has gone on since, is only removed.
    """
    if ids is None:
        letters = await ports.queue.dead(limit, pool=pool)
    else:
        wished = frozenset(ids)
        letters = [letter for letter in await ports.queue.dead(SEARCHED, pool=pool) if letter.id in wished]
    skipped = dict.fromkeys(ids or (), "there is no such dead letter")
    by_store: list[str] = []
    by_queue: list[str] = []
    spent: list[str] = []
    for letter in letters:
        skipped.pop(letter.id, None)
        try:
            opened = await _open_round(ports, letter)
        except _Spent as reason:
            spent.append(letter.id)
            skipped[letter.id] = str(reason)
        else:
            (by_store if opened else by_queue).append(letter.id)
    sent = await ports.queue.redrive(by_queue, pool=pool) if by_queue else 0
    if by_store or spent:
        await ports.queue.delete_dead([*by_store, *spent], pool=pool)
    return Redriven(len(by_store) + sent, tuple(skipped.items()))


def again(job: Job, now: float, *, message: Message) -> Change:
    """A new round for a job that failed in the round of `message`.

    Nothing changes if the message still is the job's own: the queue's limit of deliveries made it a dead letter, not
    the job's failure. Raises _Spent.
    """
    if job.state is State.FAILED and job.round == message.round:
        return lifecycle.redrive(job, now)
    if wanted(message, job):
        return Change(job)
    if job.round != message.round:
        raise _Spent(f"its job is {job.state}, and in round {job.round} by now; this was round {message.round}")
    raise _Spent(f"its job is {job.state}")


async def _open_round(ports: Ports, letter: DeadLetter) -> bool:
    """Whether the letter's job is now in a new round; otherwise the letter itself is to be sent. Raises _Spent."""
    message = carried.read(letter.body)
    if message is None:
        return False
    try:
        job = await ports.store.change(message.tenant, message.job, partial(again, message=message))
    except JobDeleted as error:
        raise _Spent(str(error)) from None
    except JobNotFound:
        return False
    return job.round != message.round


def _carries(letter: DeadLetter, job: Job) -> bool:
    message = carried.read(letter.body)
    return message is not None and message.job == job.id and message.round < job.round
