"""Mends what crashes leave: messages lost with their queue, jobs whose time is over, blobs of deleted jobs.

Runs in every API replica and worker; each step is safe to run twice at once.
"""

import asyncio
from collections.abc import Mapping

import structlog

from antiphon import lifecycle
from antiphon.blobs.base import Blobs
from antiphon.errors import JobDeleted, JobNotFound, Unavailable
from antiphon.queue.base import Queue
from antiphon.store.base import Census, Store

BATCH = 100
ERASE_AGE = 3600.0
"""Seconds after a deletion until no worker can still be writing blobs of the job: they are then erased once more."""

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
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable as error:
                log.warning("sweep put off", error=str(error))
            await asyncio.sleep(self._interval)

    async def sweep(self) -> None:
        """One look at everything."""
        await self._expire()
        await self._resend_lost()
        await self._erase_deleted()

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

    async def _erase_deleted(self) -> None:
        for tombstone in await self._store.tombstones(BATCH, age=ERASE_AGE):
            await self._blobs.delete_prefix(f"{tombstone.tenant}/{tombstone.job}")
            await self._store.sweep_tombstone(tombstone)
