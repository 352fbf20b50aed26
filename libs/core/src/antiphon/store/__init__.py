"""Keeps jobs and their history. `open_store` picks the adapter by the URL's scheme."""

from antiphon.events.base import Events
from antiphon.store.base import Store


def open_store(url: str, events: Events) -> Store:
    """The store at `url`, telling `events` what it commits; to be entered as a context manager.

    Raises SettingsError for a URL that names no database we know.
    """
    from antiphon.store.engine import open_database
    from antiphon.store.sql import SqlStore

    return SqlStore(open_database(url), events)
