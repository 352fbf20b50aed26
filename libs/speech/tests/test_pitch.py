"""The pitch of sounds whose pitch is known, and of sounds that have none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from antiphon_speech.audio import decode
from antiphon_speech.pitch import pitch, semitones
from antiphon_speech.results import Pitch

RATE = 16_000


def voice(f0: NDArray[np.float64]) -> NDArray[np.float32]:
    """Something like a voice that follows `f0`, Hz per sample: ten harmonics, each weaker. (n,)."""
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    return np.asarray(0.2 * sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 11)), dtype=np.float32)


def contour(result: Pitch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The times and frequencies of the voiced frames."""
    f0 = np.array([np.nan if f is None else f for f in result.frequency])
    time = result.start + result.step * np.arange(f0.size)
    voiced = ~np.isnan(f0)
    return time[voiced], f0[voiced]


@pytest.mark.parametrize("frequency", [80.0, 110.0, 200.0, 330.0, 590.0])
def test_a_steady_voice_has_its_pitch_within_one_per_cent(frequency: float) -> None:
    result = pitch(voice(np.full(RATE, frequency)))
    _, f0 = contour(result)
    assert np.abs(f0 / frequency - 1).max() < 0.01
    assert result.median == pytest.approx(frequency, rel=0.01)
    assert result.voiced_share > 0.95
    assert result.deviation == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(("first", "last"), [(100.0, 400.0), (300.0, 90.0)])
def test_a_glide_is_followed_within_one_per_cent(first: float, last: float) -> None:
    truth = first * (last / first) ** np.linspace(0, 1, 2 * RATE)
    time, f0 = contour(pitch(voice(truth)))
    expected = np.interp(time, np.arange(truth.size) / RATE, truth)
    assert np.abs(f0 / expected - 1).max() < 0.01
    assert time[0] < 0.05
    assert time[-1] > 1.95


def test_a_frame_stands_every_step_and_all_lists_are_as_long() -> None:
    result = pitch(voice(np.full(RATE, 150.0)))
    assert result.step == 0.01
    assert len(result.frequency) == len(result.semitones) == len(result.voiced) == pytest.approx(97, abs=2)
    assert 0 < result.start < 0.03
    assert len(pitch(voice(np.full(RATE, 150.0)), step=0.02).frequency) == pytest.approx(49, abs=2)


def test_an_octave_above_the_median_is_twelve_semitones() -> None:
    low, high = np.full(2 * RATE, 120.0), np.full(RATE, 240.0)
    result = pitch(voice(np.concatenate([low, high])))
    assert result.semitones[20] == pytest.approx(0, abs=0.1)
    assert result.semitones[-20] == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(RATE), 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)],
    ids=["silence", "noise"],
)
def test_what_has_no_pitch_has_no_voiced_frame(samples: NDArray[np.float64]) -> None:
    result = pitch(samples.astype(np.float32))
    assert not any(result.voiced)
    assert set(result.frequency) == set(result.semitones) == {None}
    assert (result.median, result.minimum, result.maximum, result.deviation) == (None, None, None, None)
    assert result.voiced_share == 0


@pytest.mark.parametrize("length", [0, 1, 160, 639, 640, 641, 642, 700, 1000])
@pytest.mark.parametrize("floor", [50.0, 75.0, 110.7])
def test_a_recording_of_any_shortness_is_no_error(length: int, floor: float) -> None:
    result = pitch(voice(np.full(length, 200.0)), floor=floor)
    assert len(result.frequency) == len(result.voiced) <= 6


@pytest.mark.parametrize(
    "search", [{"floor": 0.0}, {"floor": 600.0}, {"ceiling": 9000.0}, {"step": 0.0}, {"floor": float("nan")}]
)
def test_a_search_that_makes_no_sense_is_refused(search: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no pitch can be searched"):
        pitch(np.zeros(RATE, np.float32), **search)


# Medians as Praat 6.1.38 gives them for these speakers, a woman and two men, who can be heard to be so.
@pytest.mark.parametrize(("name", "low", "high"), [("arctic_a0009", 170, 210), ("bobby", 85, 110), ("mary", 85, 110)])
def test_the_speakers_of_the_clips_have_plausible_voices(
    name: str, low: float, high: float, clips: dict[str, Path]
) -> None:
    result = pitch(decode(clips[name]).samples)
    assert result.median is not None
    assert low < result.median < high
    assert 0.5 < result.voiced_share < 0.9
    assert result.deviation is not None
    assert 0.5 < result.deviation < 5


def test_the_contour_of_every_clip_agrees_with_itself(clips: dict[str, Path]) -> None:
    for path in clips.values():
        result = pitch(decode(path).samples)
        assert result.median is not None
        for frequency, interval, voiced in zip(result.frequency, result.semitones, result.voiced, strict=True):
            assert (frequency is not None) == (interval is not None) == voiced
            if frequency is not None and interval is not None:
                assert 74 <= frequency <= 600
                assert interval == pytest.approx(12 * np.log2(frequency / result.median), abs=0.02)


def test_json_of_a_contour_is_not_bloated(speech: NDArray[np.float32]) -> None:
    result = pitch(speech)
    assert len(result.model_dump_json()) / len(result.frequency) < 25


@given(st.lists(st.floats(20, 2000) | st.just(float("nan"))), st.floats(20, 2000))
def test_semitones_lead_back_to_hertz(values: list[float], reference: float) -> None:
    f0 = np.array(values, dtype=np.float64)
    back = reference * 2 ** (semitones(f0, reference) / 12)
    np.testing.assert_allclose(back, f0, rtol=1e-9)


@pytest.mark.parametrize("reference", [0.0, -100.0, float("nan")])
def test_a_reference_that_is_no_frequency_is_refused(reference: float) -> None:
    with pytest.raises(ValueError, match="positive frequency"):
        semitones(np.array([100.0]), reference)
