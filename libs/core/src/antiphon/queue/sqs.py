"""The queue on Amazon SQS, standard or FIFO: `sqs://?region=eu-central-1&prefix=antiphon&fifo=true&create=false`.

`region` and `endpoint` come before those of AWS's standard chain, from which credentials come alone. `prefix` begins
the names of the queues. With `fifo=true` the messages of a tenant keep their order. With `create=false` no queue is
made that is missing.

* A queue per pool and priority, `<prefix>-<pool>-<priority>`, and beside it one for its dead letters, `...-dead`; FIFO
  queues end in `.fifo`. See sqs_queues.py for their attributes, sqs_polls.py for how several are read at once.
* The group of a message is its tenant, on standard queues too, where it makes them fair; see sqs_messages.py.
* SQS shows a message again 12 h after it was received, whatever we ask. An extension is cut there, and one after that
  is False; a release for longer sends the message anew.
* SQS delays a message by 15 min at most, and on FIFO queues not at all. A longer delay goes along as an attribute.
  Whoever receives such a message too early never shows it: it sends it anew with the rest of the delay, or hides it, if
  order matters; then it holds back what its group sent later. There, a message lasts no longer than its retention.
* A delete with a stale receipt removes the message all the same, so an ack proves little: the claim in the store does.
* Counts are approximate. A message that was released with a delay counts as in flight.
* SQS has whole seconds; leases and delays are rounded up.

Calls per message with full batches: a tenth of a send, of a receive and of an ack. Facts and limits:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-quotas.html
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import ClassVar

from antiphon import aws
from antiphon.errors import MessageInvalid, Unavailable
from antiphon.jobs import Priority
from antiphon.messages import DEFAULT_POOL, MAX_BYTES, Message
from antiphon.queue.base import PRIORITIES, Capability, DeadLetter, Depth, Queue, Received, SendOutcome
from antiphon.queue.sqs_calls import SqsCalls, together
from antiphon.queue.sqs_client import SqsClient
from antiphon.queue.sqs_dead import SqsDeadLetters
from antiphon.queue.sqs_examination import examine
from antiphon.queue.sqs_messages import LONGEST_HOLD, Incoming, Outgoing, Receipt
from antiphon.queue.sqs_polls import LONGEST_POLL, Polls, Want
from antiphon.queue.sqs_queues import SqsSettings, dead
from antiphon.queue.weights import WeightedDraw
from antiphon.resource import Finding

logger = logging.getLogger(__name__)


class SqsQueue(Queue):
    """What every queue promises, and no more; with `fifo=true` ORDER as well.

    A FIFO queue forgets what it is sent twice within five minutes, which is not DEDUPLICATION: a message that waits
    for longer is queued again, and one that is gone is not.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.time,
        random: Random | None = None,
        poll: float = LONGEST_POLL,
        attempts: int = aws.ATTEMPTS,
    ) -> None:
        """`poll`: seconds of a long poll, for which closing waits; `attempts` of every call. Raises SettingsError."""
        self._settings = SqsSettings.of(url)
        self._clock = clock
        self._random = Random() if random is None else random
        self._longest_poll = poll
        self._draw = WeightedDraw()
        self._sqs = SqsClient(self._settings, attempts=attempts)
        self._calls = SqsCalls(self._sqs, clock, self._random)
        self._dead = SqsDeadLetters(self._calls)
        self._polls: Polls | None = None
        if self._settings.fifo:
            self.capabilities = frozenset({Capability.ORDER})  # type: ignore[misc]

    @property
    def calls(self) -> Counter[str]:
        """How many requests of each kind went to SQS, tries that failed included."""
        return self._sqs.calls

    async def open(self) -> None:
        await self._sqs.open()
        self._polls = Polls(self._calls, longest=self._longest_poll)

    async def close(self) -> None:
        """Ends after the polls that are under way: what they still bring is given back."""
        polls, self._polls = self._polls, None
        if polls is not None:
            await polls.close()
        await self._sqs.close()

    async def ping(self) -> None:
        await self._sqs.ping()

    async def examine(self) -> list[Finding]:
        return await examine(self._sqs)

    async def prepare(self, pool: str = DEFAULT_POOL) -> None:
        await together(*(self._sqs.url(queue) for name in self._settings.names(pool) for queue in (name, dead(name))))

    async def send(self, messages: Sequence[Message], *, delay: float = 0.0) -> list[SendOutcome]:
        due = self._clock() + delay if delay > 0 else 0.0
        outcomes = [SendOutcome.FAILED] * len(messages)
        places: dict[str, list[int]] = {}
        letters: dict[int, Outgoing] = {}
        for place, message in enumerate(messages):
            letter = Outgoing.of(message, due)
            if len(letter.body) <= MAX_BYTES:
                letters[place] = letter
                places.setdefault(self._settings.name(message.pool, message.priority), []).append(place)

        async def send_to(name: str, some: Sequence[int]) -> None:
            sent = await self._calls.send(name, [letters[place] for place in some])
            for place, done in zip(some, sent, strict=True):
                outcomes[place] = SendOutcome.SENT if done else SendOutcome.FAILED

        await together(*(send_to(name, some) for name, some in places.items()))
        return outcomes

    async def receive(
        self,
        limit: int,
        *,
        wait: float,
        lease: float,
        pool: str = DEFAULT_POOL,
        priorities: Collection[Priority] = PRIORITIES,
    ) -> list[Received]:
        if limit < 1:
            raise ValueError(f"a receive needs a limit of at least 1, not {limit}")
        polls = self._polls
        if polls is None:
            raise Unavailable("the queue on SQS is closed")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        hold = min(max(1, math.ceil(lease)), LONGEST_HOLD)
        while True:
            order = self._draw.order(self._random, among=priorities)
            wants = [Want(self._settings.name(pool, priority), hold) for priority in order]
            caught = await polls.receive(wants, limit, deadline - loop.time())
            if not caught:
                return []
            received = await self._read(caught, polls)
            if received:
                return received

    async def extend(self, received: Sequence[Received], lease: float) -> list[bool]:
        now = self._clock()
        receipts = [Receipt.of(each) for each in received]
        # cut at the ceiling: SQS refuses what goes beyond it, and the lease would not grow at all
        holds = [(receipt, min(math.ceil(lease), math.floor(receipt.ceiling - now))) for receipt in receipts]
        kept = iter(await self._calls.hide([(receipt, seconds) for receipt, seconds in holds if seconds > 0]))
        return [seconds > 0 and next(kept) for _, seconds in holds]

    async def ack(self, received: Sequence[Received]) -> list[bool]:
        return await self._calls.delete([Receipt.of(each) for each in received])

    async def release(self, received: Sequence[Received], *, delay: float = 0.0) -> list[bool]:
        now = self._clock()
        receipts = [Receipt.of(each) for each in received]
        within = [now + delay <= receipt.ceiling for receipt in receipts]
        near = [(receipt, math.ceil(delay)) for receipt, fits in zip(receipts, within, strict=True) if fits]
        far = [receipt for receipt, fits in zip(receipts, within, strict=True) if not fits]
        hidden, sent = map(iter, await together(self._calls.hide(near), self._send_again(far, now + delay)))
        return [next(hidden if fits else sent) for fits in within]

    async def dead_letter(self, received: Received, reason: str) -> bool:
        [buried] = await self._bury([Receipt.of(received)], [reason])
        return buried

    async def dead(self, limit: int, *, pool: str = DEFAULT_POOL) -> list[DeadLetter]:
        lists = await together(*(self._dead.list(name, limit) for name in self._settings.names(pool)))
        letters: list[DeadLetter] = [letter for some in lists for letter in some]
        return sorted(letters, key=lambda letter: letter.died_at)[:limit]

    async def redrive(self, ids: Sequence[str], *, pool: str = DEFAULT_POOL) -> int:
        if not ids:
            return 0
        return sum(await together(*(self._dead.redrive(name, ids) for name in self._settings.names(pool))))

    async def delete_dead(self, ids: Sequence[str], *, pool: str = DEFAULT_POOL) -> int:
        if not ids:
            return 0
        return sum(await together(*(self._dead.delete(name, ids) for name in self._settings.names(pool))))

    async def depth(self, pool: str = DEFAULT_POOL) -> Mapping[Priority, Depth]:
        async def of(name: str) -> Depth:
            [(available, hidden, delayed), gone] = await together(
                self._calls.counts(name), self._calls.counts(dead(name))
            )
            return Depth(available, hidden, delayed, sum(gone))

        depths = await together(*map(of, self._settings.names(pool)))
        return dict(zip(Priority, depths, strict=True))

    async def _read(self, caught: Sequence[Incoming], polls: Polls) -> list[Received]:
        """What can be shown; what is not due or cannot be read is put away."""
        now = self._clock()
        readable: dict[str, Received] = {}
        unreadable: dict[str, str] = {}
        early: list[Incoming] = []
        held_back: set[tuple[str, str]] = set()
        for each in caught:
            group = (each.queue, each.group)
            if each.due > now or group in held_back:
                early.append(each)
                if self._settings.fifo:
                    held_back.add(group)
                continue
            try:
                readable[each.id] = each.received()
            except MessageInvalid as error:
                unreadable[each.id] = str(error)
        try:
            await self._put_off(early, now)
            await self._bury([each.receipt for each in caught if each.id in unreadable], list(unreadable.values()))
        except Unavailable as error:
            if not readable:
                raise
            logger.warning("messages that are not due or cannot be read come again with their leases' end: %s", error)
        except asyncio.CancelledError:
            polls.give_back([each for each in caught if each.id in readable])
            raise
        return list(readable.values())

    async def _put_off(self, early: Sequence[Incoming], now: float) -> None:
        """Keep messages from being seen until they are due."""
        if self._settings.fifo:
            await self._calls.hide(
                [(each.receipt, min(max(0, math.ceil(each.due - now)), LONGEST_HOLD)) for each in early]
            )
        else:
            await self._calls.replace([(each.receipt, each.queue, each.receipt.again(each.due)) for each in early])

    async def _send_again(self, receipts: Sequence[Receipt], due: float) -> list[bool]:
        return await self._calls.replace([(each, each.queue, each.again(due)) for each in receipts])

    async def _bury(self, receipts: Sequence[Receipt], reasons: Sequence[str]) -> list[bool]:
        now = self._clock()
        moves = [(each, dead(each.queue), each.buried(why, now)) for each, why in zip(receipts, reasons, strict=True)]
        return await self._calls.replace(moves)
