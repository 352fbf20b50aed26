"""Queues carry messages from whoever makes work to whoever does it."""

from antiphon.queue.base import Capability, DeadLetter, Depth, Queue, Received, SendOutcome, Waiting
from antiphon.urls import adapter_for, sqlite_path

__all__ = ["Capability", "DeadLetter", "Depth", "Queue", "Received", "SendOutcome", "Waiting", "open_queue"]

_SETTING = "ANTIPHON_QUEUE_URL"


def _sqlite(url: str) -> Queue:
    from antiphon.queue.sqlite import SqliteQueue

    return SqliteQueue(sqlite_path(url, _SETTING))


def _redis(url: str) -> Queue:
    from antiphon.queue.redis import RedisQueue

    return RedisQueue(url)


def _sqs(url: str) -> Queue:
    from antiphon.queue.sqs import SqsQueue

    return SqsQueue(url)


ADAPTERS = {
    "sqlite": _sqlite,
    "redis": _redis,
    "rediss": _redis,
    "redis+sentinel": _redis,
    "rediss+sentinel": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
    "sqs": _sqs,
}


def open_queue(url: str) -> Queue:
    """Choose the adapter for `url` by its scheme; enter it to connect. Raises SettingsError."""
    return adapter_for(url, ADAPTERS, _SETTING)
