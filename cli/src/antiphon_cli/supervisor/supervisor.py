"""Keeps programs running until it is asked to stop; then leaves nothing behind."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from antiphon_cli.supervisor.child import Child
from antiphon_cli.supervisor.happenings import Happening, Ready, Stopping
from antiphon_cli.supervisor.logs import Logs
from antiphon_cli.supervisor.program import Program
from antiphon_cli.supervisor.restarts import RestartPolicy

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLICY = RestartPolicy()


async def supervise(
    programs: Sequence[Program],
    *,
    logs: Path | None,
    tell: Callable[[Happening], None],
    policy: RestartPolicy = _POLICY,
) -> None:
    """Run `programs` until SIGINT, SIGTERM or SIGHUP; a second one of these hurries. Those started last end first.

    Raises GaveUp if one of them cannot be kept running.
    """
    stop, hurry = asyncio.Event(), asyncio.Event()
    output = Logs(logs, tuple(program.name for program in programs))
    with _lifeline() as lifeline, _on_signals(stop, hurry):
        children = [Child(program, lifeline, output, policy, tell) for program in programs]
        keepers = [asyncio.create_task(child.keep()) for child in children]
        tasks = [*keepers, asyncio.create_task(stop.wait()), asyncio.create_task(_announce(children, tell))]
        try:
            await asyncio.wait(tasks[:-1], return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                tell(Stopping())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for child in reversed(children):
                await child.stop(hurry)
    for keeper in keepers:
        if not keeper.cancelled():
            keeper.result()


async def _announce(children: Sequence[Child], tell: Callable[[Happening], None]) -> None:
    for child in children:
        await child.ready.wait()
    tell(Ready({child.program.name: child.pid for child in children}))


@contextmanager
def _lifeline() -> Iterator[int]:
    """The reading end of a pipe whose writing end nobody else gets: the kernel closes it however we end."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(writing)
        os.close(reading)


@contextmanager
def _on_signals(stop: asyncio.Event, hurry: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
