"""Decoded frames of any kind in, 16 kHz mono out.

A frame goes through FFmpeg's resampler twice. The first pass only changes its format, to packed float, and gathers
blocks of a second: so numpy sees one format, its cost is paid once per second and not once per frame (MP3 has 38 in a
second), and nothing touches the planes of a frame with 8 or more of them, which PyAV 18 counts wrongly and overruns.
The second pass resamples. Between the two, and for that reason not left to FFmpeg:
- repair: one NaN inside the resampler's window makes all its neighbours NaN;
- the mix to one channel: libswresample does not normalise it for float samples, so that equal channels would come out
  3 dB louder and clip, and refuses channels whose places it does not know;
- the count of samples at full scale: resampling moves clipped tops away from it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from antiphon_speech.errors import AudioTooLong, AudioUndecodable

SAMPLE_RATE = 16_000
"""Hz. What Whisper, Silero's VAD and our pitch analysis work at."""

RATES = range(1_000, 1_000_001)
"""Native sample rates that can be true, Hz: below 1 kHz no speech is left, and a small file would inflate."""

MOST_CHANNELS = 64
"""libswresample's own limit (SWR_CH_MAX)."""

FULL_SCALE = 1 - 2**-15
"""The largest positive sample of 16-bit audio. An unclipped sine at full scale is there for 0.5 % of the time."""

BROKEN_ABOVE = 2.0**16
"""A float sample beyond this is garbage. 16-bit integers stored as floats unscaled, a common slip, reach 2**15."""

# Rec. ITU-R BS.775-4, annex 4: the mono mix of a surround recording. The LFE channel carries no speech.
_DOWNMIX = {"FL": 0.7071, "FR": 0.7071, "FC": 1.0, "LFE": 0.0, "BL": 0.5, "BR": 0.5, "SL": 0.5, "SR": 0.5, "BC": 0.5}


def repair(samples: NDArray[np.float32]) -> bool:
    """Set what cannot be sound (NaN, infinite, absurdly large) to 0, in place; True if there was any."""
    with np.errstate(invalid="ignore"):
        broken = ~(np.abs(samples) <= BROKEN_ABOVE)
    if not broken.any():
        return False
    samples[broken] = 0.0
    return True


def mono(samples: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
    """One channel of (channels, frames), at unchanged level: the weights add up to 1. Returns (frames,).

    `names`: FFmpeg's channel names; channels of unknown place (a microphone array) count alike.
    """
    weights = np.array([_DOWNMIX.get(name, 1.0) for name in names], dtype=np.float32)
    if not weights.any():
        weights[:] = 1.0
    return np.asarray(weights / weights.sum() @ samples, dtype=np.float32)


class _Passes:
    """The two passes of frames of one kind."""

    def __init__(self, frame: AudioFrame) -> None:
        rate = frame.sample_rate
        if rate not in RATES:
            raise AudioUndecodable(f"the file claims {rate} samples per second, which cannot be true; export it again")
        if (channels := frame.layout.nb_channels) > MOST_CHANNELS:
            raise AudioUndecodable(
                f"the file claims {channels} channels; at most {MOST_CHANNELS} are mixed: export it with fewer"
            )
        self.kind = _kind(frame)
        self.gather = AudioResampler(format="flt", layout=frame.layout, rate=rate, frame_size=rate)
        self.resample = AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)


def _kind(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


class Mixer:
    """Takes native frames and keeps what they come to at 16 kHz mono, up to a limit."""

    def __init__(self, limit: float) -> None:
        """`limit`: seconds after which AudioTooLong is raised."""
        self.repaired = False
        self._limit = limit
        self._samples = np.empty(30 * SAMPLE_RATE, dtype=np.float32)
        self._length = 0
        self._native = 0
        self._full_scale = 0
        self._passes: _Passes | None = None

    def write(self, frame: AudioFrame) -> None:
        """Add a frame. Raises AudioTooLong, and AudioUndecodable for an impossible rate or too many channels."""
        if self._passes is None or self._passes.kind != _kind(frame):
            self.flush()  # a stream may change its format half-way, as chained Ogg files do
            self._passes = _Passes(frame)
        frame.pts = None  # we count samples: a gap in the timestamps is not filled with silence
        self._mix(self._passes, self._passes.gather.resample(frame))

    def flush(self) -> None:
        """Mix what still waits for the rest of its second."""
        if (passes := self._passes) is not None:
            self._passes = None
            self._mix(passes, passes.gather.resample(None))
            self._keep(passes.resample.resample(None))

    def samples(self) -> NDArray[np.float32]:
        """The recording: (samples,) at 16 kHz, full scale 1 but not limited to it. The mixer is spent after this."""
        self._samples.resize(self._length, refcheck=False)
        return self._samples

    @property
    def clipped(self) -> float:
        """The share of native samples at full scale, over all channels."""
        return self._full_scale / max(1, self._native)

    def _mix(self, passes: _Passes, blocks: Iterable[AudioFrame]) -> None:
        for block in blocks:
            names = [channel.name for channel in block.layout.channels]
            samples = np.asarray(block.to_ndarray(), dtype=np.float32).reshape(-1, len(names)).T
            self.repaired |= repair(samples)
            self._native += samples.size
            self._full_scale += int(np.count_nonzero(np.abs(samples) >= FULL_SCALE))
            mixed = AudioFrame.from_ndarray(mono(samples, names)[np.newaxis], format="fltp", layout="mono")
            mixed.sample_rate = block.sample_rate
            self._keep(passes.resample.resample(mixed))

    def _keep(self, blocks: Iterable[AudioFrame]) -> None:
        for block in blocks:
            needed = self._length + block.samples
            if needed > self._limit * SAMPLE_RATE:
                raise AudioTooLong(needed / SAMPLE_RATE, self._limit)
            if needed > self._samples.size:
                # realloc moves pages and not bytes, so that hours of audio are never held twice
                self._samples.resize(max(needed, self._samples.size * 5 // 4), refcheck=False)
            self._samples[self._length : needed] = block.to_ndarray()[0]
            self._length = needed
