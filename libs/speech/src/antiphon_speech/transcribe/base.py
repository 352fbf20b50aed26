"""What a transcription engine promises."""

import abc
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from antiphon_speech.options import AnalysisOptions
from antiphon_speech.results import Transcript


def unwatched(_share: float) -> None:
    """The progress of a transcription that nobody watches."""


class Transcriber(abc.ABC):
    """A loaded speech recogniser. Not thread-safe: one slot, one engine."""

    model: str
    """The name by which callers ask for it, and which the transcript carries."""

    @abc.abstractmethod
    def transcribe(
        self,
        samples: NDArray[np.float32],
        options: AnalysisOptions,
        *,
        progress: Callable[[float], None] = unwatched,
    ) -> Transcript:
        """The words of a recording, with times that grow and stay inside it.

        samples: (n,) at 16 kHz mono, within -1..1, of any length. `progress` hears the share of the audio that is done,
        0 to 1, never falling, and 1 at the end. What holds no speech gives an empty transcript, flagged `no_speech`.
        Raises LanguageNotSupported.
        """
