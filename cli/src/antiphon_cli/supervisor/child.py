"""One program that is kept running."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from typing import NoReturn

import httpx

from antiphon_cli.errors import GaveUp
from antiphon_cli.supervisor.happenings import Back, Died, Happening, Killed, death
from antiphon_cli.supervisor.listener import free_port
from antiphon_cli.supervisor.logs import Logs
from antiphon_cli.supervisor.program import HEALTH_PORT, LIFELINE, Program
from antiphon_cli.supervisor.restarts import GiveUp, RestartPolicy, count_failed, next_start

_LOOK = 0.05
"""Seconds between two questions whether a program is ready."""


class Child:
    """A program's present process, and its successors.

    Each runs in a session of its own, so that a Ctrl-C on the terminal reaches the supervisor alone.
    """

    def __init__(
        self, program: Program, lifeline: int, logs: Logs, policy: RestartPolicy, tell: Callable[[Happening], None]
    ) -> None:
        self.program = program
        self.ready = asyncio.Event()
        self._lifeline = lifeline
        self._logs = logs
        self._policy = policy
        self._tell = tell
        self._process: Process | None = None
        self._ready_at: float | None = None
        """When the present process became ready, on the loop's clock."""

    @property
    def pid(self) -> int:
        """The present process, or the last one."""
        return 0 if self._process is None else self._process.pid

    async def keep(self) -> NoReturn:
        """Start the program, and again whenever it ends.

        Raises GaveUp after too many failed starts in a row, and when the first one ends with EX_CONFIG (sysexits.h), by
        which a program says that its settings are wrong.
        """
        clock = asyncio.get_running_loop().time
        failed = restarts = 0
        while True:
            began = clock()
            status = await self._live(restarts)
            if status == os.EX_CONFIG and not self.ready.is_set():
                raise GaveUp(self._refusal())
            now = clock()
            served = 0.0 if self._ready_at is None else now - self._ready_at
            failed = count_failed(failed, served, self._policy)
            decision = next_start(failed, self._policy)
            if isinstance(decision, GiveUp):
                raise GaveUp(self._obituary(status, decision.deaths))
            restarts += 1
            self._tell(Died(self.program.name, self.pid, status, now - began, restarts, decision.after))
            await asyncio.sleep(decision.after)

    async def stop(self, hurry: asyncio.Event) -> None:
        """End the program: politely for its time of grace, or until `hurry` is set, then by force."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        if not await _ended(process, self.program.grace, hurry):
            self._tell(Killed(self.program.name, process.pid))
            _end_group(process.pid)
            await process.wait()
        _end_group(process.pid)

    async def _live(self, restarts: int) -> int:
        """One life of the program; its return code."""
        self._ready_at = None
        port = str(free_port())
        process = self._process = await self._start(port)
        watching = asyncio.create_task(self._watch(process, self.program.ready.replace(HEALTH_PORT, port), restarts))
        try:
            return await process.wait()
        finally:
            watching.cancel()
            if process.returncode is not None:
                _end_group(process.pid)

    async def _start(self, port: str) -> Process:
        program = self.program
        command = [part.replace(LIFELINE, str(self._lifeline)).replace(HEALTH_PORT, port) for part in program.command]
        environment = {name: value.replace(HEALTH_PORT, port) for name, value in program.environment.items()}
        with self._logs.writing(program.name) as output:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
                pass_fds=(self._lifeline, *program.inherits),
                start_new_session=True,
            )

    async def _watch(self, process: Process, url: str, restarts: int) -> None:
        """Tell once the process can work."""
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
            while not await _answers(client, url):  # noqa: ASYNC110 - it is another process that gets ready
                await asyncio.sleep(_LOOK)
        self._ready_at = asyncio.get_running_loop().time()
        self.ready.set()
        if restarts:
            self._tell(Back(self.program.name, process.pid))

    def _refusal(self) -> str:
        words = self._logs.last_words(self.program.name)
        where = self._logs.where(self.program.name)
        return f"{words or f'the {self.program.name} refuses to start'}\nFor more, {where}."

    def _obituary(self, status: int, deaths: int) -> str:
        words = self._logs.last_words(self.program.name)
        return (
            f"the {self.program.name} failed to start {deaths} times, last with {death(status)}"
            f"{f': {words}' if words else ''}\n"
            f"For more, {self._logs.where(self.program.name)}; `antiphon doctor` checks the settings."
        )


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


async def _ended(process: Process, grace: float, hurry: asyncio.Event) -> bool:
    """Whether the process ended within `grace` seconds and before `hurry` was set."""
    ending = asyncio.create_task(process.wait())
    hurrying = asyncio.create_task(hurry.wait())
    await asyncio.wait({ending, hurrying}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    hurrying.cancel()
    return process.returncode is not None


def _end_group(leader: int) -> None:
    """End by force what is left of a program and of those that it started: its session is its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
