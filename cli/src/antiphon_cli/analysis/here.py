"""Analyses recordings in this process: the worker's stages without queue, store or server."""

import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from antiphon_cli.analysis.outcome import Outcome, Trouble
from antiphon_cli.errors import CommandError, UsageError
from antiphon_cli.progress import Progress
from antiphon_cli.settings import sentence
from antiphon_speech.audio import AudioLimits
from antiphon_speech.engines import Engines, EngineSettings, load_engines
from antiphon_speech.errors import SpeechError
from antiphon_speech.options import AnalysisOptions, Stage, plan
from antiphon_worker.progress import percent
from antiphon_worker.settings import WorkerSettings
from antiphon_worker.stages import analyse


def analyse_here(
    recordings: Sequence[Path], options: Mapping[str, object], settings: WorkerSettings, progress: Progress
) -> Generator[Outcome, None, None]:
    """One outcome for each recording, in order.

    Raises UsageError for options that cannot be, CommandError if the engines cannot be loaded.
    """
    chosen = _chosen(options)
    limits = AudioLimits(settings.max_audio_seconds, settings.max_upload_bytes)
    progress.at(str(recordings[0]), "load", 0.0)
    engines = _loaded(settings, chosen.model)
    for recording in recordings:
        began = time.monotonic()
        artifacts, trouble = dict[str, bytes](), None
        try:
            artifacts = _artifacts(recording, chosen, engines, limits, progress)
        except SpeechError as error:
            trouble = Trouble(error.code, str(error))
        except OSError as error:
            trouble = Trouble("unreadable", error.strerror or str(error))
        yield Outcome(recording, time.monotonic() - began, artifacts, trouble)


def _artifacts(
    recording: Path, options: AnalysisOptions, engines: Engines, limits: AudioLimits, progress: Progress
) -> dict[str, bytes]:
    stages = plan(options.pipeline)

    def report(stage: Stage, share: float) -> None:
        progress.at(str(recording), stage, percent(stages, stage, share))

    recording.open("rb").close()  # a file that cannot be read says why in the system's own words
    produced = analyse(recording, options, engines, limits=limits, on_progress=report)
    return {artifact.name: artifact.data for artifact in produced}


def _chosen(options: Mapping[str, object]) -> AnalysisOptions:
    try:
        chosen = AnalysisOptions.model_validate(options)
        plan(chosen.pipeline)
    except ValidationError as error:
        faults = {f"  {fault['loc'][0]}: {sentence(fault['msg'])}" for fault in error.errors()}
        raise UsageError("\n".join(["these options are not valid:", *sorted(faults)])) from None
    except SpeechError as error:
        raise UsageError(str(error)) from None
    return chosen


def _loaded(settings: WorkerSettings, model: str | None) -> Engines:
    try:
        return load_engines(
            EngineSettings(model or settings.model, settings.device, settings.compute_type, settings.threads_per_slot())
        )
    except SpeechError as error:
        raise CommandError(str(error)) from None
