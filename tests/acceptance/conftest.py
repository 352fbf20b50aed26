"""Recordings, and installations of the real programs."""

import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.installation import CLIPS, Installation, installed


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """An installation of this test's own, so that the test may break it."""
    with installed(tmp_path) as installation:
        yield installation


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with API and worker that the tests of a module share."""
    with installed(tmp_path_factory.mktemp("running")) as installation:
        installation.start_api()
        installation.start_worker()
        yield installation


@pytest.fixture(scope="session")
def short_recording() -> Path:
    """Seven seconds of a novel."""
    return CLIPS / "librivox_0870.wav"


@pytest.fixture(scope="session")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some two and a half minutes: the librivox clips over and over, long enough to be interrupted in the middle."""
    path = tmp_path_factory.mktemp("audio") / "long.wav"
    with wave.open(str(path), "wb") as out:
        for number, clip in enumerate(sorted(CLIPS.glob("librivox_*.wav")) * 6):
            with wave.open(str(clip), "rb") as part:
                if number == 0:
                    out.setparams(part.getparams())
                out.writeframes(part.readframes(part.getnframes()))
    return path
