"""Opens a program's adapters, as its settings say. The same for every program."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from antiphon.blobs import open_blobs
from antiphon.blobs.base import Blobs
from antiphon.events import open_events
from antiphon.events.base import Events
from antiphon.queue import open_queue
from antiphon.queue.base import Queue
from antiphon.store import open_store
from antiphon.store.base import Store


def default_data() -> Path:
    """Where an embedded installation keeps its files: the user's data directory (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "antiphon"


class PortSettings(BaseSettings):
    """Where work is kept. Without any of these, everything lies in files below `data`."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_", extra="ignore")

    data: Path = Field(default_factory=default_data, description="Directory of the embedded store, queue and blobs.")
    store_url: str = Field(
        default="", description="sqlite:////path/store.db or postgresql://user@host/name; a file in `data` when empty."
    )
    queue_url: str = Field(
        default="", description="sqlite:////path/queue.db, redis://host:6379/0 or sqs://; a file in `data` when empty."
    )
    blobs_url: str = Field(
        default="", description="file:///path/directory or s3://bucket/prefix; a directory in `data` when empty."
    )
    events_url: str = Field(
        default="",
        description="How changes in the store wake others: redis://host:6379/0, or the store's own URL, as when empty.",
    )
    sweep_seconds: float = Field(default=15.0, gt=0, description="Seconds between two looks of the sweeper.")

    def store(self) -> str:
        return self.store_url or f"sqlite:///{self.data.absolute() / 'store.db'}"

    def queue(self) -> str:
        return self.queue_url or f"sqlite:///{self.data.absolute() / 'queue.db'}"

    def blobs(self) -> str:
        return self.blobs_url or (self.data.absolute() / "blobs").as_uri()

    def events(self) -> str:
        return self.events_url or self.store()


@dataclass(frozen=True, slots=True)
class Ports:
    """What every program works with."""

    store: Store
    queue: Queue
    blobs: Blobs
    events: Events

    async def ping(self) -> None:
        """Raise Unavailable unless every backend answers."""
        for port in (self.store, self.queue, self.blobs, self.events):
            await port.ping()


@asynccontextmanager
async def open_ports(settings: PortSettings) -> AsyncIterator[Ports]:
    """Open all four, and close them in the opposite order.

    Raises SettingsError, SchemaOutdated, Unavailable: each says in a sentence what to do.
    """
    async with AsyncExitStack() as stack:
        events = await stack.enter_async_context(open_events(settings.events()))
        store = await stack.enter_async_context(open_store(settings.store(), events))
        queue = await stack.enter_async_context(open_queue(settings.queue()))
        blobs = await stack.enter_async_context(open_blobs(settings.blobs()))
        yield Ports(store, queue, blobs, events)
