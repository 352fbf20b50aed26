"""The port `Events`. What is promised here, `tests/contract/test_events.py` asks of every adapter."""

import abc
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager

from antiphon.resource import Resource


class Listener(abc.ABC):
    """Waits for one topic. What was notified since the last `wait` wakes the next one at once, so nothing is missed."""

    @abc.abstractmethod
    async def wait(self, timeout: float) -> bool:
        """True as soon as the topic may have news, False after `timeout` seconds. May wake for nothing."""


class Events(Resource):
    """Wakes whoever waits for a change in the store. Carries no data: who is woken reads the store."""

    @abc.abstractmethod
    async def notify(self, topics: Collection[str]) -> None:
        """Wake the listeners of `topics`, in every process. Called once the change is committed.

        Never raises for a backend that is away, since what was committed is no failure. What cannot be told now is told
        when the backend is back, or found by the looks that every listener takes on its own from time to time.
        """

    @abc.abstractmethod
    def listen(self, topic: str) -> AbstractAsyncContextManager[Listener]:
        """Listen from now on; what is committed after this is entered will wake the listener."""
