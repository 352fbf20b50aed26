"""The dead letters of one SQS queue: SQS can only receive them, so looking at them is receiving and giving back."""

from collections.abc import Callable, Collection

from antiphon.queue.base import DeadLetter
from antiphon.queue.sqs_batches import ENTRIES
from antiphon.queue.sqs_calls import SqsCalls
from antiphon.queue.sqs_messages import Incoming
from antiphon.queue.sqs_queues import dead

HELD = 60
"""Seconds that a letter is hidden from others who look; long enough to look through some thousands."""


class SqsDeadLetters:
    """A letter's id is that of its message on SQS, which stays the same however often it is looked at."""

    def __init__(self, calls: SqsCalls) -> None:
        self._calls = calls

    async def list(self, name: str, limit: int) -> list[DeadLetter]:
        """At least `limit` dead letters of the queue `name`, or all: about the oldest, as SQS hands them over."""
        held: dict[str, Incoming] = {}
        try:
            await self._look(name, held, lambda: len(held) >= limit)
            return [letter.dead_letter() for letter in held.values()]
        finally:
            await self._give_back(held.values())

    async def redrive(self, name: str, ids: Collection[str]) -> int:
        """Send them to the queue `name` again; how many there were."""
        return await self._remove(name, ids, again=True)

    async def delete(self, name: str, ids: Collection[str]) -> int:
        """Forget them; how many there were."""
        return await self._remove(name, ids, again=False)

    async def _remove(self, name: str, ids: Collection[str], *, again: bool) -> int:
        held: dict[str, Incoming] = {}
        try:
            await self._look(name, held, lambda: held.keys() >= set(ids))
            letters = [letter for letter in held.values() if letter.id in ids]
            if again:
                sent = await self._calls.send(name, [letter.redriven() for letter in letters])
                letters = [letter for letter, done in zip(letters, sent, strict=True) if done]
            gone = await self._calls.delete([letter.receipt for letter in letters])
            for letter in letters:
                del held[letter.id]
            return sum(gone)
        finally:
            await self._give_back(held.values())

    async def _look(self, name: str, held: dict[str, Incoming], enough: Callable[[], bool]) -> None:
        """Add dead letters to what is `held`, by id, until that is enough or there are no more.

        A short poll may miss letters, so while SQS counts more than were seen, a long one asks. Those which somebody
        else is looking at are counted as well, and are back within a moment.
        """
        counted = sum(await self._calls.counts(dead(name)))
        while not enough():
            known = len(held)
            letters = await self._calls.receive(dead(name), ENTRIES, wait=1 if known < counted else 0, hold=HELD)
            held |= {letter.id: letter for letter in letters}
            if len(held) == known:
                return

    async def _give_back(self, letters: Collection[Incoming]) -> None:
        await self._calls.hide([(letter.receipt, 0) for letter in letters])
