"""Queues carry messages from whoever makes work to whoever does it."""

from antiphon.queue.base import Capability, DeadLetter, Depth, Queue, Received, SendOutcome
from antiphon.urls import adapter_for, sqlite_path

__all__ = ["Capability", "DeadLetter", "Depth", "Queue", "Received", "SendOutcome", "open_queue"]

_SETTING = "ANTIPHON_QUEUE_URL"


def _sqlite(url: str) -> Queue:
    from antiphon.queue.sqlite import SqliteQueue

    return SqliteQueue(sqlite_path(url, _SETTING))


ADAPTERS = {"sqlite": _sqlite}


def open_queue(url: str) -> Queue:
    """Choose the adapter for `url` by its scheme; enter it to connect. Raises SettingsError."""
    return adapter_for(url, ADAPTERS, _SETTING)
