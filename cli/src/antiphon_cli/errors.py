"""What a command raises on purpose, and the exit code that each kind ends in."""

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar

from antiphon_cli.masking import masked


class ExitCode(IntEnum):
    """How a command ended. Stable; documented in `antiphon --help` and the README."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot do what it was asked. The message says what was wrong, where, and what to do."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    code: ClassVar[str] = "failed"


class UsageError(CommandError):
    """What was asked makes no sense."""

    exit_code = ExitCode.USAGE
    code = "usage"


class Unreachable(CommandError):
    """The server does not answer."""

    exit_code = ExitCode.UNREACHABLE
    code = "unreachable"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"cannot reach Antiphon at {masked(url)}: {reason}\n"
            "Start it with `antiphon up`, or name another server with --url or ANTIPHON_URL."
        )


class AnswerLost(Unreachable):
    """The connection broke, or the server was silent for too long; it may have done what it was asked."""


class Refused(CommandError):
    """The server understood and said no: a problem document (RFC 9457), told as a sentence."""

    advice: ClassVar[str] = ""
    """What to do about it, where that is not the server's to know."""

    def __init__(self, status: int, code: str, detail: str, fields: Sequence[tuple[str, str]] = ()) -> None:
        lines = [f"{detail} ({code}, HTTP {status})"]
        lines += [f"  {field}: {message}" if field else f"  {message}" for field, message in fields]
        lines += [self.advice] if self.advice else []
        super().__init__("\n".join(lines))
        self.status = status
        self.code = code  # type: ignore[misc]
        self.detail = detail
        self.fields = tuple(fields)


class NotFound(Refused):
    """The server has no such job, artifact or pool."""

    exit_code = ExitCode.NOT_FOUND


class TokenRefused(Refused):
    """The server wants its internal token, and did not get it."""

    advice = "Set ANTIPHON_INTERNAL_TOKEN to it, or, for an `antiphon up` on this machine, ANTIPHON_DATA to its --data."


class ServerUnavailable(Refused):
    """The server cannot work at the moment."""


class SupervisorError(CommandError):
    """`antiphon up` cannot run, or cannot go on."""


class AlreadyRunning(SupervisorError):
    """Another supervisor serves the data directory."""

    code = "already_running"


class PortTaken(SupervisorError):
    """Somebody else listens at the address."""

    code = "port_in_use"


class GaveUp(SupervisorError):
    """A program died again and again."""

    code = "gave_up"
