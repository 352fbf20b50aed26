"""The internal token of an installation on this machine: `antiphon up` makes it, the commands find it."""

import os
import re
import secrets
from pathlib import Path

from antiphon_cli.errors import CommandError, SupervisorError, UsageError

VARIABLE = "ANTIPHON_INTERNAL_TOKEN"
_FILE = "internal-token"
_SENDABLE = re.compile(r"[!-~]+")
"""What a header can carry; whether it is a token, the server says."""


def ensure(data: Path) -> str:
    """The token of the installation in `data`; one is made, for its owner's eyes only, if there is none.

    Whoever calls this is the only one who does, as the supervisor of the directory. Raises SupervisorError.
    """
    path = data / _FILE
    try:
        if found := _read(path):
            return found
        made = secrets.token_urlsafe(32)
        new = path.with_name(f"{_FILE}.new")
        new.unlink(missing_ok=True)  # of a start that was cut short
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{made}\n")
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    except OSError as error:
        raise SupervisorError(f"cannot keep the internal token in {path}: {error.strerror}") from None
    return made


def find(*, here: bool) -> str | None:
    """What ANTIPHON_INTERNAL_TOKEN says, or, for a server that is `here`, what its `antiphon up` keeps.

    Raises UsageError for what no request could carry, CommandError for a file that cannot be read.
    """
    given = os.environ.get(VARIABLE)
    if not given and here:
        from antiphon.ports import default_data

        path = Path(os.environ.get("ANTIPHON_DATA") or default_data()).expanduser() / _FILE
        try:
            given = _read(path)
        except OSError as error:
            raise CommandError(f"cannot read the internal token in {path}: {error.strerror}") from None
    if given and not _SENDABLE.fullmatch(given):
        raise UsageError("the internal token holds spaces, line ends or letters that no request can carry")
    return given or None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except FileNotFoundError:
        return None
