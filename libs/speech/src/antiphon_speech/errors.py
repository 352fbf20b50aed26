"""What can go wrong with a recording or an engine, and whether trying again can help."""

from collections.abc import Iterable
from typing import ClassVar


class SpeechError(Exception):
    """Everything that the analysis raises on purpose. `code` is stable and public."""

    code: ClassVar[str] = "speech_error"
    retryable: ClassVar[bool] = False


class NotAvailable(SpeechError):
    """The caller asks for something that this installation lacks."""

    code = "not_available"

    def __init__(self, field: str, what: str, choices: Iterable[str] = ()) -> None:
        offered = ", ".join(choices)
        super().__init__(f"{what} is not available here" + (f"; available: {offered}" if offered else ""))
        self.field = field


class AudioError(SpeechError):
    """The recording cannot be analysed, today or tomorrow."""

    code = "audio_invalid"


class AudioEmpty(AudioError):
    """There is no audio: no bytes, no frames, or fewer samples than any analysis can use."""

    code = "audio_empty"


class AudioUndecodable(AudioError):
    """The bytes are not audio that we can decode."""

    code = "audio_undecodable"


class AudioTooLong(AudioError):
    """The recording is longer than this installation takes."""

    code = "audio_too_long"

    def __init__(self, seconds: float, limit: float) -> None:
        super().__init__(
            f"the recording lasts {seconds:.0f} s or more; at most {limit:.0f} s are taken (ANTIPHON_MAX_AUDIO_SECONDS)"
        )


class AudioTooLarge(AudioError):
    """The file holds more bytes than this installation takes."""

    code = "audio_too_large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the file holds {size} bytes or more; at most {limit} are taken (ANTIPHON_MAX_UPLOAD_BYTES)")


class LanguageNotSupported(SpeechError):
    """The model does not know the language that was asked for."""

    code = "language_not_supported"


class EngineUnavailable(SpeechError):
    """An engine or its model cannot be loaded on this worker; another worker may have it."""

    code = "engine_unavailable"
    retryable = True
