"""Counts jobs where another process can read it, at a cost that is the same for every system: two numbers in memory."""

import mmap
import struct
import time
from pathlib import Path
from threading import Lock

_FORM = struct.Struct("=qq")  # the nanoseconds first: who sees a count finds its time there


class Tally:
    """How many jobs one process has handled, and when the last of them was, on CLOCK_MONOTONIC."""

    def __init__(self, path: Path) -> None:
        """Share the memory that the file holds; it is made if it is not there."""
        with path.open("ab+") as file:
            file.truncate(_FORM.size)
            self._memory = mmap.mmap(file.fileno(), _FORM.size)
        self._lock = Lock()
        self._handled = self.handled

    def add(self) -> None:
        """One more; fine from any thread."""
        with self._lock:
            self._handled += 1
            _FORM.pack_into(self._memory, 0, time.monotonic_ns(), self._handled)

    @property
    def handled(self) -> int:
        return int(_FORM.unpack_from(self._memory)[1])

    @property
    def last(self) -> int:
        """Nanoseconds; read `handled` before it."""
        return int(_FORM.unpack_from(self._memory)[0])
