"""The peers of the speech bench, each in a warm process of its own: `python -m antiphon_cli.bench.speech.peer SIDE`.

SIDE is `direct`, faster-whisper alone, or `stages`, the worker's stages without a queue, a store or a second process.
It answers the path of a recording with a JSON object: seconds, text, and the seconds of each stage where there are
stages. Priority and threads are those of a worker's slot.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import ctranslate2
from faster_whisper import WhisperModel

from antiphon_speech.audio import AudioLimits
from antiphon_speech.engines import EngineSettings, load_engines
from antiphon_speech.options import AnalysisOptions
from antiphon_speech.results import Result
from antiphon_speech.transcribe.faster_whisper import whisper_settings
from antiphon_speech.transcribe.models import locate_model
from antiphon_worker.settings import WorkerSettings
from antiphon_worker.stages import analyse

OPTIONS = AnalysisOptions(pipeline="transcribe")
NICE = 5
"""What a slot's child gives way by (`antiphon_worker.child`)."""


@dataclass(frozen=True, slots=True)
class Heard:
    text: str
    timings: dict[str, float] = field(default_factory=dict)


Transcribe = Callable[[Path], Heard]


def direct(settings: WorkerSettings) -> Transcribe:
    """`WhisperModel.transcribe` on the file, and its segments to the last one."""
    model = WhisperModel(
        str(locate_model(settings.model)),
        device="cpu",
        compute_type="int8",
        cpu_threads=settings.threads_per_slot(),
    )
    arguments = whisper_settings(OPTIONS)

    def transcribe(recording: Path) -> Heard:
        ctranslate2.set_random_seed(0)
        segments, _ = model.transcribe(str(recording), **arguments)
        return Heard("".join(segment.text for segment in segments).strip())

    return transcribe


def stages(settings: WorkerSettings) -> Transcribe:
    """`antiphon analyze`: the same stages as a job of the pipeline `transcribe`."""
    engines = load_engines(EngineSettings(settings.model, "cpu", None, settings.threads_per_slot()))

    def transcribe(recording: Path) -> Heard:
        produced = analyse(recording, OPTIONS, engines, limits=AudioLimits(), on_progress=lambda *_: None)
        [result] = (Result.model_validate_json(item.data) for item in produced if item.name == "result.json")
        return Heard(result.text or "", result.timings)

    return transcribe


def main(side: str) -> None:
    os.nice(NICE)
    transcribe = {"direct": direct, "stages": stages}[side](WorkerSettings())
    print("ready", flush=True)
    for line in sys.stdin:
        recording = Path(line.rstrip("\n"))
        started = time.perf_counter()
        heard = transcribe(recording)
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, **asdict(heard)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
