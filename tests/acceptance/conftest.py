"""Recordings, and installations of the real programs."""

import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.backends import BACKENDS, files
from tests.acceptance.installation import CLIPS, Installation, installed


@pytest.fixture
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """An embedded installation of this test's own, so that the test may break it."""
    with files(request, tmp_path) as backends, installed(tmp_path, backends) as installation:
        yield installation


@pytest.fixture(params=BACKENDS)
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """The same on every combination of backends, one after the other."""
    with BACKENDS[request.param](request, tmp_path) as backends, installed(tmp_path, backends) as installation:
        yield installation


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An embedded installation with API and worker that the tests of a module share."""
    data = tmp_path_factory.mktemp("running")
    with files(request, data) as backends, installed(data, backends) as installation:
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
