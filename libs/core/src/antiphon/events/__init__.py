"""Events wake whoever waits for a change in the store."""

from antiphon.events.base import Events, Listener
from antiphon.urls import adapter_for, sqlite_path

__all__ = ["Events", "Listener", "open_events"]

_SETTING = "ANTIPHON_EVENTS_URL, which follows ANTIPHON_STORE_URL,"


def _sqlite(url: str) -> Events:
    from antiphon.events.sqlite import SqliteEvents

    return SqliteEvents(sqlite_path(url, _SETTING))


ADAPTERS = {"sqlite": _sqlite}


def open_events(url: str) -> Events:
    """Choose the adapter for `url` by its scheme; enter it to connect. Raises SettingsError."""
    return adapter_for(url, ADAPTERS, _SETTING)
