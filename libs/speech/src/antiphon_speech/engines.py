"""The engines that one slot of a worker holds for its life."""

from dataclasses import dataclass

import numpy as np

from antiphon_speech.mixing import SAMPLE_RATE
from antiphon_speech.options import AnalysisOptions
from antiphon_speech.sentiment import SentimentAnalyser, open_sentiment
from antiphon_speech.transcribe import Transcriber, open_transcriber


@dataclass(frozen=True)
class EngineSettings:
    """Which model is loaded, and on what; see `open_transcriber`. `threads`: CPU threads of one transcription."""

    model: str = "tiny.en"
    device: str = "cpu"
    compute_type: str | None = None
    threads: int = 1


@dataclass(frozen=True)
class Engines:
    """Loaded engines, ready to use."""

    transcriber: Transcriber
    sentiment: SentimentAnalyser


def load_engines(settings: EngineSettings) -> Engines:
    """Load, and warm up as far as it pays. Raises EngineUnavailable.

    Silence makes faster-whisper load its voice activity detection: 30 ms, which the first job would pay. Running the
    encoder too would take 0.5 s (tiny.en, one thread) and spare that job 0.06 s, so it is left out: a slot that
    comes back after a cancel is wanted at once.
    """
    engines = Engines(
        transcriber=open_transcriber(
            settings.model, device=settings.device, compute_type=settings.compute_type, threads=settings.threads
        ),
        sentiment=open_sentiment(),
    )
    engines.transcriber.transcribe(np.zeros(SAMPLE_RATE, dtype=np.float32), AnalysisOptions(language="en"))
    return engines
