"""Where the programs' logs go, and what the last of them says."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TAIL = 64 * 1024
_DRAWING = " \t|+-"
"""What tracebacks of exception groups are framed with."""


class Logs:
    """One file per program in `directory`, the last run's beside it as `.1`; the terminal if there is none."""

    def __init__(self, directory: Path | None, names: tuple[str, ...]) -> None:
        self._directory = directory
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            for name in names:
                file = self._file(directory, name)
                if file.exists():
                    file.replace(file.with_suffix(".log.1"))

    @contextmanager
    def writing(self, name: str) -> Iterator[int]:
        """A descriptor that takes the output of a program."""
        if self._directory is None:
            yield sys.stderr.fileno()
            return
        descriptor = os.open(self._file(self._directory, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def where(self, name: str) -> str:
        """Where a person reads them."""
        return "its messages are above" if self._directory is None else f"see {self._file(self._directory, name)}"

    def last_words(self, name: str) -> str:
        """What a program that failed said last, in one line; empty if that is not known."""
        if self._directory is None:
            return ""
        try:
            with self._file(self._directory, name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                return last_words(file.read().decode(errors="replace"))
        except OSError:
            return ""

    @staticmethod
    def _file(directory: Path, name: str) -> Path:
        return directory / f"{name}.log"


def last_words(log: str) -> str:
    """The last line that is an error or plain text, such as the end of a traceback."""
    for line in reversed(log.splitlines()):
        plain = line.strip(_DRAWING)
        if not plain:
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            return plain
        if isinstance(entry, dict) and entry.get("level") in {"error", "critical"}:
            return _sentence(entry)
    return ""


def _sentence(entry: dict[str, object]) -> str:
    cause = entry.get("reason") or entry.get("error") or str(entry.get("exception", "")).strip().rpartition("\n")[2]
    return f"{entry.get('event', '')}{f': {cause}' if cause else ''}"
