"""Receiving from several SQS queues at once, without waiting at an empty one, and without losing what SQS hands over.

SQS has no call that waits at several queues, and none that takes a request back: what it hands over to a request whose
sender has gone stays hidden until its lease ends. So every ReceiveMessage is a poll of its own, which is never
cancelled. A receive owns some polls while it lasts. Those that are still under way when it ends are left to
themselves: the next receive of the same pool, priority and lease goes on with them, and what they catch meanwhile is
given back to SQS when nobody comes for it within a moment.

Which polls a receive starts keeps both the waits and the calls few:

* The priorities that may have work are asked in the drawn order, one after the other and without a wait, until one has.
* A priority that was empty a moment ago is not asked while others have work, nor one where a poll is under way: that
  would bring what comes.
* When none has work, all are polled at once, for up to 20 s each; the first that brings something ends the receive. An
  idle receiver hence makes three calls in 20 s.
* A receive that may not wait asks all before it says that there is nothing. Such a short poll asks only some of SQS's
  servers, so that it may miss one of a few messages; a long poll asks all of them:
  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
"""

import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from antiphon.errors import Unavailable
from antiphon.queue.sqs_batches import ENTRIES
from antiphon.queue.sqs_calls import SqsCalls
from antiphon.queue.sqs_messages import Incoming
from antiphon.queue.sqs_queues import is_fifo

logger = logging.getLogger(__name__)

LONGEST_POLL = 20.0
CONNECTING = 2.0
"""Seconds that a poll may take beyond its wait before it counts as lost, when the polls are closed."""
EMPTY_FOR = 2.0
"""Seconds for which an empty queue is taken to be empty while others have work."""
KEPT_FOR = 0.25
"""Seconds that a catch waits for the next receive: one that is about to come; a busy worker only holds others up."""


@dataclass(frozen=True, slots=True)
class Want:
    """What a receive asks a queue for, and what a poll brings: messages that are hidden for `hold` seconds."""

    queue: str
    hold: int


@dataclass(eq=False, slots=True)
class _Poll:
    want: Want
    task: "asyncio.Task[None]" = field(init=False)
    owned: bool = True
    ended_at: float = math.inf
    caught: list[Incoming] = field(default_factory=list)
    """What nobody has taken yet."""
    tapped: bool = False
    failure: Unavailable | None = None

    @property
    def under_way(self) -> bool:
        return self.ended_at == math.inf


class Polls:
    """The polls of one queue adapter, from its opening to its closing."""

    def __init__(self, calls: SqsCalls, *, longest: float = LONGEST_POLL) -> None:
        self._calls = calls
        self._longest = longest
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Future[None] = self._loop.create_future()
        self._polls: set[_Poll] = set()
        self._empty_until: dict[str, float] = {}
        self._returning: set[asyncio.Task[None]] = set()

    async def receive(self, wants: Sequence[Want], limit: int, wait: float) -> list[Incoming]:
        """Up to `limit` messages of the first of `wants` that has some, or of whichever has some within `wait` seconds.

        Nothing if there is none, or when the polls are closed. Raises Unavailable.
        """
        mine = [poll for want in wants for poll in self._polls if poll.want == want and not poll.owned]
        for poll in mine:
            poll.owned = True
        try:
            return await self._receive(mine, wants, limit, self._loop.time() + wait if wait > 0 else None)
        finally:
            for poll in mine:
                self._leave(poll)

    def give_back(self, caught: Sequence[Incoming]) -> None:
        """Let others see these messages at once, instead of when their lease ends."""
        if caught:
            task = asyncio.create_task(self._give_back(caught))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)

    async def close(self) -> None:
        """End every receive, wait for what is under way, and give back what that brings."""
        if not self._closing.done():
            self._closing.set_result(None)
        tasks = [poll.task for poll in self._polls if poll.under_way]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._longest + CONNECTING)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for poll in list(self._polls):
            self._drop(poll)
        while self._returning:
            await asyncio.wait(self._returning)

    async def _receive(
        self, mine: list[_Poll], wants: Sequence[Want], limit: int, deadline: float | None
    ) -> list[Incoming]:
        if caught := self._take(mine, limit):
            return caught
        for want in self._worth_asking(mine, wants, thorough=deadline is None):
            asked = self._start(mine, want, limit, wait=0)
            await asyncio.wait([asked.task, self._closing], return_when=asyncio.FIRST_COMPLETED)
            if caught := self._take(mine, limit):
                return caught
            if self._closing.done():
                return []
        while deadline is not None and (left := deadline - self._loop.time()) > 0 and not self._closing.done():
            polled = {poll.want for poll in mine}
            for want in wants:
                if want not in polled:
                    self._start(mine, want, limit, wait=math.ceil(min(left, self._longest)))
            waiting = [*(poll.task for poll in mine), self._closing]
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if caught := self._take(mine, limit):
                return caught
        return []

    def _worth_asking(self, mine: Sequence[_Poll], wants: Sequence[Want], *, thorough: bool) -> list[Want]:
        """In which order to ask without a wait: those that may have work, then the others if it is to be `thorough`."""
        now = self._loop.time()
        polled = {poll.want for poll in mine}
        likely = [want for want in wants if want not in polled and self._empty_until.get(want.queue, 0) <= now]
        return [*likely, *(want for want in wants if want not in likely)] if thorough else likely

    def _start(self, mine: list[_Poll], want: Want, limit: int, *, wait: int) -> _Poll:
        poll = _Poll(want)
        poll.task = asyncio.create_task(self._run(poll, min(limit, ENTRIES), wait))
        self._polls.add(poll)
        mine.append(poll)
        return poll

    async def _run(self, poll: _Poll, limit: int, wait: int) -> None:
        try:
            poll.caught = await self._calls.receive(poll.want.queue, limit, wait=wait, hold=poll.want.hold)
        except Unavailable as error:
            poll.failure = error
        else:
            if not poll.caught:
                self._empty_until[poll.want.queue] = self._loop.time() + EMPTY_FOR
        finally:
            poll.ended_at = self._loop.time()
            if not poll.owned:
                self._leave(poll)

    def _take(self, mine: list[_Poll], limit: int) -> list[Incoming]:
        """What the polls that have ended caught; they are done with, but for what is beyond the limit."""
        taken: list[Incoming] = []
        failure = None
        for poll in [poll for poll in mine if not poll.under_way]:
            if not poll.task.cancelled():
                poll.task.result()
            room = limit - len(taken)
            taken += poll.caught[:room]
            poll.tapped = poll.tapped or room > 0
            poll.caught = poll.caught[room:]
            failure = failure or poll.failure
            mine.remove(poll)
            self._leave(poll)
        if failure is not None and not taken:
            raise failure
        return taken

    def _leave(self, poll: _Poll) -> None:
        """Leave a poll to the next receive, as long as it is of use."""
        poll.owned = False
        if poll.under_way:
            return
        if not poll.caught or self._closing.done() or (poll.tapped and is_fifo(poll.want.queue)):
            self._drop(poll)  # on a FIFO queue, what is kept would overtake those that a group's others wait for
        else:
            self._loop.call_at(poll.ended_at + KEPT_FOR, self._drop, poll)

    def _drop(self, poll: _Poll) -> None:
        self._polls.discard(poll)
        caught, poll.caught = poll.caught, []
        self.give_back(caught)

    async def _give_back(self, caught: Sequence[Incoming]) -> None:
        try:
            await self._calls.hide([(each.receipt, 0) for each in caught])
        except Unavailable as error:
            logger.info("messages that were not needed come again when their lease ends: %s", error)
