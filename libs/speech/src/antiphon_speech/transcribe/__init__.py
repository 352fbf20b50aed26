"""Speech to words: the port `Transcriber` and the engines behind it."""

from antiphon_speech.transcribe.base import Transcriber

__all__ = ["Transcriber", "open_transcriber"]


def open_transcriber(
    model: str, *, device: str = "cpu", compute_type: str | None = None, threads: int = 0
) -> Transcriber:
    """Load `model` (a name or a directory, see `models.locate_model`) on `device` (`cpu`, `cuda`, `auto`).

    `compute_type` is CTranslate2's; absent, int8 on a CPU and float16 on a GPU. `threads`: CPU threads of one
    transcription, 0 lets CTranslate2 choose. Raises EngineUnavailable.
    """
    from antiphon_speech.transcribe.faster_whisper import FasterWhisper
    from antiphon_speech.transcribe.models import locate_model

    return FasterWhisper(model, locate_model(model), device=device, compute_type=compute_type, threads=threads)
