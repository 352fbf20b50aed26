"""The queue tools: look into a pool's queue, redrive, purge, pause. For holders of the internal token."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Path, Query

from antiphon import purge
from antiphon.errors import PoolNotFound, Unavailable
from antiphon.jobs import Priority
from antiphon.pools import Pool
from antiphon.queue.base import Capability
from antiphon_api import bodies, carried, dead_letters, internal
from antiphon_api.context import Here
from antiphon_api.errors import BodyTooLarge, FieldsInvalid, MediaTypeNotSupported
from antiphon_api.problems import responses
from antiphon_api.queue_schemas import (
    DeadLetterList,
    DeadLetterOut,
    MessageList,
    MessageOut,
    PurgedOut,
    PurgeIn,
    RedriveIn,
    RedrivenOut,
)
from antiphon_api.schemas import PoolOut

PURGE_SECONDS = 10.0
"""How long one request purges; whoever has more to purge asks again."""

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/internal/queues/{pool}", tags=["internal"], dependencies=[internal.TOKEN])

_EVERYWHERE = (*internal.ERRORS, PoolNotFound, Unavailable)
_WITH_BODY = (BodyTooLarge, MediaTypeNotSupported, FieldsInvalid)


async def _pool(here: Here, pool: Annotated[str, Path(description="The pool's name.", examples=["default"])]) -> Pool:
    return await here.ports.store.pool(pool)


Known = Annotated[Pool, Depends(_pool)]
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]


@router.get(
    "/messages",
    operation_id="peekMessages",
    summary="See what waits in a queue",
    responses=responses(*_EVERYWHERE, FieldsInvalid),
)
@router.head("/messages", include_in_schema=False)
async def peek_messages(here: Here, pool: Known, limit: Limit = 20) -> MessageList:
    """The messages that a worker would get next, without taking them."""
    queue, store = here.ports.queue, here.ports.store
    if Capability.PEEK not in queue.capabilities:
        jobs = await store.waiting(pool.name, limit=limit)
        return MessageList(source="store", messages=[MessageOut.of_job(job) for job in jobs])
    waiting = await queue.peek(limit, pool=pool.name)
    told = [carried.read(each.body) for each in waiting]
    found = zip(waiting, told, await carried.jobs(store, told), strict=True)
    return MessageList(source="queue", messages=[MessageOut.of_message(*each) for each in found])


@router.get(
    "/dead",
    operation_id="listDeadLetters",
    summary="See the dead letters",
    responses=responses(*_EVERYWHERE, FieldsInvalid),
)
@router.head("/dead", include_in_schema=False)
async def list_dead_letters(here: Here, pool: Known, limit: Limit = 20) -> DeadLetterList:
    """The messages that were given up, the oldest first, and why."""
    letters = await here.ports.queue.dead(limit, pool=pool.name)
    told = [carried.read(letter.body) for letter in letters]
    found = zip(letters, told, await carried.jobs(here.ports.store, told), strict=True)
    return DeadLetterList(dead=[DeadLetterOut.of(*each) for each in found])


@router.post(
    "/redrive",
    operation_id="redriveDeadLetters",
    summary="Try dead letters again",
    openapi_extra={"requestBody": bodies.described(RedriveIn)},
    responses=responses(*_EVERYWHERE, *_WITH_BODY),
)
async def redrive_dead_letters(
    here: Here, pool: Known, wish: Annotated[RedriveIn, Depends(bodies.reader(RedriveIn))]
) -> RedrivenOut:
    """Opens a new round for each job that failed; what belongs to no job is queued again as it is.

    A dead letter whose job has since succeeded, was deleted, or goes on without it is only removed.
    """
    redriven = await dead_letters.redrive(here.ports, pool.name, wish.ids, wish.limit)
    log.info("dead letters were redriven", pool=pool.name, redriven=redriven.count, skipped=len(redriven.skipped))
    return RedrivenOut.of(redriven)


@router.post(
    "/purge",
    operation_id="purgeQueue",
    summary="Cancel what waits",
    openapi_extra={"requestBody": bodies.described(PurgeIn)},
    responses=responses(*_EVERYWHERE, *_WITH_BODY),
)
async def purge_queue(here: Here, pool: Known, wish: Annotated[PurgeIn, Depends(bodies.reader(PurgeIn))]) -> PurgedOut:
    """Cancels the jobs that wait for the pool, and takes their messages out of its queue.

    What a worker is at goes on, and what comes meanwhile may stay. Takes some ten seconds at most: if there was more to
    do, `complete` is false, and the request may be sent again.
    """
    priority = None if wish.priority is None else Priority[wish.priority.upper()]
    purged = await purge.purge(here.ports, here.hooks, pool.name, priority, seconds=PURGE_SECONDS)
    log.info("a queue was purged", pool=pool.name, cancelled=purged.cancelled, removed=purged.removed)
    return PurgedOut.of(purged)


@router.post("/pause", operation_id="pausePool", summary="Pause a pool", responses=responses(*_EVERYWHERE))
async def pause_pool(here: Here, pool: Known) -> PoolOut:
    """Its workers finish what they are at, and begin nothing new until it is resumed. Jobs are still accepted."""
    return await _pause(here, pool, paused=True)


@router.post("/resume", operation_id="resumePool", summary="Resume a pool", responses=responses(*_EVERYWHERE))
async def resume_pool(here: Here, pool: Known) -> PoolOut:
    """Its workers begin what waits."""
    return await _pause(here, pool, paused=False)


async def _pause(here: Here, pool: Pool, *, paused: bool) -> PoolOut:
    changed = await here.ports.store.pause(pool.name, paused=paused)
    log.info("a pool was paused" if paused else "a pool was resumed", pool=pool.name)
    return PoolOut.of(changed, await here.ports.store.backlog(pool.name))
