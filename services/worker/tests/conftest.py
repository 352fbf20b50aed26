import wave
from pathlib import Path

import pytest

CLIPS = Path(__file__).parents[3] / "tests" / "data" / "clips"


@pytest.fixture(scope="session")
def clips() -> Path:
    return CLIPS


@pytest.fixture(scope="session")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of speech: long enough that something can happen in the middle of its transcription."""
    path = tmp_path_factory.mktemp("audio") / "minutes.wav"
    with wave.open(str(CLIPS / "librivox_0870.wav")) as clip, wave.open(str(path), "wb") as out:
        out.setparams(clip.getparams())
        out.writeframes(clip.readframes(clip.getnframes()) * 17)
    return path
