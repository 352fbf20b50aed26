"""One supervisor per data directory: two would run two workers on one queue, and clean up after each other."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from antiphon_cli.errors import AlreadyRunning, SupervisorError

_FILE = "supervisor.lock"


class Claim:
    """The hold on a data directory, which the kernel lets go however the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.predecessor_died = os.fstat(descriptor).st_size > 0
        """Whether the last holder was killed; its programs may be about to end just now."""

    def tell(self, url: str) -> None:
        """Let whoever comes next know where we are."""
        self._write(json.dumps({"pid": os.getpid(), "url": url}))

    def forget(self) -> None:
        """Say that everything was ended properly."""
        self._write("")

    def _write(self, text: str) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


@contextmanager
def sole_supervisor(data: Path) -> Iterator[Claim]:
    """Hold the data directory, which is made if need be. Raises AlreadyRunning, SupervisorError."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SupervisorError(
            f"cannot use {data} as data directory: {error.strerror}; name another with --data or ANTIPHON_DATA"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"another `antiphon up`{_holder(descriptor)} uses the data directory {data}; "
                "stop it, or name another directory with --data"
            ) from None
        claim = Claim(descriptor)
        try:
            yield claim
        finally:
            claim.forget()
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        told = json.loads(os.pread(descriptor, 4096, 0))
        return f" (process {told['pid']}, {told['url']})"
    except (ValueError, KeyError, TypeError):
        return ""
