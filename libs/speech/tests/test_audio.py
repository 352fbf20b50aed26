"""Recordings of every kind come out as 16 kHz mono, at the right time, level and pitch."""

import tracemalloc
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from antiphon_speech.audio import SAMPLE_RATE, decode
from antiphon_speech.mixing import mono, repair

Encode = Callable[..., Path]

# Container, codec, the encoder's sample format, sample rate, encoder options.
KINDS = {
    "wav-8k-u8": ("wav", "pcm_u8", "u8", 8_000, {}),
    "wav-16k-s16": ("wav", "pcm_s16le", "s16", 16_000, {}),
    "wav-44k-s24": ("wav", "pcm_s24le", "s32", 44_100, {}),
    "wav-48k-float": ("wav", "pcm_f32le", "flt", 48_000, {}),
    "wav-96k-double": ("wav", "pcm_f64le", "dbl", 96_000, {}),
    "wav-8k-mulaw": ("wav", "pcm_mulaw", "s16", 8_000, {}),
    "wav-22k-adpcm": ("wav", "adpcm_ms", "s16", 22_050, {}),
    "w64": ("w64", "pcm_s16le", "s16", 44_100, {}),
    "aiff": ("aiff", "pcm_s16be", "s16", 44_100, {}),
    "au": ("au", "pcm_alaw", "s16", 8_000, {}),
    "caf-alac": ("caf", "alac", "s16p", 44_100, {}),
    "flac": ("flac", "flac", "s16", 44_100, {}),
    "mp3": ("mp3", "libmp3lame", "fltp", 44_100, {}),
    "mp3-8k": ("mp3", "libmp3lame", "fltp", 8_000, {}),
    "m4a": ("ipod", "aac", "fltp", 44_100, {}),
    "aac": ("adts", "aac", "fltp", 48_000, {}),
    "ogg-opus": ("ogg", "libopus", "flt", 48_000, {}),
    "ogg-vorbis": ("ogg", "vorbis", "fltp", 44_100, {"strict": "experimental"}),
    "webm": ("webm", "libopus", "flt", 48_000, {}),
    "matroska-flac": ("matroska", "flac", "s16", 44_100, {}),
    "wma": ("asf", "wmav2", "fltp", 44_100, {"b": "128k"}),
    "ac3": ("ac3", "ac3", "fltp", 48_000, {}),
    "mpegts": ("mpegts", "mp2", "s16", 44_100, {}),
    "wavpack": ("wv", "wavpack", "s16p", 44_100, {}),
}


def tone(seconds: float, rate: int, frequency: float = 440.0, amplitude: float = 0.5) -> NDArray[np.float32]:
    """A sine: (n,)."""
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def loudest_frequency(samples: NDArray[np.float32]) -> float:
    """Hz, to about 1 Hz for a second of sound."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum)) * SAMPLE_RATE / samples.size


def rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(samples**2)))


@pytest.mark.parametrize("kind", KINDS)
def test_any_container_codec_and_rate_keeps_the_pitch_the_level_and_the_length(kind: str, encode: Encode) -> None:
    container, codec, sample_format, rate, options = KINDS[kind]
    channels = 1 if rate < 44_100 else 2
    samples = np.tile(tone(2.0, rate), (channels, 1))
    path = encode(samples, rate, container=container, codec=codec, sample_format=sample_format, **options)
    audio = decode(path)
    assert audio.samples.dtype == np.float32
    assert audio.samples.ndim == 1
    assert audio.duration == pytest.approx(2.0, abs=0.08), "an encoder may pad a frame or two"
    assert audio.info.duration == pytest.approx(audio.duration, abs=1e-6)
    middle = audio.samples[SAMPLE_RATE // 2 : 3 * SAMPLE_RATE // 2]
    assert loudest_frequency(middle) == pytest.approx(440, abs=1.5)
    assert rms(middle) == pytest.approx(0.5 / 2**0.5, rel=0.12), "the worst encoder for sines is off by 10 %"
    assert (audio.info.sample_rate, audio.info.channels) == (rate, channels)
    assert audio.info.flags == ()


def test_a_clip_of_16_bits_and_16_khz_comes_out_sample_for_sample(clip: Path) -> None:
    with wave.open(str(clip)) as file:
        expected = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 2**15
    audio = decode(clip)
    np.testing.assert_allclose(audio.samples, expected, atol=1e-7)
    assert audio.info.codec == "pcm_s16le"
    assert audio.info.container == "wav"
    assert audio.info.peak == pytest.approx(np.abs(expected).max(), abs=1e-6)
    assert audio.info.rms == pytest.approx(np.sqrt(np.mean(expected**2)), abs=1e-6)


def test_speech_keeps_its_place_in_time_through_a_lossy_codec(speech: NDArray[np.float32], encode: Encode) -> None:
    path = encode(speech, SAMPLE_RATE, container="ipod", codec="aac", sample_format="fltp")
    heard = decode(path).samples[: speech.size]
    lags = np.fft.irfft(np.fft.rfft(heard, 2 * speech.size) * np.conj(np.fft.rfft(speech, 2 * speech.size)))
    lag = int(np.argmax(lags))
    assert min(lag, 2 * speech.size - lag) <= SAMPLE_RATE // 500, "2 ms"


@pytest.mark.parametrize(
    "layout", ["mono", "stereo", "2.1", "4.0", "5.1", "7.1", "9 channels", "16 channels", "32 channels", "64 channels"]
)
def test_the_mix_of_equal_channels_is_as_loud_as_each(layout: str, encode: Encode) -> None:
    count = av.AudioLayout(layout).nb_channels
    samples = np.tile(tone(1.5, 48_000), (count, 1))
    path = encode(samples, 48_000, container="wav", codec="pcm_s16le", layout=layout)
    audio = decode(path)
    assert audio.info.channels == count
    assert rms(audio.samples[2000:-2000]) == pytest.approx(0.5 / 2**0.5, rel=0.01)


@pytest.mark.parametrize("count", [8, 9, 16, 32])
def test_many_planar_channels_are_read_within_their_bounds(count: int, encode: Encode) -> None:
    """PyAV 18 counts the planes of such frames wrongly and reads beyond them, up to a crash; see mixing.py."""
    samples = np.tile(tone(1.0, 48_000), (count, 1))
    path = encode(
        samples, 48_000, container="ogg", codec="libopus", sample_format="flt",
        layout=f"{count} channels", mapping_family="255",
    )  # fmt: skip
    audio = decode(path)
    assert audio.info.channels == count
    assert rms(audio.samples[2000:-2000]) == pytest.approx(0.5 / 2**0.5, rel=0.05)


def test_the_sub_woofer_is_left_out_and_the_centre_counts_most() -> None:
    names = ["FL", "FR", "FC", "LFE", "BL", "BR"]
    impulses = np.eye(6, dtype=np.float32)
    front_left, front_right, centre, lfe, back_left, back_right = mono(impulses, names)
    assert lfe == 0
    assert centre > front_left == front_right > back_left == back_right > 0
    assert mono(np.ones((6, 1), np.float32), names) == pytest.approx(1)
    assert mono(np.ones((1, 1), np.float32), ["LFE"]) == pytest.approx(1), "better a rumble than nothing"


def test_the_sound_track_of_a_video_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w", format="mp4") as out:
        picture = out.add_stream("mpeg4", rate=10, width=64, height=48, pix_fmt="yuv420p")
        sound = out.add_stream("aac", rate=44_100, layout="stereo")
        for _ in range(20):
            out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        frame = av.AudioFrame.from_ndarray(np.tile(tone(2.0, 44_100), (2, 1)), format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        frame.pts = 0
        frame.time_base = Fraction(1, 44_100)
        for piece in av.AudioResampler(format="fltp", layout="stereo", rate=44_100, frame_size=1024).resample(frame):
            out.mux(sound.encode(piece))
        out.mux(picture.encode(None))
        out.mux(sound.encode(None))
    audio = decode(path)
    assert audio.info.codec == "aac"
    assert audio.duration == pytest.approx(2.0, abs=0.08)
    assert loudest_frequency(audio.samples[8000:24_000]) == pytest.approx(440, abs=1.5)


def test_a_stream_that_changes_its_rate_half_way_is_decoded_whole(encode: Encode, tmp_path: Path) -> None:
    parts = [
        encode(tone(1.0, rate), rate, container="adts", codec="aac", sample_format="fltp", name=f"{rate}")
        for rate in (44_100, 22_050)
    ]
    path = tmp_path / "joined.aac"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    audio = decode(path)
    assert audio.duration == pytest.approx(2.0, abs=0.2)
    for second in (audio.samples[4000:12_000], audio.samples[-12_000:-4000]):
        assert loudest_frequency(second) == pytest.approx(440, abs=2.5)


def test_resampling_leaves_nothing_of_what_16_khz_cannot_carry(encode: Encode) -> None:
    path = encode(tone(1.0, 48_000, frequency=11_000), 48_000, container="wav", codec="pcm_s16le")
    assert rms(decode(path).samples[2000:-2000]) < 0.001, "an alias would sound at 5 kHz"


def test_a_long_recording_is_held_once(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(2 * 8_000 * 900))
    tracemalloc.start()
    audio = decode(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert audio.duration == 900
    assert peak < 1.3 * audio.samples.nbytes + 2_000_000


@pytest.mark.parametrize(("codec", "sample_format"), [("pcm_f32le", "flt"), ("pcm_f64le", "dbl")])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_samples_that_are_no_sound_become_silence_and_spare_their_neighbours(
    value: float, codec: str, sample_format: str, rate: int, encode: Encode
) -> None:
    samples = tone(2.0, rate)
    clean = decode(encode(samples, rate, container="wav", codec=codec, sample_format=sample_format)).samples
    samples[rate // 2] = value
    samples[rate] = value
    audio = decode(encode(samples, rate, container="wav", codec=codec, sample_format=sample_format))
    assert "repaired" in audio.info.flags
    assert np.isfinite(audio.samples).all()
    difference = np.abs(audio.samples - clean)
    assert difference.max() <= 0.55, "a sample of the tone is missing, no more"
    away = np.ones(audio.samples.size, dtype=bool)
    for second in (0.5, 1.0):
        away[int(second * SAMPLE_RATE) - 40 : int(second * SAMPLE_RATE) + 40] = False
    assert difference[away].max() < 1e-3, "beyond the reach of the resampler's filter, 2.5 ms, nothing changed"


def test_repair_touches_only_what_is_broken() -> None:
    samples = np.array([0.5, np.nan, -32_768.0, -np.inf, 1e9, -1.0], dtype=np.float32)
    assert repair(samples)
    assert samples.tolist() == [0.5, 0.0, -32_768.0, 0.0, 0.0, -1.0]
    assert not repair(samples)


def test_float_samples_on_the_scale_of_integers_are_brought_to_full_scale(encode: Encode) -> None:
    path = encode(tone(1.0, 16_000) * 32_768, 16_000, container="wav", codec="pcm_f32le", sample_format="flt")
    audio = decode(path)
    assert np.abs(audio.samples).max() == pytest.approx(1.0)
    assert audio.info.peak == pytest.approx(16_384, rel=1e-3), "the file's own"
    assert "repaired" not in audio.info.flags


@pytest.mark.parametrize(
    ("samples", "flag"),
    [
        (np.zeros(16_000), "silent"),
        (np.random.default_rng(1).integers(-1, 2, 16_000) / 2**15, "silent"),
        (np.clip(tone(1.0, 16_000, amplitude=3.0), -1, 1), "clipped"),
    ],
    ids=["digital silence", "dither", "a shout"],
)
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_silence_and_clipping_are_flagged(samples: NDArray[Any], flag: str, rate: int, encode: Encode) -> None:
    assert decode(encode(samples, rate, container="wav", codec="pcm_s16le")).info.flags == (flag,)


def test_a_sine_at_full_scale_is_not_called_clipped(encode: Encode) -> None:
    info = decode(encode(tone(1.0, 44_100, amplitude=1.0), 44_100, container="wav", codec="pcm_s16le")).info
    assert info.flags == ()
    assert 0 < info.clipped < 0.01


def test_a_quiet_recording_is_not_called_silent(encode: Encode) -> None:
    assert (
        decode(encode(tone(1.0, 16_000, amplitude=0.001), 16_000, container="wav", codec="pcm_s16le")).info.flags == ()
    )
