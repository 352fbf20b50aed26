"""What the supervisor tells about its programs, for whoever shows it."""

import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ready:
    """All programs can work, for the first time."""

    pids: dict[str, int]


@dataclass(frozen=True, slots=True)
class Died:
    """A program ended that was to go on; it is started again `restart_in` seconds from now, for the nth time."""

    program: str
    pid: int
    status: int
    lived: float
    restarts: int
    restart_in: float

    @property
    def how(self) -> str:
        return death(self.status)


@dataclass(frozen=True, slots=True)
class Back:
    """A program that was started again can work."""

    program: str
    pid: int


@dataclass(frozen=True, slots=True)
class Stopping:
    """Somebody asked us to stop; the programs are asked to end."""


@dataclass(frozen=True, slots=True)
class Killed:
    """A program was asked to end, did not in time or was hurried, and was ended by force."""

    program: str
    pid: int


Happening = Ready | Died | Back | Stopping | Killed


def death(status: int) -> str:
    """How a process ended, from its return code: `killed by SIGKILL`, `exit code 3`."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
