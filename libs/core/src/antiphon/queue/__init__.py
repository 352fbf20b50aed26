"""Queues carry messages from whoever makes work to whoever does it."""

from antiphon.errors import SettingsError
from antiphon.queue.base import Capability, DeadLetter, Depth, Queue, Received, SendOutcome

__all__ = ["Capability", "DeadLetter", "Depth", "Queue", "Received", "SendOutcome", "open_queue"]


def _sqlite(url: str) -> Queue:
    from pathlib import Path

    from antiphon.queue.sqlite import SqliteQueue

    slashes, path = url[:10], url[10:]
    if slashes != "sqlite:///" or path in {"", ":memory:"}:
        raise SettingsError(
            f"{url!r} names no queue file; write sqlite:///relative/queue.db or sqlite:////absolute/queue.db"
        )
    return SqliteQueue(Path(path))


ADAPTERS = {"sqlite": _sqlite}


def open_queue(url: str) -> Queue:
    """Choose the adapter for `url` by its scheme; enter it to connect."""
    scheme = url.partition(":")[0]
    if scheme not in ADAPTERS:
        raise SettingsError(f"there is no queue for the scheme {scheme!r}; known are: {', '.join(sorted(ADAPTERS))}")
    return ADAPTERS[scheme](url)
