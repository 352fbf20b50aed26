"""Calls to SQS in batches, with an outcome per entry."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from antiphon.queue.sqs_batches import batches
from antiphon.queue.sqs_client import SqsClient
from antiphon.queue.sqs_messages import ATTRIBUTES, SYSTEM_ATTRIBUTES, Incoming, Outgoing, Receipt

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.literals import QueueAttributeNameType

logger = logging.getLogger(__name__)

TRIES = 4
"""For an entry of a batch that fails by no fault of ours. A whole call is tried again by the client."""
PAUSE = 0.2
"""Seconds before the second try at most, and twice as many before each further one."""

_COUNTS: "tuple[QueueAttributeNameType, ...]" = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class SqsCalls:
    """Each takes as many entries as there are. Raises Unavailable when a whole call fails; some may be done then."""

    def __init__(self, sqs: SqsClient, clock: Callable[[], float], random: Random) -> None:
        self._sqs = sqs
        self._clock = clock
        self._random = random

    async def send(self, name: str, letters: Sequence[Outgoing]) -> list[bool]:
        """Send in order to one queue; False for what SQS does not take."""
        done: list[bool] = []
        for batch in batches(letters, lambda letter: letter.size):
            now = self._clock()
            entries = [letter.entry(str(place), name, now) for place, letter in enumerate(batch)]
            done += await self._each(
                name,
                "SendMessage",
                entries,
                lambda client, url, some: client.send_message_batch(QueueUrl=url, Entries=some),
            )
        return done

    async def receive(self, name: str, limit: int, *, wait: int, hold: int) -> list[Incoming]:
        """Up to `limit` messages, at most 10, hidden for `hold` seconds; waits for up to 20 s for the first."""
        began = self._clock()
        answer = await self._sqs.on(
            name,
            "ReceiveMessage",
            lambda client, url: client.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=wait,
                VisibilityTimeout=hold,
                MessageAttributeNames=ATTRIBUTES,
                MessageSystemAttributeNames=SYSTEM_ATTRIBUTES,
            ),
        )
        return [Incoming.of(raw, name, began) for raw in answer.get("Messages", ())]

    async def delete(self, receipts: Sequence[Receipt]) -> list[bool]:
        """Delete messages of any queues; False where SQS does not know the receipt."""
        return await self._by_queue(
            "DeleteMessage",
            [(receipt.queue, {"ReceiptHandle": receipt.handle}) for receipt in receipts],
            lambda client, url, some: client.delete_message_batch(QueueUrl=url, Entries=some),
        )

    async def hide(self, holds: Sequence[tuple[Receipt, int]]) -> list[bool]:
        """Hide messages of any queues for some seconds from now; False where one is not ours any more."""
        return await self._by_queue(
            "ChangeMessageVisibility",
            [(each.queue, {"ReceiptHandle": each.handle, "VisibilityTimeout": seconds}) for each, seconds in holds],
            lambda client, url, some: client.change_message_visibility_batch(QueueUrl=url, Entries=some),
        )

    async def replace(self, moves: Sequence[tuple[Receipt, str, Outgoing]]) -> list[bool]:
        """Send a letter to a queue in place of each message, then delete that; False where SQS takes no letter.

        What is interrupted in between leaves both, never neither.
        """
        done = [False] * len(moves)

        async def send_to(name: str) -> None:
            places = [place for place, (_, queue, _) in enumerate(moves) if queue == name]
            sent = await self.send(name, [moves[place][2] for place in places])
            for place, success in zip(places, sent, strict=True):
                done[place] = success

        await together(*(send_to(name) for name in {queue for _, queue, _ in moves}))
        await self.delete([receipt for (receipt, _, _), sent in zip(moves, done, strict=True) if sent])
        return done

    async def counts(self, name: str) -> tuple[int, int, int]:
        """About how many messages of a queue can be received, are hidden, and are delayed; it need not exist."""
        found = await self._sqs.attributes(name, *_COUNTS) or {}
        available, hidden, delayed = (int(found.get(each, 0)) for each in _COUNTS)
        return available, hidden, delayed

    async def _by_queue(
        self,
        right: str,
        entries: Sequence[tuple[str, Mapping[str, Any]]],
        call: "Callable[[SQSClient, str, list[Any]], Awaitable[Any]]",
    ) -> list[bool]:
        """One call per queue and batch, all at once; each entry comes with its queue."""
        places: dict[str, list[int]] = {}
        for place, (name, _) in enumerate(entries):
            places.setdefault(name, []).append(place)
        done = [False] * len(entries)

        async def one(name: str, batch: Sequence[int]) -> None:
            some = [{"Id": str(place), **entries[place][1]} for place in batch]
            for place, success in zip(batch, await self._each(name, right, some, call), strict=True):
                done[place] = success

        await together(*(one(name, batch) for name, some in places.items() for batch in batches(some)))
        return done

    async def _each(
        self,
        name: str,
        right: str,
        entries: Sequence[Any],
        call: "Callable[[SQSClient, str, list[Any]], Awaitable[Any]]",
    ) -> list[bool]:
        """One batch; entries that fail by no fault of ours are tried again a few times."""
        done: set[str] = set()
        left = list(entries)
        for tried in range(TRIES):
            if tried:
                await asyncio.sleep(self._random.uniform(0, PAUSE * 2 ** (tried - 1)))
            answer = await self._sqs.on(name, right, partial(_called, call, left))
            done.update(success["Id"] for success in answer.get("Successful", ()))
            failed = {failure["Id"]: failure for failure in answer.get("Failed", ())}
            for failure in failed.values():
                # a lost lease is told by the outcome; why a message cannot be sent is told nowhere else
                level = logging.WARNING if right == "SendMessage" else logging.DEBUG
                why = f"{failure['Code']} {failure.get('Message', '')}"
                logger.log(level, "SQS failed at an entry of %s on %s: %s", right, name, why)
            left = [entry for entry in left if entry["Id"] in failed and not failed[entry["Id"]]["SenderFault"]]
            if not left:
                break
        return [entry["Id"] in done for entry in entries]


async def _called(
    call: "Callable[[SQSClient, str, list[Any]], Awaitable[Any]]", entries: list[Any], client: "SQSClient", url: str
) -> Any:
    return await call(client, url, entries)


async def together(*calls: Awaitable[Any]) -> list[Any]:
    """The answers to all, at once. Ends when the last has ended, and raises the first error then."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers
