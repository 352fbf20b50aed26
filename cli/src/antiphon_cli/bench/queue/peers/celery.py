"""Celery on Redis.

The pool `solo`, which runs tasks in the worker's own process, is faster for no-ops than processes or threads. 128 tasks
are reserved ahead, results ignored: https://docs.celeryq.dev/en/stable/userguide/optimizing.html#prefetch-limits
"""

import os

from celery import Celery as App
from celery import Task

from antiphon_cli.bench.queue.peers.base import System

PREFETCH = 128


class Celery(System):
    def send(self, jobs: int) -> None:
        app, job = self._app()
        with app.producer_pool.acquire(block=True) as producer:
            for _ in range(jobs):
                job.apply_async(producer=producer)

    def work(self) -> None:
        app, _ = self._app()
        settings = ("--pool=solo", f"--prefetch-multiplier={PREFETCH}", "--loglevel=ERROR")
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        app.worker_main(["worker", f"--hostname=bench-{os.getpid()}@localhost", *settings, *quiet])

    def _app(self) -> tuple[App, Task]:
        app = App("bench", broker=self.url, set_as_current=False)
        app.conf.task_ignore_result = True

        def job() -> None:
            self.handled()

        return app, app.task(job, name="job")
