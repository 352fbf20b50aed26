"""Checks of what keeps the work: store, queue, blobs, events."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from antiphon.blobs import open_blobs
from antiphon.errors import AntiphonError, SchemaOutdated
from antiphon.events import open_events
from antiphon.ports import PortSettings
from antiphon.queue import open_queue
from antiphon.store import open_store
from antiphon.store.schema import HEAD
from antiphon_cli.doctor.check import Check, Verdict
from antiphon_cli.masking import masked

_PATIENCE = 5.0


async def backends(settings: PortSettings) -> list[Check]:
    """Ask each of the four to do its work."""
    return [
        await _checked("store", settings.store(), lambda: _store(settings)),
        await _checked("queue", settings.queue(), lambda: _queue(settings)),
        await _checked("blobs", settings.blobs(), lambda: _blobs(settings)),
        await _checked("events", settings.events(), lambda: _events(settings)),
    ]


async def _checked(name: str, url: str, ask: Callable[[], Awaitable[str]]) -> Check:
    where = masked(url)
    if not _made(url):
        return Check(name, Verdict.OK, f"{where}: not made yet; `antiphon up` makes it")
    try:
        async with asyncio.timeout(_PATIENCE):
            return Check(name, Verdict.OK, f"{where}: {await ask()}")
    except SchemaOutdated as error:
        return Check(name, Verdict.FAIL, f"{where}: {error}", "Run `antiphon migrate`; `antiphon up` does so itself.")
    except AntiphonError as error:
        return Check(name, Verdict.FAIL, f"{where}: {error}", f"Check ANTIPHON_{name.upper()}_URL and what runs there.")
    except TimeoutError:
        return Check(name, Verdict.FAIL, f"{where}: no answer within {_PATIENCE:.0f} s", "Check what runs there.")


def _made(url: str) -> bool:
    """False for files that are not there yet, which opening would make."""
    scheme, _, path = url.partition("://")
    return scheme not in {"sqlite", "file"} or Path(path.removeprefix("/") if scheme == "sqlite" else path).exists()


async def _store(settings: PortSettings) -> str:
    async with open_events(settings.events()) as events, open_store(settings.store(), events) as store:
        await store.ping()
        pools = await store.pools()
    return f"schema {HEAD}, pools: {', '.join(f'{pool.name} ({pool.model})' for pool in pools) or 'none yet'}"


async def _queue(settings: PortSettings) -> str:
    async with open_queue(settings.queue()) as queue:
        await queue.ping()
        depths = (await queue.depth()).values()
    return f"{sum(depth.alive for depth in depths)} messages in pool default, {sum(d.dead for d in depths)} dead"


async def _blobs(settings: PortSettings) -> str:
    async with open_blobs(settings.blobs()) as blobs:
        await blobs.ping()
    return "answers"


async def _events(settings: PortSettings) -> str:
    async with open_events(settings.events()) as events:
        await events.ping()
    return "answers"
