"""taskiq with RedisStreamBroker, its broker on Redis that acknowledges.

Its settings are the defaults: 100 messages read at once, 100 tasks at once, acknowledged when done, nothing stored.
More or fewer of either, or no parsing of parameters, were no faster. The worker process is the one of its command line,
which takes uvloop where that is installed: https://taskiq-python.github.io/guide/cli.html
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from taskiq.cli.worker.args import WorkerArgs
from taskiq.cli.worker.run import start_listen
from taskiq.decor import AsyncTaskiqDecoratedTask
from taskiq_redis import RedisStreamBroker

from antiphon_cli.bench.queue.peers.base import System

SENT_AT_ONCE = 100

Job = AsyncTaskiqDecoratedTask[[], Coroutine[Any, Any, None]]


class Taskiq(System):
    def send(self, jobs: int) -> None:
        asyncio.run(self._send(jobs))

    async def _send(self, jobs: int) -> None:
        broker, job = self._app()
        await broker.startup()
        for start in range(0, jobs, SENT_AT_ONCE):
            await asyncio.gather(*(job.kiq() for _ in range(min(SENT_AT_ONCE, jobs - start))))
        await broker.shutdown()

    def work(self) -> None:
        broker, _ = self._app()
        start_listen(WorkerArgs(broker, modules=[], configure_logging=False))  # type: ignore[arg-type]  # says str, takes both

    def _app(self) -> tuple[RedisStreamBroker, Job]:
        broker = RedisStreamBroker(self.url)

        @broker.task(task_name="job")
        async def job() -> None:
            self.handled()

        return broker, job
