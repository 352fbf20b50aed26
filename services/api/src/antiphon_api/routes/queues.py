"""How busy the installation is."""

from fastapi import APIRouter

from antiphon.errors import Unavailable
from antiphon_api.context import Here
from antiphon_api.problems import responses
from antiphon_api.schemas import PoolList, PoolOut, QueueList, QueueOut

router = APIRouter(prefix="/v1", tags=["operations"])


@router.get("/queues", operation_id="listQueues", summary="List the queues", responses=responses(Unavailable))
@router.head("/queues", include_in_schema=False)
async def list_queues(here: Here) -> QueueList:
    """How many messages wait, are being worked on, are delayed and are dead, per pool and priority."""
    queues = []
    for pool in await here.ports.store.pools():
        depths = await here.ports.queue.depth(pool.name)
        queues += [QueueOut.of(pool, priority.word, depth) for priority, depth in sorted(depths.items())]
    return QueueList(queues=queues)


@router.get("/pools", operation_id="listPools", summary="List the pools", responses=responses(Unavailable))
@router.head("/pools", include_in_schema=False)
async def list_pools(here: Here) -> PoolList:
    """The registered pools and their backlog."""
    store = here.ports.store
    return PoolList(pools=[PoolOut.of(pool, await store.backlog(pool.name)) for pool in await store.pools()])
