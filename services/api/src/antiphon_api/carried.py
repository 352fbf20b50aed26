"""What the messages of a queue carry, and what the store knows of it."""

import asyncio
from collections.abc import Iterable

from antiphon import messages
from antiphon.errors import JobDeleted, JobNotFound, MessageInvalid
from antiphon.jobs import Job
from antiphon.messages import Message
from antiphon.store.base import Store


def read(body: str) -> Message | None:
    """None if nobody can read it."""
    try:
        return messages.decode(body)
    except MessageInvalid:
        return None


async def jobs(store: Store, carried: Iterable[Message | None]) -> list[Job | None]:
    """The job of each; None where there is none, or none any more."""
    return await asyncio.gather(*(_job(store, message) for message in carried))


async def _job(store: Store, message: Message | None) -> Job | None:
    if message is None:
        return None
    try:
        return await store.job(message.tenant, message.job)
    except (JobNotFound, JobDeleted):
        return None
