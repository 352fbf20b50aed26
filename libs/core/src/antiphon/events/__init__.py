"""Events wake whoever waits for a change in the store."""

from antiphon.events.base import Events, Listener
from antiphon.urls import adapter_for, sqlite_path

__all__ = ["Events", "Listener", "open_events"]

_SETTING = "ANTIPHON_EVENTS_URL, which follows ANTIPHON_STORE_URL,"


def _sqlite(url: str) -> Events:
    from antiphon.events.sqlite import SqliteEvents

    return SqliteEvents(sqlite_path(url, _SETTING))


def _postgresql(url: str) -> Events:
    from antiphon.events.postgresql import PostgresqlEvents

    return PostgresqlEvents(url)


def _redis(url: str) -> Events:
    from antiphon.events.redis import RedisEvents

    return RedisEvents(url)


ADAPTERS = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
    "redis": _redis,
    "rediss": _redis,
    "redis+sentinel": _redis,
    "rediss+sentinel": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
}


def open_events(url: str) -> Events:
    """Choose the adapter for `url` by its scheme; enter it to connect. Raises SettingsError."""
    return adapter_for(url, ADAPTERS, _SETTING)
