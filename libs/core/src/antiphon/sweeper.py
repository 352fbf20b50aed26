"""Ends what is over: jobs that were to be done by now, ended jobs that were to be kept until now.

And mends what crashes leave: messages lost with their queue, blobs of erased jobs. Runs in every API replica and every
worker; each step is safe to run twice at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from antiphon import lifecycle
from antiphon.blobs.base import Blobs
from antiphon.errors import JobDeleted, JobNotFound, Unavailable
from antiphon.queue.base import Queue
from antiphon.store.base import Census, Store

BATCH = 100
ERASE_AGE = 3600.0
"""Seconds after a job was erased until no worker can still be writing its blobs: they are then erased once more."""
FORGET_AGE = 30 * 24 * 3600.0
"""Seconds after a job was erased for which we can say that there was one."""

log = structlog.get_logger(__name__)


def lost(census: Census, alive: int, shortfall_before: bool) -> bool:
    """Whether messages of a pool are gone: the store expects more than the queue holds, in two successive looks.

    One look may catch a message between two places, or an approximate count (SQS).
    """
    return shortfall_before and census.expected > alive


class Sweeper:
    """Looks every `interval` seconds; a job is overdue `grace` seconds after it was due."""

    def __init__(self, store: Store, queue: Queue, blobs: Blobs, *, interval: float = 15.0, grace: float = 5.0) -> None:
        self._store = store
        self._queue = queue
        self._blobs = blobs
        self._interval = interval
        self._grace = grace
        self._short: Mapping[str, bool] = {}

    async def run(self) -> None:
        """Sweep until cancelled. Erasing may take long where much is due, and holds up nothing else."""
        async with asyncio.TaskGroup() as tasks:
            for part in (self._mend, self._erase):
                tasks.create_task(self._repeat(part))

    async def sweep(self) -> None:
        """One look at everything."""
        await self._mend()
        await self._erase()

    async def _repeat(self, part: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await part()
            except Unavailable as error:
                log.warning("sweep put off", error=str(error))
            await asyncio.sleep(self._interval)

    async def _mend(self) -> None:
        await self._expire()
        await self._resend_lost()

    async def _erase(self) -> None:
        await self._erase_due()
        await self._erase_late_blobs()
        while await self._store.forget_tombstones(BATCH, age=FORGET_AGE):
            pass

    async def _expire(self) -> None:
        for tenant, job in await self._store.expired(BATCH):
            try:
                await self._store.change(tenant, job, lifecycle.expire)
            except (JobNotFound, JobDeleted):
                continue  # deleted since we looked, which ends it as well

    async def _resend_lost(self) -> None:
        short = {}
        for census in await self._store.census(grace=self._grace):
            alive = sum(depth.alive for depth in (await self._queue.depth(census.pool)).values())
            short[census.pool] = census.expected > alive
            if lost(census, alive, self._short.get(census.pool, False)):
                await self._resend(census)
        self._short = short

    async def _resend(self, census: Census) -> None:
        sent = 0
        for tenant, job in census.overdue:
            try:
                sent += await self._store.resend(tenant, job)
            except (JobNotFound, JobDeleted):
                continue  # deleted since we looked: nothing to send
        if sent:
            log.warning("messages were lost with their queue and are sent again", pool=census.pool, jobs=sent)

    async def _erase_due(self) -> None:
        while erased := await self._store.erase_due(BATCH):
            for tombstone in erased:  # should this be cut short, `_erase_late_blobs` does it
                await self._blobs.delete_prefix(tombstone.prefix)
            log.info("jobs were erased, since the time for which they were to be kept is over", jobs=len(erased))

    async def _erase_late_blobs(self) -> None:
        while late := await self._store.tombstones(BATCH, age=ERASE_AGE):
            for tombstone in late:
                await self._blobs.delete_prefix(tombstone.prefix)
                await self._store.sweep_tombstone(tombstone)
