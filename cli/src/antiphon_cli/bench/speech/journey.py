"""One job as a client sees it: submitted, followed, fetched. The times between the steps add up to the whole."""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from antiphon_cli.bench.report import BenchError
from antiphon_cli.bench.wire import Connection, Form
from antiphon_cli.sse import events
from antiphon_cli.views import Job


@dataclass(frozen=True, slots=True)
class Journey:
    """What was heard, and the seconds of each step in the order in which they come."""

    text: str
    steps: dict[str, float]

    @property
    def seconds(self) -> float:
        return sum(self.steps.values())


STEPS = (
    "upload and acceptance",
    "until a worker has claimed it",
    "stage decode",
    "stage transcribe",
    "between and after the stages",
    "until the client has heard of its end",
    "fetching the result",
)
"""Where the time of a job of the pipeline `transcribe` goes. `between` holds the stage `render` too, which is not in
its own result, the calls into the slot, and what each stage leaves going to blob store and store."""


def travel(connection: Connection, recording: bytes) -> Journey:
    """Submit, wait on the event stream for the terminal event, fetch the result. Raises BenchError if it fails."""
    form = Form.of({"pipeline": "transcribe"})
    began = time.time()
    job = connection.submit(form, recording)
    ended = _last_word(connection, job)
    told = time.time()
    result: dict[str, Any] = json.loads(connection.get(f"/v1/jobs/{job}/result"))
    fetched = time.time()
    if ended.state != "succeeded" or ended.started_at is None or ended.finished_at is None:
        raise BenchError(f"the job ended as {ended.state}: {ended.error}")
    created, started, finished = map(_seconds, (ended.created_at, ended.started_at, ended.finished_at))
    decode, transcribe = result["timings"]["decode"], result["timings"]["transcribe"]
    durations = (
        created - began,
        started - created,
        decode,
        transcribe,
        finished - started - decode - transcribe,
        told - finished,
        fetched - told,
    )
    return Journey(result["text"], dict(zip(STEPS, durations, strict=True)))


def _last_word(connection: Connection, job: str) -> Job:
    with connection.chunks(f"/v1/jobs/{job}/events") as chunks:
        for event in events(chunks):
            told = Job.model_validate_json(event.data)
            if told.terminal:
                return told
    raise BenchError(f"the event stream of {job} ended before the job")


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
