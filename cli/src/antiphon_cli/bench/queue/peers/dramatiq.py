"""dramatiq with RedisBroker.

8 threads, its default, and 100 messages fetched ahead instead of 16, as `dramatiq_queue_prefetch` would set it: that
doubles its rate, while more messages, and more or fewer threads, do not help.
https://dramatiq.io/advanced.html#prefetch-limits
"""

import signal

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from antiphon_cli.bench.queue.peers.base import System

THREADS = 8
PREFETCH = 100


class Dramatiq(System):
    def send(self, jobs: int) -> None:
        _, job = self._app()
        for _ in range(jobs):
            job.send()

    def work(self) -> None:
        broker, _ = self._app()
        worker = dramatiq.Worker(broker, worker_threads=THREADS)
        worker.queue_prefetch = PREFETCH
        worker.start()
        signal.pause()

    def _app(self) -> tuple[RedisBroker, "dramatiq.Actor[[], None]"]:
        broker = RedisBroker(url=self.url)  # type: ignore[no-untyped-call]

        @dramatiq.actor(broker=broker, actor_name="job")
        def job() -> None:
            self.handled()

        return broker, job
