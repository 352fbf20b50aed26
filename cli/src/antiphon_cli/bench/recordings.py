"""Recordings of known length, made of the repository's clips."""

import wave
from collections.abc import Sequence
from pathlib import Path

from antiphon_cli.bench.checkout import CLIPS, checkout
from antiphon_cli.bench.report import BenchError

SHORT = ("librivox_0880",)
"""3 s of one sentence."""
LONG = ("librivox_0870", "librivox_0880", "librivox_0890", "librivox_0920", "librivox_0930", "arctic_a0009", "mary")
"""Just under 30 s, so that Whisper sees them in one window."""
HASTY = ("librivox_0870",)
"""7 s: what stands for the long one where nobody looks at the numbers."""


def recording(names: Sequence[str], target: Path, *, repeats: int = 1) -> Path:
    """Write these clips, one after the other, as one WAV file. Raises BenchError without a checkout."""
    root = checkout()
    if root is None:
        raise BenchError(
            f"this bench needs the recordings in {CLIPS}, which are in no installed package; "
            "clone the repository and run it there (make setup, then .venv/bin/antiphon bench)"
        )
    sounds = []
    for name in names:
        with wave.open(str(root / CLIPS / f"{name}.wav")) as clip:
            if (clip.getframerate(), clip.getnchannels(), clip.getsampwidth()) != (16000, 1, 2):
                raise BenchError(f"{name}.wav is not 16 kHz mono 16 bit, and cannot be joined with others")
            sounds.append(clip.readframes(clip.getnframes()))
    with wave.open(str(target), "wb") as joined:
        joined.setnchannels(1)
        joined.setsampwidth(2)
        joined.setframerate(16000)
        joined.writeframes(b"".join(sounds) * repeats)
    return target


def seconds(file: Path) -> float:
    """How long a WAV file is."""
    with wave.open(str(file)) as sound:
        return float(sound.getnframes() / sound.getframerate())
