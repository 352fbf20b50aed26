"""What can hardly be timed from outside: a job that changes while its history is being read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import httpx
import pytest

from antiphon import lifecycle
from antiphon.errors import Unavailable
from antiphon.jobs import DEFAULT_TENANT, Event
from antiphon.ports import Ports
from antiphon.store.engine import open_database
from antiphon.store.sql import SqlStore
from antiphon_api.feed import follow
from antiphon_api.settings import ApiSettings

Submit = Callable[..., Awaitable[httpx.Response]]


class ChangesMeanwhile(SqlStore):
    """A store in which the job is cancelled right after its history has been read for the first time."""

    cancelled = False

    async def events(self, tenant: str, job: str, *, after: int = 0) -> list[Event]:
        found = await super().events(tenant, job, after=after)
        if not self.cancelled:
            self.cancelled = True
            await self.change(tenant, job, lifecycle.cancel)
        return found


class GoesAway(SqlStore):
    async def events(self, tenant: str, job: str, *, after: int = 0) -> list[Event]:  # noqa: ARG002
        raise Unavailable("the connection broke")


@pytest.fixture
async def job(submit: Submit) -> str:
    job_id: str = (await submit()).json()["id"]
    return job_id


async def heard(kind: type[SqlStore], ports: Ports, settings: ApiSettings, job: str) -> AsyncIterator[str]:
    async with kind(open_database(settings.store()), ports.events) as store:
        async for message in follow(replace(ports, store=store), DEFAULT_TENANT, job, 0, asyncio.Event()):
            yield f"{message.event} {message.id}"


async def test_the_end_is_told_even_if_it_comes_while_the_history_is_read(
    ports: Ports, settings: ApiSettings, job: str
) -> None:
    assert [message async for message in heard(ChangesMeanwhile, ports, settings, job)] == ["state 1", "state 2"]


async def test_a_stream_ends_when_the_store_goes_away_so_that_its_listener_comes_back(
    ports: Ports, settings: ApiSettings, job: str
) -> None:
    assert [message async for message in heard(GoesAway, ports, settings, job)] == []
