"""What a transcriber promises, seen on real speech and on sounds without any."""

import time
from collections.abc import Iterator
from pathlib import Path

import faster_whisper
import numpy as np
import pytest
from numpy.typing import NDArray

from antiphon_speech.audio import decode
from antiphon_speech.errors import EngineUnavailable, LanguageNotSupported
from antiphon_speech.languages import LANGUAGES
from antiphon_speech.options import AnalysisOptions
from antiphon_speech.results import Transcript
from antiphon_speech.transcribe import Transcriber, open_transcriber
from antiphon_speech.transcribe.faster_whisper import FasterWhisper, whisper_settings
from antiphon_speech.transcribe.models import locate_model

Samples = NDArray[np.float32]

RATE = 16_000
RANDOM = np.random.default_rng(3)


def seconds(length: float) -> NDArray[np.float64]:
    return np.arange(int(length * RATE)) / RATE


def pink_noise(length: float) -> NDArray[np.float64]:
    """Noise whose power falls by 3 dB per octave, like rooms and ventilators: (n,), peak 1."""
    spectrum = np.fft.rfft(RANDOM.standard_normal(int(length * RATE)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.size), 1)))
    return np.asarray(noise / np.abs(noise).max())


def chord(root: float, length: float) -> NDArray[np.float64]:
    """A struck major triad with overtones, dying away: (n,)."""
    time = seconds(length)
    partials = sum(
        np.sin(2 * np.pi * root * ratio * overtone * time) / overtone
        for ratio in (1, 5 / 4, 3 / 2)
        for overtone in range(1, 6)
    )
    return np.asarray(partials * np.exp(-3 * time) * np.minimum(1, time / 0.01))


def melody() -> NDArray[np.float64]:
    tune = np.concatenate([chord(220 * 2 ** (step / 12), 0.5) for step in (0, 2, 4, 5, 7, 5, 4, 2) * 3])
    return np.asarray(tune / np.abs(tune).max())


def drums() -> NDArray[np.float64]:
    beat = np.concatenate([RANDOM.standard_normal(RATE // 4) * np.exp(-20 * seconds(0.25)) for _ in range(24)])
    return np.asarray(beat / np.abs(beat).max())


def hum() -> NDArray[np.float64]:
    return np.asarray(sum(np.sin(2 * np.pi * 50 * overtone * seconds(6)) / overtone for overtone in range(1, 8)))


SOUNDS: dict[str, NDArray[np.float64]] = {
    "digital silence": np.zeros(5 * RATE),
    "a minute of silence": np.zeros(60 * RATE),
    "a click": np.eye(1, 3 * RATE, RATE)[0],
    "white noise": 0.1 * RANDOM.standard_normal(6 * RATE),
    "loud white noise": np.clip(0.5 * RANDOM.standard_normal(6 * RATE), -1, 1),
    "pink noise": 0.3 * pink_noise(6),
    "loud pink noise": pink_noise(6),
    "mains hum": 0.1 * hum(),
    "a tone": 0.5 * np.sin(2 * np.pi * 440 * seconds(6)),
    "a siren": 0.5 * np.sin(2 * np.pi * 700 * seconds(6) + 60 * np.sin(2 * np.pi * 0.5 * seconds(6))),
    "a melody in chords": 0.5 * melody(),
    "drums": 0.8 * drums(),
    "a melody with drums": 0.5 * melody()[: 6 * RATE] + 0.4 * drums()[: 6 * RATE],
}


@pytest.mark.parametrize("vad", [True, False])
@pytest.mark.parametrize("sound", SOUNDS)
def test_what_holds_no_speech_gives_no_words(sound: str, vad: bool, transcriber: Transcriber) -> None:
    samples = SOUNDS[sound].astype(np.float32)
    transcript = transcriber.transcribe(samples, AnalysisOptions(vad=vad))
    assert transcript.text == ""
    assert transcript.words == ()
    assert transcript.segments == ()
    assert transcript.flags == ("no_speech",)
    assert transcript.language == "en", "the model's only one"
    assert transcript.duration == pytest.approx(samples.size / RATE)


@pytest.mark.parametrize("length", [0, 1, 160, 1600])
@pytest.mark.parametrize("vad", [True, False])
def test_a_recording_too_short_for_a_word_gives_none(length: int, vad: bool, transcriber: Transcriber) -> None:
    samples = np.full(length, 0.1, dtype=np.float32)
    assert transcriber.transcribe(samples, AnalysisOptions(vad=vad)).flags == ("no_speech",)


def times(transcript: Transcript) -> Iterator[float]:
    for word in transcript.words:
        yield word.start
        yield word.end


@pytest.mark.parametrize("vad", [True, False])
def test_times_grow_and_stay_inside_the_recording(vad: bool, speech: Samples, transcriber: Transcriber) -> None:
    for samples in (speech, speech[: 2 * RATE], np.concatenate([speech, np.zeros(40 * RATE, np.float32), speech])):
        transcript = transcriber.transcribe(samples, AnalysisOptions(vad=vad))
        moments = list(times(transcript))
        assert moments == sorted(moments)
        assert moments[0] >= 0
        assert moments[-1] <= samples.size / RATE
        assert all(0 <= word.probability <= 1 for word in transcript.words)
        assert all(word.word == word.word.strip() != "" for word in transcript.words)
        edges = [edge for segment in transcript.segments for edge in (segment.start, segment.end)]
        assert edges == sorted(edges)
        assert edges[-1] <= samples.size / RATE


@pytest.mark.parametrize("vad", [True, False])
def test_words_stand_where_they_were_said_after_a_silence_that_is_cut_out(
    vad: bool, speech: Samples, transcriber: Transcriber
) -> None:
    samples = np.concatenate([speech, np.zeros(20 * RATE, np.float32), speech])
    transcript = transcriber.transcribe(samples, AnalysisOptions(vad=vad))
    assert transcript.text.lower().count("amiable himself") == 2
    second = [word.start for word in transcript.words if word.word.lower().strip(",.") == "amiable"][1]
    alone = next(
        w.start for w in transcriber.transcribe(speech, AnalysisOptions()).words if "amiable" in w.word.lower()
    )
    assert second - (speech.size / RATE + 20) == pytest.approx(alone, abs=0.3)


def test_the_text_is_the_segments_and_the_words_in_order(speech: Samples, transcriber: Transcriber) -> None:
    transcript = transcriber.transcribe(speech, AnalysisOptions())
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)
    assert transcript.text == " ".join(word.word for word in transcript.words)
    assert transcript.model == "tiny.en"
    assert (transcript.language, transcript.language_probability) == ("en", 1.0)


def test_the_engine_adds_nothing_to_what_whisper_heard(speech: Samples, transcriber: Transcriber) -> None:
    directory = locate_model("tiny.en")
    whisper = faster_whisper.WhisperModel(str(directory), device="cpu", compute_type="int8", cpu_threads=2)
    segments, _ = whisper.transcribe(speech, **whisper_settings(AnalysisOptions()))
    words = [word for segment in segments for word in segment.words]
    heard = transcriber.transcribe(speech, AnalysisOptions()).words
    assert [word.word for word in heard] == [word.word.strip() for word in words]
    assert [(word.start, word.end) for word in heard] == [(word.start, word.end) for word in words]


def test_progress_comes_while_the_work_goes_on_never_falls_and_ends_at_one(
    clips: dict[str, Path], transcriber: Transcriber
) -> None:
    samples = np.concatenate([decode(path).samples for path in clips.values()])
    assert samples.size > 40 * RATE, "more than one of Whisper's windows"
    calls: list[tuple[float, float]] = []
    transcriber.transcribe(samples, AnalysisOptions(), progress=lambda share: calls.append((share, time.monotonic())))
    assert calls == sorted(calls)
    (first, early), (last, late) = calls[0], calls[-1]
    assert 0 < first < 1
    assert last == 1.0
    assert late - early > 0.1, "the first window of 30 s is told before the last is done"


def test_silence_is_done_at_once(transcriber: Transcriber) -> None:
    shares: list[float] = []
    transcriber.transcribe(np.zeros(RATE, np.float32), AnalysisOptions(), progress=shares.append)
    assert shares == [1.0]


def test_an_initial_prompt_changes_how_names_are_spelled(clips: dict[str, Path], transcriber: Transcriber) -> None:
    samples = decode(clips["arctic_a0009"]).samples
    assert "Gregson" in transcriber.transcribe(samples, AnalysisOptions()).text
    assert "Greggson" in transcriber.transcribe(samples, AnalysisOptions(initial_prompt="Greggson, Ms Greggson")).text


def test_a_model_that_knows_english_alone_refuses_another_language(speech: Samples, transcriber: Transcriber) -> None:
    with pytest.raises(LanguageNotSupported, match="only English"):
        transcriber.transcribe(speech, AnalysisOptions(language="de"))
    assert transcriber.transcribe(speech, AnalysisOptions(language="en")).text


def test_the_languages_offered_are_those_that_whisper_knows() -> None:
    assert set(faster_whisper.tokenizer._LANGUAGE_CODES) == LANGUAGES


def test_a_model_that_cannot_be_loaded_says_so_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    path = locate_model(str(tmp_path))
    with pytest.raises(EngineUnavailable, match="'private' cannot be loaded") as refusal:
        FasterWhisper("private", path, device="cpu", compute_type=None, threads=1)
    assert str(tmp_path) not in str(refusal.value)


def test_a_device_that_is_not_there_is_told(transcriber: Transcriber) -> None:
    with pytest.raises(EngineUnavailable, match=r"'tiny\.en' cannot be loaded on cuda as float16"):
        open_transcriber("tiny.en", device="cuda")
