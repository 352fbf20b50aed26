"""Keeps a worker's slot computing while something else is measured."""

import time
from pathlib import Path

from antiphon_cli.bench.recordings import LONG, recording
from antiphon_cli.bench.report import BenchError
from antiphon_cli.bench.wire import Connection, Form
from antiphon_cli.views import TERMINAL

REPEATS = 10
"""Of the 30 s clip: some 5 minutes of speech, which take one core about 20 s."""
DEPTH = 2
"""Recordings that are kept waiting or running, so that the slot has the next one at once."""
PATIENCE = 60.0


class Decoding:
    """Long recordings for the worker, always one more than it can do meanwhile."""

    def __init__(self, connection: Connection, directory: Path) -> None:
        self._connection = connection
        self._recording = recording(LONG, directory / "busy.wav", repeats=REPEATS).read_bytes()
        self._form = Form.of({"pipeline": "transcribe"})
        self._jobs: list[str] = []

    def begin(self) -> None:
        """Return once the worker transcribes."""
        self.top_up()
        deadline = time.monotonic() + PATIENCE
        while self._connection.job(self._jobs[0])["stage"] != "transcribe":
            if time.monotonic() > deadline:
                raise BenchError("the worker does not begin to transcribe")
            time.sleep(0.05)

    def top_up(self) -> None:
        """See that there is enough to do for what is measured next."""
        self._forget_ended()
        while len(self._jobs) < DEPTH:
            self._jobs.append(self._connection.submit(self._form, self._recording))

    def require_busy(self) -> None:
        """Raise BenchError unless the worker has had something to do since the last `top_up`."""
        self._forget_ended()
        if not self._jobs:
            raise BenchError("the worker ran out of recordings during a measurement; raise REPEATS")

    def _forget_ended(self) -> None:
        states = {job: self._connection.job(job)["state"] for job in self._jobs}
        if "failed" in states.values():
            raise BenchError("the worker cannot transcribe the recording that is to keep it busy")
        self._jobs = [job for job in self._jobs if states[job] not in TERMINAL]
