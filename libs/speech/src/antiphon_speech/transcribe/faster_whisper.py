"""Whisper on CTranslate2, through faster-whisper.

Whisper was trained to write something for any 30 seconds, so that noise and music may come out as words. Three guards
stand against that: Silero's voice activity detection decides whether there is speech at all, also when the caller does
not want silence cut out; Whisper's own thresholds skip what it takes for silence; and what no temperature made probable
is dropped (`judging.invented`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.vad import get_speech_timestamps
from numpy.typing import NDArray

from antiphon_speech.errors import EngineUnavailable, LanguageNotSupported
from antiphon_speech.mixing import SAMPLE_RATE
from antiphon_speech.options import AnalysisOptions
from antiphon_speech.results import Transcript
from antiphon_speech.transcribe.base import Transcriber, unwatched
from antiphon_speech.transcribe.judging import (
    COMPRESSION_RATIO,
    LOG_PROBABILITY,
    NO_SPEECH,
    believed,
    segments_of,
    words_of,
)

_UNDETERMINED = "und"  # ISO 639-2

# Greedy or beam search first. Sampling helps it out of a repetition loop; OpenAI goes on to 1.0, but what comes after
# 0.6 is free invention, and the worst case is slow enough. Sampling cannot be seeded again after its first use in
# CTranslate2: where nothing else helped, a second attempt may hear other words.
_TEMPERATURES = (0.0, 0.2, 0.4, 0.6)


def whisper_settings(options: AnalysisOptions) -> dict[str, Any]:
    """The arguments for `WhisperModel.transcribe` that `options` come to."""
    return {
        "language": options.language,
        "beam_size": options.beam_size,
        "temperature": _TEMPERATURES,
        "log_prob_threshold": LOG_PROBABILITY,
        "compression_ratio_threshold": COMPRESSION_RATIO,
        "no_speech_threshold": NO_SPEECH,
        "word_timestamps": True,
        # Feeding one window's text to the next buys a little consistency at the price of loops that never end.
        "condition_on_previous_text": False,
        # With it off, `initial_prompt` would hold for the first 30 s alone. `hotwords` puts the same tokens in the same
        # place for every window, like `carry_initial_prompt` of openai-whisper.
        "hotwords": options.initial_prompt,
        "vad_filter": options.vad,
        # Skips silence around improbable words; the VAD has cut that silence out already.
        "hallucination_silence_threshold": None if options.vad else 2.0,
    }


class FasterWhisper(Transcriber):
    """One Whisper model in memory."""

    def __init__(self, model: str, path: Path, *, device: str, compute_type: str | None, threads: int) -> None:
        """Load the CTranslate2 model in `path`. Raises EngineUnavailable."""
        self.model = model
        try:
            if device == "auto":
                device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
            # On a CPU int8 halves the time (tiny.en, 43 s of speech, 1 thread: 1.9 s, float32 3.6 s).
            compute_type = compute_type or ("int8" if device == "cpu" else "float16")
            self._whisper = WhisperModel(str(path), device=device, compute_type=compute_type, cpu_threads=threads)
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).replace(str(path), model)  # callers see the message, and paths are not their business
            raise EngineUnavailable(
                f"the transcription model {model!r} cannot be loaded on {device} as {compute_type}: {reason}"
            ) from error

    def transcribe(
        self,
        samples: NDArray[np.float32],
        options: AnalysisOptions,
        *,
        progress: Callable[[float], None] = unwatched,
    ) -> Transcript:
        """See Transcriber."""
        self._check(options.language)
        duration = samples.size / SAMPLE_RATE
        # Costs 2 ms per second of audio. With `vad` on, faster-whisper looks for itself.
        if not (options.vad or get_speech_timestamps(samples)):
            progress(1.0)
            return self._nothing(options.language, duration)
        segments, info = self._whisper.transcribe(samples, **whisper_settings(options))
        kept = list(believed(segments, duration, progress))
        progress(1.0)
        words = tuple(words_of(kept, duration))
        if not words:
            return self._nothing(options.language, duration)
        return Transcript(
            text="".join(segment.text for segment in kept).strip(),
            language=info.language,
            language_probability=round(info.language_probability, 4),
            duration=duration,
            segments=tuple(segments_of(kept, duration)),
            words=words,
            model=self.model,
        )

    def _check(self, language: str | None) -> None:
        if language is None:
            return
        english_only = not self._whisper.model.is_multilingual
        # Cantonese, for one, came with large-v3 alone.
        if (english_only and language != "en") or self._whisper.hf_tokenizer.token_to_id(f"<|{language}|>") is None:
            raise LanguageNotSupported(
                f"the model {self.model!r} does not know the language {language!r}"
                + (", only English; choose a multilingual model, or" if english_only else "; choose a larger model, or")
                + " leave the language out"
            )

    def _nothing(self, language: str | None, duration: float) -> Transcript:
        """No language can be heard in silence: it is the one asked for, the model's only one, or undetermined."""
        return Transcript(
            text="",
            language=language or (_UNDETERMINED if self._whisper.model.is_multilingual else "en"),
            language_probability=0.0,
            duration=duration,
            segments=(),
            words=(),
            model=self.model,
            flags=("no_speech",),
        )
