"""RQ on Redis.

SimpleWorker does not fork for each job, which is several times as fast for no-ops. Nothing is kept of a job that is
done, and no job has a timeout. https://github.com/rq/rq/blob/master/docs/benchmark.md
"""

from collections.abc import Callable
from contextvars import ContextVar

from redis import Redis
from rq import Queue, SimpleWorker

from antiphon_cli.bench.queue.peers.base import System

SENT_AT_ONCE = 1000

_handled: ContextVar[Callable[[], None]] = ContextVar("handled")


def job() -> None:
    """RQ finds its jobs by their names."""
    _handled.get()()


class Rq(System):
    def send(self, jobs: int) -> None:
        queue = Queue(connection=Redis.from_url(self.url))
        for start in range(0, jobs, SENT_AT_ONCE):
            size = min(SENT_AT_ONCE, jobs - start)
            queue.enqueue_many(Queue.prepare_data(job, result_ttl=0, timeout=-1) for _ in range(size))

    def work(self) -> None:
        _handled.set(self.handled)
        SimpleWorker(["default"], connection=Redis.from_url(self.url)).work(logging_level="ERROR")
