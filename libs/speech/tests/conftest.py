"""Recordings to test with: the repository's clips, and anything that PyAV can encode."""

import json
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = (
    "1"  # before huggingface_hub is imported, which reads it once: no test waits for a network
)

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from antiphon_speech.audio import decode
from antiphon_speech.transcribe import Transcriber, open_transcriber


@pytest.fixture(scope="session")
def clips() -> dict[str, Path]:
    """The repository's recordings of real speech, by name: WAV, 16 kHz, mono, 16 bits."""
    return {name: _folder() / f"{name}.wav" for name in _manifest()}


@pytest.fixture(scope="session")
def spoken() -> dict[str, str]:
    """The words that were said in them."""
    return _manifest()


@pytest.fixture(scope="session")
def clip(clips: dict[str, Path]) -> Path:
    """One of them, 3.3 s: `he might even have been made amiable himself`."""
    return clips["librivox_0930"]


@pytest.fixture(scope="session")
def speech(clip: Path) -> NDArray[np.float32]:
    """Its samples, 16 kHz."""
    return decode(clip).samples


@pytest.fixture(scope="session")
def transcriber() -> Transcriber:
    return open_transcriber("tiny.en", threads=2)


def _folder() -> Path:
    return next(p for parent in Path(__file__).parents if (p := parent / "tests" / "data" / "clips").is_dir())


def _manifest() -> dict[str, str]:
    return {entry["id"]: entry["text"] for entry in json.loads((_folder() / "manifest.json").read_text())}


@pytest.fixture
def encode(tmp_path: Path) -> Callable[..., Path]:
    """A function that encodes samples, (n,) or (channels, n), into a file; `sample_format` is the encoder's."""

    def encode(
        samples: NDArray[Any],
        rate: int,
        *,
        container: str,
        codec: str,
        sample_format: str = "s16",
        layout: str | None = None,
        name: str = "recording",
        **options: str,
    ) -> Path:
        samples = np.atleast_2d(samples)
        layout = layout or {1: "mono", 2: "stereo", 6: "5.1"}.get(len(samples), f"{len(samples)} channels")
        path = tmp_path / name
        with av.open(str(path), "w", format=container) as out:
            stream = out.add_stream(codec, rate=rate, layout=layout, options=options)
            assert isinstance(stream, AudioStream)
            stream.codec_context.format = av.AudioFormat(sample_format)
            for frame in _frames(samples, rate, layout, sample_format, stream.codec_context.frame_size):
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return path

    return encode


def _frames(samples: NDArray[Any], rate: int, layout: str, sample_format: str, size: int) -> Iterator[av.AudioFrame]:
    packed = np.ascontiguousarray(samples.T, dtype=np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate = rate
    frame.pts = 0
    frame.time_base = Fraction(1, rate)
    resampler = av.AudioResampler(format=sample_format, layout=layout, rate=rate, frame_size=size or rate)
    yield from resampler.resample(frame)
    yield from resampler.resample(None)
