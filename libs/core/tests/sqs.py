"""SQS queues of a test's own, and SQS itself beside the adapter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from antiphon.queue.sqs_client import SqsClient
from antiphon.queue.sqs_queues import SqsSettings

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

POLL = 1.0
"""Seconds, instead of 20: closing waits for polls."""
SOON = 30.0
"""Seconds within which what is waited for has happened on any machine."""


def new_url(endpoint: str, **parameters: str) -> str:
    """The URL of queues that nobody else has."""
    given = {"endpoint": endpoint, "prefix": f"t{uuid4().hex[:12]}", **parameters}
    return "sqs://?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())


@asynccontextmanager
async def raw(url: str) -> AsyncIterator["tuple[SQSClient, SqsClient]"]:
    """A client of SQS, and what finds and makes the queues."""
    sqs = SqsClient(SqsSettings.of(url))
    try:
        await sqs.open()
        yield sqs.client, sqs
    finally:
        await sqs.close()
