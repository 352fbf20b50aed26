"""SQS under the contract: what stands in for it, with a clock in the tests' hands."""

from random import Random
from urllib.parse import quote
from uuid import uuid4

import pytest
from tests.aws_clock import AwsClock
from tests.contract.conftest import Clock, QueueBackend
from types_aiobotocore_sqs.type_defs import SendMessageRequestTypeDef

from antiphon.jobs import Priority
from antiphon.messages import DEFAULT_POOL
from antiphon.queue import Queue
from antiphon.queue.sqs import SqsQueue
from antiphon.queue.sqs_client import SqsClient
from antiphon.queue.sqs_queues import SqsSettings


class SqsClock(Clock):
    """The server's, which every test may have put forward already."""

    def __init__(self, endpoint: str) -> None:
        self._server = AwsClock(endpoint)

    def __call__(self) -> float:
        return self._server()

    async def advance(self, seconds: float) -> None:
        self._server.advance(seconds)


class SqsQueueBackend(QueueBackend):
    lease = 60.0
    many = 60
    examples = 6

    def __init__(self, request: pytest.FixtureRequest, *, fifo: bool) -> None:
        request.getfixturevalue("aws_credentials")
        endpoint = request.getfixturevalue("clocked_aws_server")
        self.clock = SqsClock(endpoint)
        self.url = f"sqs://?endpoint={quote(endpoint)}&prefix=t{uuid4().hex[:12]}&fifo={str(fifo).lower()}"

    def connect(self) -> Queue:
        return SqsQueue(self.url, clock=self.clock, random=Random(7), poll=1.0)

    async def put(self, body: str, pool: str = DEFAULT_POOL) -> None:
        settings = SqsSettings.of(self.url)
        client = SqsClient(settings)
        await client.open()
        try:
            name = settings.name(pool, Priority.NORMAL)
            entry: SendMessageRequestTypeDef = {
                "QueueUrl": await client.url(name),
                "MessageBody": body,
                "MessageGroupId": "somebody",
            }
            if settings.fifo:
                entry["MessageDeduplicationId"] = uuid4().hex
            await client.client.send_message(**entry)
        finally:
            await client.close()
