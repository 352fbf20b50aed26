"""What runs inside a slot: the child process that holds the engines. Knows nothing of queue, store or blobs.

Results and failures leave as frozen data, so that whatever goes wrong in here cannot stop them from being unpickled.
"""

import os
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tqdm import tqdm

from antiphon.retry import StageFailure
from antiphon_speech.audio import AudioLimits
from antiphon_speech.engines import Engines, EngineSettings, load_engines
from antiphon_speech.errors import SpeechError
from antiphon_speech.options import AnalysisOptions, Stage
from antiphon_worker.stages import Produced, Work, run


@dataclass(frozen=True, slots=True)
class StageTask:
    """One stage of one attempt. `attempt` is unique to the attempt; the rest says how to begin or to go on."""

    attempt: str
    stage: str
    source: Path
    options: AnalysisOptions
    limits: AudioLimits
    earlier: dict[str, bytes]
    """What stages of earlier attempts left, by artifact name."""
    timings: dict[str, float]


@dataclass(frozen=True, slots=True)
class StageDone:
    """What a stage left, and the seconds that it took."""

    produced: tuple[Produced, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How much of a stage is done, 0 to 1."""

    attempt: str
    stage: str
    share: float


class _Slot:
    """The child's only state: its engines, or why it has none, and the recording that it works on."""

    engines: Engines | StageFailure = StageFailure("engine_unavailable", "the engines have not been loaded", True)
    work: Work | None = None
    attempt: str | None = None
    reports: Connection | None = None


def start(settings: EngineSettings, reports: Connection) -> None:
    """Load the engines. Called once in a new child; must not raise, or the pool would take itself for broken."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # faster-whisper's would be a semaphore that outlives a killed child
    os.nice(5)  # analysis gives way to whoever answers people
    _Slot.reports = reports
    try:
        _Slot.engines = load_engines(settings)
    except Exception as error:  # noqa: BLE001 - told by the first stage that wants them
        _Slot.engines = _failure(error)


def warm() -> StageFailure | None:
    """Returns once the engines are loaded; why not, if they are not."""
    return _Slot.engines if isinstance(_Slot.engines, StageFailure) else None


def perform(task: StageTask) -> StageDone | StageFailure:
    """Run one stage."""
    if isinstance(_Slot.engines, StageFailure):
        return _Slot.engines
    try:
        work = _work_of(task)
        produced = run(Stage(task.stage), work, _Slot.engines, lambda share: _report(task, share))
        return StageDone(tuple(produced), work.timings[task.stage])
    except Exception as error:  # noqa: BLE001 - everything leaves a slot as a StageFailure
        return _failure(error)


def _work_of(task: StageTask) -> Work:
    if _Slot.work is None or _Slot.attempt != task.attempt:
        work = Work(task.source, task.options, task.limits, timings=dict(task.timings))
        work.restore(task.earlier)
        _Slot.work, _Slot.attempt = work, task.attempt
    return _Slot.work


def _report(task: StageTask, share: float) -> None:
    if _Slot.reports is not None:
        _Slot.reports.send(StageProgress(task.attempt, task.stage, share))


def _failure(error: Exception) -> StageFailure:
    if isinstance(error, SpeechError):
        return StageFailure(error.code, str(error), error.retryable)
    if isinstance(error, MemoryError):
        return StageFailure("out_of_memory", "the worker has too little memory for this recording", retryable=True)
    traceback.print_exception(error, file=sys.stderr)
    return StageFailure("internal", f"the analysis failed unexpectedly ({type(error).__name__})", retryable=True)


def _die_with_parent() -> None:
    """Nobody is left to want a result when the worker is gone, even if it was killed."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
