"""Slots: child processes that compute, so that the worker itself always answers, and survives whatever they do.

A slot is a pebble pool of one process. pebble can end what runs in it (SIGTERM, then SIGKILL), notices a child that
died, and starts another. A child that dies while it is idle breaks its pool, which is then made anew.
https://pebble.readthedocs.io/
"""

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self, TypeVar

import structlog
from pebble import CONSTS, ProcessExpired, ProcessFuture, ProcessPool

from antiphon.hooks import Hooks
from antiphon.retry import StageFailure
from antiphon_speech.engines import EngineSettings
from antiphon_worker import child
from antiphon_worker.child import StageDone, StageProgress, StageTask

CONSTS.term_timeout = 0.2  # a child deep in native code does not see SIGTERM; do not wait for it

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the worker's threads and connections half-way
T = TypeVar("T")
log = structlog.get_logger(__name__)


class Slot:
    """One unit of concurrency: a child process that holds the engines."""

    def __init__(self, engines: EngineSettings, hooks: Hooks) -> None:
        self._engines = engines
        self._hooks = hooks
        self._receiver, self._sender = _SPAWN.Pipe(duplex=False)
        self._on_progress: Callable[[StageProgress], None] | None = None
        self._pool = self._new_pool()

    def start(self) -> None:
        """Begin to listen for progress; the child starts with the first call."""
        asyncio.get_running_loop().add_reader(self._receiver.fileno(), self._receive)

    async def warm(self) -> StageFailure | None:
        """Wait until the engines are loaded; why not, if they cannot be."""
        return await self._call(child.warm)

    async def run(self, task: StageTask, on_progress: Callable[[StageProgress], None]) -> StageDone | StageFailure:
        """Run one stage in the child. When this is cancelled the child is ended, and another one started."""
        self._on_progress = on_progress
        try:
            return await self._call(child.perform, task)
        except ProcessExpired as error:
            self._hooks.slot_restarted("crash")
            return StageFailure("slot_crashed", _death(error.exitcode), retryable=True)
        except BrokenProcessPool:
            self._hooks.slot_restarted("crash")
            return StageFailure("slot_crashed", _death(None), retryable=True)
        except asyncio.CancelledError:
            self._hooks.slot_restarted("cancel")
            raise
        finally:
            self._on_progress = None

    async def stop(self) -> None:
        """End the child."""
        asyncio.get_running_loop().remove_reader(self._receiver.fileno())
        await asyncio.to_thread(self._end_pool)
        self._receiver.close()
        self._sender.close()

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        if not self._pool.active:
            await asyncio.to_thread(self._end_pool)
            self._hooks.slot_restarted("crash")
            self._pool = self._new_pool()
        future: ProcessFuture[T] = self._pool.schedule(function, args=args)
        return await asyncio.wrap_future(future)

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1, context=_SPAWN, initializer=child.start, initargs=(self._engines, self._sender)
        )

    def _end_pool(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def _receive(self) -> None:
        report = self._receiver.recv()
        if self._on_progress is not None:
            self._on_progress(report)


class Slots:
    """All slots of a worker; a free one is borrowed for an attempt and given back."""

    def __init__(self, count: int, engines: EngineSettings, hooks: Hooks) -> None:
        self._all = [Slot(engines, hooks) for _ in range(count)]
        self._free: asyncio.Queue[Slot] = asyncio.Queue()
        self.ready = False

    async def __aenter__(self) -> Self:
        for slot in self._all:
            slot.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(slot.stop() for slot in self._all))

    async def warm(self) -> None:
        """Load every slot's engines, and lend those out that have them."""
        await asyncio.gather(*(self._warm(slot) for slot in self._all))

    async def borrow(self) -> Slot:
        """Wait for a free slot."""
        return await self._free.get()

    def borrow_more(self) -> list[Slot]:
        """Whatever else is free just now."""
        return [self._free.get_nowait() for _ in range(self._free.qsize())]

    def give_back(self, slot: Slot) -> None:
        self._free.put_nowait(slot)

    async def _warm(self, slot: Slot) -> None:
        failure = await slot.warm()
        if failure is not None:
            log.error("a slot cannot load its engines", code=failure.code, reason=failure.message)
            raise EnginesMissing(failure.message)
        self.ready = True
        self.give_back(slot)


class EnginesMissing(Exception):
    """The worker cannot load what its pool is to serve; it ends, so that whoever watches it sees."""


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"the analysis process was ended by signal {-exitcode}; too little memory is the usual reason"
    return "the analysis process ended unexpectedly" + ("" if exitcode is None else f" (exit code {exitcode})")
