"""What becomes of the dead letter of a job that is tried again."""

import structlog

from antiphon import messages
from antiphon.errors import MessageInvalid, Unavailable
from antiphon.jobs import Job
from antiphon.queue.base import DeadLetter, Queue

SEARCHED = 1000
"""Dead letters looked through; what lies beyond stays, and does no harm but to be counted."""

log = structlog.get_logger(__name__)


async def forget(queue: Queue, job: Job) -> None:
    """Remove the dead letters of earlier rounds of `job`, which by now has a message of its own again."""
    try:
        dead = await queue.dead(SEARCHED, pool=job.pool)
        ids = [letter.id for letter in dead if _carries(letter, job)]
        if ids:
            await queue.delete_dead(ids, pool=job.pool)
    except Unavailable as error:
        log.warning("a redriven job's dead letter stays where it is", job=job.id, error=str(error))


def _carries(letter: DeadLetter, job: Job) -> bool:
    try:
        message = messages.decode(letter.body)
    except MessageInvalid:
        return False
    return message.job == job.id and message.round < job.round
