"""A job's events as they are sent to one listener: the history first, then what happens, until the job ends."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from sse_starlette import ServerSentEvent

from antiphon.errors import JobDeleted, JobNotFound, Unavailable
from antiphon.events.base import Listener
from antiphon.jobs import Event, Job, State
from antiphon.ports import Ports
from antiphon.store.base import topic
from antiphon_api.errors import LastEventIdInvalid
from antiphon_api.schemas import JobOut

PROGRESS_SECONDS = 1.0
"""Progress is told at most this often."""

PATIENCE = 60.0
"""Seconds after which a listener looks without having been woken, should a wake-up ever be lost."""

_NUMBER = re.compile(r"[0-9]{1,18}")

log = structlog.get_logger(__name__)


def last_event_id(text: str | None) -> int:
    """The number of the event that a listener saw last; 0 if it has seen none. Raises LastEventIdInvalid."""
    if not text:
        return 0
    if not _NUMBER.fullmatch(text):
        raise LastEventIdInvalid
    return int(text)


@dataclass(slots=True)
class Progress:
    """What a listener knows of a job's progress, and when it may hear of it again."""

    clock: Callable[[], float] = time.monotonic
    _told: tuple[str | None, float, float | None] | None = None
    _next: float = field(default=0.0)

    def told(self, job: Job) -> None:
        """The listener was told how `job` stands."""
        self._told = (job.stage, job.progress, job.audio_seconds)

    def wait(self, job: Job) -> float | None:
        """Seconds until the listener may be told of `job`; None if there is nothing new."""
        if self._told == (job.stage, job.progress, job.audio_seconds):
            return None
        return max(0.0, self._next - self.clock())

    def tell(self, job: Job) -> ServerSentEvent:
        self.told(job)
        self._next = self.clock() + PROGRESS_SECONDS
        return _message("progress", job)


async def follow(
    ports: Ports, tenant: str, job_id: str, after: int, closing: asyncio.Event
) -> AsyncIterator[ServerSentEvent]:
    """Every event of the job beyond number `after`, and its progress between them, until it ends or `closing` is set.

    If the store goes away, or the job, the stream ends: a listener comes back with Last-Event-ID, and nothing is lost.
    """
    progress = Progress()
    try:
        async with ports.events.listen(topic(job_id)) as listener:
            while not closing.is_set():
                job = await ports.store.job(tenant, job_id)
                if job.events > after:
                    for row in await ports.store.events(tenant, job_id, after=after):
                        then = row.applied(job)
                        progress.told(then)
                        yield _event(row, then)
                        after = row.number
                    continue
                if job.state.terminal:
                    return
                pause = progress.wait(job)
                if pause == 0.0:
                    yield progress.tell(job)
                    pause = None
                await _news(listener, PATIENCE if pause is None else pause, closing)
    except (JobNotFound, JobDeleted):
        return
    except Unavailable as error:
        log.warning("an event stream ends early; its listener will come back", job=job_id, error=str(error))


def _event(row: Event, job: Job) -> ServerSentEvent:
    return _message("result" if row.state is State.SUCCEEDED else "state", job, row.number)


def _message(name: str, job: Job, number: int | None = None) -> ServerSentEvent:
    return ServerSentEvent(
        JobOut.of(job).model_dump_json(), event=name, id=None if number is None else str(number), sep="\n"
    )


async def _news(listener: Listener, timeout: float, closing: asyncio.Event) -> None:
    """Wait for news, but no longer than `timeout`, nor than the program runs."""
    waits = [asyncio.create_task(listener.wait(timeout)), asyncio.create_task(closing.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        for wait in waits:
            with suppress(asyncio.CancelledError):
                await wait
