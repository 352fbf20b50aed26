"""The pitch contour of a recording, by Praat (parselmouth).

Method: Praat's "raw" autocorrelation, the one that the Praat in parselmouth 0.4 (6.1.38) has. Source: Boersma, Accurate
short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound, Proceedings of the
Institute of Phonetic Sciences 17 (1993), 97-110. "Filtered" autocorrelation, which Praat recommends for intonation
since 6.4, needs a newer parselmouth.
"""

import numpy as np
import parselmouth
from numpy.typing import NDArray

from antiphon_speech.mixing import SAMPLE_RATE
from antiphon_speech.results import Pitch

# Praat's standard settings: the manual's page "Sound: To Pitch (raw autocorrelation)...".
_CANDIDATES = 15
_SILENCE = 0.03
_VOICING = 0.45
_OCTAVE_COST = 0.01
_OCTAVE_JUMP_COST = 0.35
_VOICED_UNVOICED_COST = 0.14

_PERIODS = 3  # the window of the analysis, in periods of the lowest frequency


def pitch(samples: NDArray[np.float32], *, floor: float = 75.0, ceiling: float = 600.0, step: float = 0.01) -> Pitch:
    """The contour of F0 between `floor` and `ceiling`, Hz, with a frame every `step` seconds.

    samples: (n,) at 16 kHz. Frequencies are rounded to 0.01 Hz and semitones to 0.01, far below what is heard. A
    recording that is too short for one window (3 periods of `floor`: 40 ms) gives an empty contour.
    Raises ValueError unless 0 < floor < ceiling <= 8000 and step > 0.
    """
    if not (0 < floor < ceiling <= SAMPLE_RATE / 2 and step > 0):
        raise ValueError(f"no pitch can be searched from {floor} to {ceiling} Hz every {step} s")
    start, f0 = _track(samples, floor, ceiling, step)
    voiced = ~np.isnan(f0)
    heard = f0[voiced]
    median = float(np.median(heard)) if heard.size else None
    intervals = semitones(f0, median) if median else np.full_like(f0, np.nan)
    return Pitch(
        start=round(start, 6),
        step=step,
        floor=floor,
        ceiling=ceiling,
        median=round(median, 2) if median else None,
        minimum=round(float(heard.min()), 2) if heard.size else None,
        maximum=round(float(heard.max()), 2) if heard.size else None,
        deviation=round(float(np.std(intervals[voiced])), 2) if heard.size else None,
        voiced_share=round(float(voiced.mean()), 4) if voiced.size else 0.0,
        frequency=_listed(f0),
        semitones=_listed(intervals),
        voiced=tuple(voiced.tolist()),
    )


def semitones(f0: NDArray[np.float64], reference: float) -> NDArray[np.float64]:
    """Pitch relative to `reference`, on the scale that listeners hear.

    f0: (frames,) Hz, NaN where unvoiced; reference: Hz, > 0. Returns (frames,) semitones, NaN kept.
    Raises ValueError for a reference that is not positive.
    Source: 't Hart, Collier & Cohen, A Perceptual Study of Intonation (1990), section 2.4.
    """
    if not reference > 0:
        raise ValueError(f"the reference of a pitch is a positive frequency, not {reference}")
    return np.asarray(12 * np.log2(f0 / reference), dtype=np.float64)


def _track(
    samples: NDArray[np.float32], floor: float, ceiling: float, step: float
) -> tuple[float, NDArray[np.float64]]:
    """The time of the first frame, seconds, and F0: (frames,) Hz, NaN where unvoiced."""
    if samples.size < _PERIODS / floor * SAMPLE_RATE + 1:
        return 0.0, np.empty(0)
    contour = parselmouth.Sound(samples.astype(np.float64), SAMPLE_RATE).to_pitch_ac(
        time_step=step,
        pitch_floor=floor,
        max_number_of_candidates=_CANDIDATES,
        very_accurate=False,
        silence_threshold=_SILENCE,
        voicing_threshold=_VOICING,
        octave_cost=_OCTAVE_COST,
        octave_jump_cost=_OCTAVE_JUMP_COST,
        voiced_unvoiced_cost=_VOICED_UNVOICED_COST,
        pitch_ceiling=ceiling,
    )
    f0 = np.array(contour.selected_array["frequency"], dtype=np.float64)
    f0[f0 == 0] = np.nan
    return float(contour.x1), f0


def _listed(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else round(value, 2) for value in values.tolist())
