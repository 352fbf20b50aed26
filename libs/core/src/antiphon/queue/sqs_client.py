"""The connection to SQS: asks it things about queues, makes those that are missing, and knows whether it is well."""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from antiphon import aws
from antiphon.errors import SettingsError, Unavailable
from antiphon.jobs import Priority
from antiphon.messages import DEFAULT_POOL
from antiphon.queue.circuit import Circuit, State
from antiphon.queue.sqs_queues import SETTING, SqsSettings, attributes, dead, is_dead

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.literals import QueueAttributeFilterType

logger = logging.getLogger(__name__)

CONNECTIONS = 256
"""At most; each is made when it is needed. A receiver that waits keeps one busy per priority."""
READ_SECONDS = 30.0
"""Longer than the longest poll."""
WELL_FOR = 5.0
"""Seconds for which an answer is a proof that SQS answers."""

T = TypeVar("T")


class Refused(Unavailable):
    """SQS has answered, but does not do what it was asked for; `word` is its own for why."""

    def __init__(self, word: str, sentence: str) -> None:
        super().__init__(sentence)
        self.word = word

    @property
    def missing(self) -> bool:
        return self.word in {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}

    @property
    def exists(self) -> bool:
        return self.word in {"QueueAlreadyExists", "QueueNameExists"}

    @property
    def denied(self) -> bool:
        return self.word in {"AccessDenied", "AccessDeniedException"}


class SqsClient:
    """Opened and closed by the queue that it serves."""

    def __init__(self, settings: SqsSettings, *, attempts: int = aws.ATTEMPTS) -> None:
        self.settings = settings
        self.calls: Counter[str] = Counter()
        self._attempts = attempts
        self._client: SQSClient | None = None
        self._stack = AsyncExitStack()
        self._urls: dict[str, str] = {}
        self._finding: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._circuit = Circuit()
        self._well_until = 0.0

    async def open(self) -> None:
        """Raises SettingsError if no region is known, Unavailable if SQS does not answer."""
        made = aws.session(SETTING, self.settings.region).create_client(
            "sqs",
            endpoint_url=self.settings.endpoint,
            config=aws.config(connections=CONNECTIONS, read_seconds=READ_SECONDS, attempts=self._attempts),
        )
        try:
            with aws.translated("SQS"):
                self._client = await self._stack.enter_async_context(made)
        except ValueError as error:  # of an endpoint or a region that the environment or a profile names
            raise SettingsError(f"AWS's configuration is wrong: {error}") from None
        self._client.meta.events.register("before-send.sqs", self._count)
        await self.ping()

    async def close(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def ping(self) -> None:
        """Raise Unavailable while SQS fails. It is asked only if it has not answered anybody lately."""
        now = time.monotonic()
        client = self.client
        state = self._circuit.state(now)
        if state is State.OPEN:
            raise Unavailable(f"{self._circuit.why}; asked again every few seconds")
        if state is State.CLOSED and now < self._well_until:
            return
        self._circuit = self._circuit.probing(now)
        # a queue that is in use, since our rights may end there
        name = next(iter(self._urls), self.settings.name(DEFAULT_POOL, Priority.NORMAL))
        try:
            await self.ask(client.get_queue_url(QueueName=name), "GetQueueUrl", name)
        except Refused as refused:
            if not refused.missing:
                raise
            self._well_until = time.monotonic() + WELL_FOR

    async def on(self, name: str, right: str, call: Callable[["SQSClient", str], Awaitable[T]]) -> T:
        """Make a `call` that needs a `right` on a queue, with its URL; the queue is made if it is missing.

        Raises Unavailable.
        """
        url = await self.url(name)
        try:
            return await self.ask(call(self.client, url), right, name)
        except Refused as refused:
            if not refused.missing:
                raise
        self._urls.pop(name, None)  # deleted since we looked
        url = await self.url(name)
        return await self.ask(call(self.client, url), right, name)

    async def url(self, name: str) -> str:
        """Where the queue is; it is made if it is missing, unless the settings forbid that. Raises Unavailable."""
        known = self._urls.get(name)
        if known is not None:
            return known
        async with self._finding[name]:
            found = await self.find(name)
            return await self._make(name) if found is None else found

    async def find(self, name: str) -> str | None:
        """Where the queue is, or None if there is none."""
        known = self._urls.get(name)
        if known is not None:
            return known
        try:
            found = await self.ask(self.client.get_queue_url(QueueName=name), "GetQueueUrl", name)
        except Refused as refused:
            if refused.missing:
                return None
            raise
        self._urls[name] = found["QueueUrl"]
        return found["QueueUrl"]

    async def attributes(self, name: str, *wanted: "QueueAttributeFilterType") -> dict[str, str] | None:
        """Some attributes of a queue, or None if there is no such queue."""
        url = await self.find(name)
        if url is None:
            return None
        asked = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=list(wanted))
        try:
            found = await self.ask(asked, "GetQueueAttributes", name)
        except Refused as refused:
            if not refused.missing:
                raise
            self._urls.pop(name, None)
            return None
        return {str(key): value for key, value in found["Attributes"].items()}

    async def ask(self, call: Awaitable[T], right: str, name: str) -> T:
        """The answer to a call, which also tells whether SQS is well. Raises Unavailable, and Refused."""
        try:
            answer = await call
        except aws.ServiceErrors as error:
            raise self._failure(error, right, name) from None  # a traceback would show what the sentence leaves out
        self._circuit = self._circuit.succeeded()
        self._well_until = time.monotonic() + WELL_FOR
        return answer

    @property
    def known(self) -> frozenset[str]:
        """The queues that were found or made so far."""
        return frozenset(self._urls)

    @property
    def client(self) -> "SQSClient":
        if self._client is None:
            raise Unavailable("the queue on SQS is closed")
        return self._client

    async def _make(self, name: str) -> str:
        if not self.settings.create:
            raise Unavailable(f"there is no queue {name} on SQS, and {SETTING} says create=false: make it first")
        arn = None
        if not is_dead(name):
            await self.url(dead(name))
            arn = (await self.attributes(dead(name), "QueueArn") or {}).get("QueueArn")
        made = self.client.create_queue(QueueName=name, Attributes=attributes(name, arn))
        try:
            self._urls[name] = (await self.ask(made, "CreateQueue", name))["QueueUrl"]
        except Refused as refused:
            found = await self.find(name) if refused.exists else None
            if found is None:
                raise
            return found  # somebody was faster, and made it in another way
        logger.info("made the queue %s on SQS", name)
        return self._urls[name]

    def _failure(self, error: BaseException, right: str, name: str) -> Unavailable:
        failure = aws.explained(f"SQS, asked for {right} on the queue {name},", error)
        if aws.failing(error):
            self._circuit = self._circuit.failed(time.monotonic(), str(failure))
        if aws.failing(error) or not isinstance(error, ClientError):
            return failure
        self._circuit = self._circuit.succeeded()
        refused = Refused(aws.code(error), str(failure))
        if refused.denied:
            return Refused(refused.word, f"the right sqs:{right} on the queue {name} is missing: AWS denies access")
        return refused

    def _count(self, event_name: str, **_: object) -> None:
        self.calls[event_name.rpartition(".")[2]] += 1
