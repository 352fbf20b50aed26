"""A recording that cannot be analysed ends its job at once, with a stable code and a sentence for people."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.acceptance.installation import CLIPS, Installation

RATE = 16_000


def wav(data: bytes, *, channels: int = 1, rate: int = RATE, bits: int = 16, kind: int = 1, claimed: int = -1) -> bytes:
    """A RIFF file as its header describes it, true or not; `kind` 1 is integers, 3 floats."""
    block = channels * bits // 8
    size = len(data) if claimed < 0 else claimed
    form = struct.pack("<HHIIHH", kind, channels, rate, min(rate * block, 2**32 - 1), block, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + body


def tone(seconds: float) -> bytes:
    times = np.arange(int(seconds * RATE)) / RATE
    return (8000 * np.sin(2 * np.pi * 220 * times)).astype("<i2").tobytes()


def clip() -> bytes:
    return (CLIPS / "arctic_a0009.wav").read_bytes()[44:]


def poisoned() -> bytes:
    """The clip as floats, with samples that are not numbers or not finite."""
    samples = np.frombuffer(clip(), "<i2").astype("<f4") / 32768
    samples[1000:1010] = np.nan
    samples[2000] = np.inf
    return wav(samples.tobytes(), bits=32, kind=3)


REFUSED: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "text renamed .wav": (lambda: b"Dear Sir or Madam, this is not a recording. " * 40, {"audio_undecodable"}),
    "noise": (lambda: np.random.default_rng(1).bytes(20_000), {"audio_undecodable", "audio_empty"}),
    "0 Hz": (lambda: wav(tone(1), rate=0), {"audio_undecodable"}),
    "3 ms of audio": (lambda: wav(tone(0.003)), {"audio_empty"}),
    "a header without audio": (lambda: wav(b""), {"audio_empty"}),
    "a playlist that names another file": (
        lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/hostname\n#EXT-X-ENDLIST\n",
        {"audio_undecodable"},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_fails_at_the_first_attempt_with_a_code_and_a_sentence(
    running: Installation, tmp_path: Path, name: str
) -> None:
    make, codes = REFUSED[name]
    recording = tmp_path / "recording.wav"
    recording.write_bytes(make())
    ended = running.wait_until_ended(running.submit(recording))
    assert (ended["state"], ended["attempt"]) == ("failed", 1)
    assert ended["error"]["code"] in codes
    assert len(ended["error"]["message"]) > 20
    assert str(running.data) not in ended["error"]["message"]


def test_a_header_that_claims_ten_hours_is_not_believed(running: Installation, tmp_path: Path) -> None:
    recording = tmp_path / "lying.wav"
    recording.write_bytes(wav(clip(), claimed=10 * 3600 * RATE * 2))
    job = running.submit(recording)
    ended = running.wait_until_ended(job)
    assert ended["state"] == "succeeded"
    assert ended["audio_seconds"] == pytest.approx(3.1, abs=0.1)
    assert "sharply" in running.result(job)["text"]


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_silence_gives_an_empty_transcript_that_says_so(running: Installation, tmp_path: Path, seconds: float) -> None:
    recording = tmp_path / "silence.wav"
    recording.write_bytes(wav(bytes(int(seconds * RATE) * 2)))
    job = running.submit(recording)
    assert running.wait_until_ended(job)["state"] == "succeeded"
    result = running.result(job)
    assert (result["text"], result["words"]) == ("", [])
    assert {"silent", "no_speech"} <= set(result["flags"])
    assert result["pitch"]["median"] is None


def test_samples_that_are_not_finite_are_repaired_and_flagged(running: Installation, tmp_path: Path) -> None:
    recording = tmp_path / "poisoned.wav"
    recording.write_bytes(poisoned())
    job = running.submit(recording)
    assert running.wait_until_ended(job)["state"] == "succeeded"
    result = running.result(job)
    assert "repaired" in result["flags"]
    assert "table" in result["text"]


def test_many_channels_are_mixed_or_refused_but_never_tried_again(running: Installation, tmp_path: Path) -> None:
    samples = np.repeat(np.frombuffer(clip(), "<i2"), 32)
    recording = tmp_path / "channels.wav"
    recording.write_bytes(wav(samples.tobytes(), channels=32))
    ended = running.wait_until_ended(running.submit(recording))
    assert ended["attempt"] == 1
    assert ended["state"] == "succeeded" or ended["error"]["code"] == "audio_undecodable"
