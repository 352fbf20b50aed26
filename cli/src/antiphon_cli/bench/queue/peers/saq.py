"""SAQ on Redis.

100 jobs at once instead of 10 and uvloop are a little faster than its defaults; a `ttl` of -1 keeps nothing of a job
that is done. https://saq-py.readthedocs.io/en/latest/
"""

import asyncio

import uvloop
from saq import Queue, Worker
from saq.types import Context

from antiphon_cli.bench.queue.peers.base import System

CONCURRENCY = 100
SENT_AT_ONCE = 100


class Saq(System):
    def send(self, jobs: int) -> None:
        asyncio.run(self._send(jobs))

    async def _send(self, jobs: int) -> None:
        queue = Queue.from_url(self.url)
        for start in range(0, jobs, SENT_AT_ONCE):
            await asyncio.gather(*(queue.enqueue("job", ttl=-1) for _ in range(min(SENT_AT_ONCE, jobs - start))))
        await queue.disconnect()

    def work(self) -> None:
        uvloop.run(self._work())

    async def _work(self) -> None:
        queue = Queue.from_url(self.url)
        await queue.connect()
        await Worker(queue, [("job", self._job)], concurrency=CONCURRENCY).start()

    async def _job(self, _: Context) -> None:
        self.handled()
