"""Events wake whoever waits for a change in the store."""

from antiphon.errors import SettingsError
from antiphon.events.base import Events, Listener

__all__ = ["Events", "Listener", "open_events"]


def _sqlite(url: str) -> Events:
    from pathlib import Path

    from antiphon.events.sqlite import SqliteEvents

    slashes, path = url[:10], url[10:]
    if slashes != "sqlite:///" or path in {"", ":memory:"}:
        raise SettingsError(
            f"{url!r} names no store to watch; write sqlite:///relative/store.db or sqlite:////absolute/store.db"
        )
    return SqliteEvents(Path(path))


ADAPTERS = {"sqlite": _sqlite}


def open_events(url: str) -> Events:
    """Choose the adapter for `url` by its scheme; enter it to connect."""
    scheme = url.partition(":")[0]
    if scheme not in ADAPTERS:
        raise SettingsError(f"there are no events for the scheme {scheme!r}; known are: {', '.join(sorted(ADAPTERS))}")
    return ADAPTERS[scheme](url)
