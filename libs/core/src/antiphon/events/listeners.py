"""The listeners of one process, for every adapter: who waits for what, and how they are woken."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from antiphon.errors import Unavailable
from antiphon.events.base import Listener


class Listeners:
    """Those who listen now. Wakes them by topic, or all of them."""

    def __init__(self) -> None:
        self._by_topic: dict[str, set[_Waiting]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_topic)

    @contextmanager
    def enter(self, topic: str) -> Iterator[Listener]:
        """Listen to `topic` while the body runs."""
        listener = _Waiting(topic)
        self._by_topic.setdefault(topic, set()).add(listener)
        try:
            yield listener
        finally:
            others = self._by_topic[topic]
            others.discard(listener)
            if not others:
                del self._by_topic[topic]

    def wake(self, topics: Collection[str]) -> None:
        for topic in topics:
            for listener in self._by_topic.get(topic, ()):
                listener.wake()

    def wake_all(self) -> None:
        """For when nobody can say what has changed."""
        self.wake(self._by_topic.keys())

    def end(self) -> None:
        """Nobody will be woken any more: end the waits, and refuse further ones."""
        for listeners in self._by_topic.values():
            for listener in listeners:
                listener.end()


class _Waiting(Listener):
    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._news = asyncio.Event()
        self._ended = False

    async def wait(self, timeout: float) -> bool:
        if self._ended:
            raise Unavailable(f"nobody tells of {self._topic} any more; the events are closed")
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return not self._ended

    def wake(self) -> None:
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()
