"""Checks of what keeps the work: store, queue, blobs, events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from antiphon.blobs import open_blobs
from antiphon.errors import AntiphonError, SchemaOutdated
from antiphon.events import open_events
from antiphon.ports import PortSettings
from antiphon.queue import open_queue
from antiphon.resource import Finding, Resource, Verdict
from antiphon.store import open_store
from antiphon.store.base import Store
from antiphon_cli.doctor.check import Check
from antiphon_cli.masking import masked

_PATIENCE = 20.0
"""Seconds: some need a dozen answers of a service that may be far away."""


async def backends(settings: PortSettings) -> list[Check]:
    """Ask each of the four whether it can do its work, with the rights that it needs and no more."""
    return [
        *await _checked("store", settings.store(), lambda: _store(settings)),
        *await _checked("queue", settings.queue(), lambda: open_queue(settings.queue())),
        *await _checked("blobs", settings.blobs(), lambda: open_blobs(settings.blobs())),
        *await _checked("events", settings.events(), lambda: open_events(settings.events())),
    ]


async def _checked(name: str, url: str, opened: Callable[[], AbstractAsyncContextManager[Resource]]) -> list[Check]:
    where = masked(url)
    if not _made(url):
        return [Check(name, Verdict.OK, f"{where}: not made yet; `antiphon up` makes it")]
    try:
        async with asyncio.timeout(_PATIENCE), opened() as backend:
            findings = [Finding(Verdict.OK, await _summary(backend)), *await backend.examine()]
    except SchemaOutdated as error:
        findings = [Finding(Verdict.FAIL, str(error), "Run `antiphon migrate`; `antiphon up` does so itself.")]
    except AntiphonError as error:
        findings = [Finding(Verdict.FAIL, str(error), f"Check ANTIPHON_{name.upper()}_URL and what runs there.")]
    except TimeoutError:
        findings = [Finding(Verdict.FAIL, f"no answer within {_PATIENCE:.0f} s", "Check what runs there.")]
    return [Check(name, each.verdict, f"{where}: {each.finding}", each.advice) for each in findings]


def _made(url: str) -> bool:
    """False for files that are not there yet, which opening would make."""
    scheme, _, path = url.partition("://")
    return scheme not in {"sqlite", "file"} or Path(path.removeprefix("/") if scheme == "sqlite" else path).exists()


@asynccontextmanager
async def _store(settings: PortSettings) -> AsyncIterator[Store]:
    async with open_events(settings.events()) as events, open_store(settings.store(), events) as store:
        yield store


async def _summary(backend: Resource) -> str:
    await backend.ping()
    if isinstance(backend, Store):
        pools = ", ".join(f"{pool.name} ({pool.model})" for pool in await backend.pools())
        return f"answers; pools: {pools or 'none yet'}"
    return "answers"
