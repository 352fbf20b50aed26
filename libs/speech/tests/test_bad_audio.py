"""What is no recording, or a broken or hostile one, is refused in a sentence, or gives what can be had of it."""

import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from antiphon_speech import audio
from antiphon_speech.audio import AudioLimits, decode
from antiphon_speech.errors import AudioEmpty, AudioError, AudioTooLarge, AudioTooLong, AudioUndecodable

Encode = Callable[..., Path]


def wav(
    data: bytes, *, rate: int = 16_000, channels: int = 1, bits: int = 16, kind: int = 1, claim: int | None = None
) -> bytes:
    """A WAV file as its header claims it; `claim`: bytes of sound in place of the true number."""
    size = len(data) if claim is None else claim
    block = channels * bits // 8
    header = struct.pack("<HHIIHH", kind, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + size)
        + b"WAVEfmt \x10\0\0\0"
        + header
        + b"data"
        + struct.pack("<I", size)
        + data
    )


def noise(seconds: float, rate: int = 16_000) -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-8000, 8000, int(seconds * rate), dtype=np.int16)


SECOND = noise(1.0).tobytes()
RANDOM = np.random.default_rng(7).bytes(200_000)

REFUSED = {
    "no bytes": (b"", AudioEmpty),
    "one byte": (b"\0", AudioUndecodable),
    "text": (b"It was the best of times, it was the worst of times. " * 200, AudioUndecodable),
    "text in utf-16": ("It was the best of times. ".encode("utf-16") * 200, AudioUndecodable),
    "random bytes": (RANDOM, AudioUndecodable),
    "zeros": (bytes(100_000), AudioUndecodable),
    "json": (b'{"text": "hello"}' * 100, AudioUndecodable),
    "a png": (b"\x89PNG\r\n\x1a\n" + RANDOM[:5000], AudioUndecodable),
    "a zip": (b"PK\x03\x04" + RANDOM[:5000], AudioUndecodable),
    "a pdf": (b"%PDF-1.7\n" + RANDOM[:5000], AudioUndecodable),
    "wav: header alone": (wav(b""), AudioEmpty),
    "wav: half a header": (wav(SECOND)[:30], AudioUndecodable),
    "wav: 3 ms": (wav(noise(0.003).tobytes()), AudioEmpty),
    "wav: 0 Hz": (wav(SECOND, rate=0), AudioUndecodable),
    "wav: 1 Hz": (wav(SECOND, rate=1), AudioUndecodable),
    "wav: 4 GHz": (wav(SECOND, rate=2**32 - 1), AudioUndecodable),
    "wav: no channels": (wav(SECOND, channels=0), AudioUndecodable),
    "wav: 65 channels": (wav(SECOND * 65, channels=65), AudioUndecodable),
    "wav: 300 channels": (wav(SECOND * 300, channels=300), AudioUndecodable),
    "wav: 65535 channels": (wav(SECOND, channels=65_535), AudioUndecodable),
    "wav: 0 bits": (wav(SECOND, bits=0), AudioUndecodable),
    "wav: noise that claims to be AAC": (wav(SECOND, kind=0x1600), AudioUndecodable),
    "wav: unknown codec": (wav(SECOND, kind=0x7777), AudioUndecodable),
    "ogg: header alone": (b"OggS" + bytes(100), AudioUndecodable),
    "mp4: header alone": (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0", AudioUndecodable),
    "flac: header alone": (b"fLaC" + bytes(40), AudioUndecodable),
}


@pytest.mark.parametrize("name", ["upload", "upload.wav", "upload.mp3", "upload.m3u8", "-i.aac", "http:x.wav"])
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_recording_is_refused_whatever_its_name(what: str, name: str, tmp_path: Path) -> None:
    content, error = REFUSED[what]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(error) as refusal:
        decode(path)
    assert_a_person_understands(refusal.value, path)


def assert_a_person_understands(error: AudioError, path: Path) -> None:
    message = str(error)
    for leak in (str(path), path.name, str(path.parent), "av.", "Errno", "avcodec", "Invalid data", "0x"):
        assert leak not in message
    assert len(message.split()) >= 8, "a sentence, with what to do"
    assert error.retryable is False


@pytest.mark.parametrize(
    ("header", "reason"),
    [({"rate": 1}, "1 samples per second"), ({"channels": 65}, "65 channels"), ({"kind": 0x1600}, "damaged")],
)
def test_the_reason_is_given(header: dict[str, int], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(wav(SECOND * 65, **header))
    with pytest.raises(AudioUndecodable, match=reason):
        decode(path)


def test_an_unknown_codec_is_told_from_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(wav(SECOND, kind=0x7777))
    with pytest.raises(AudioUndecodable, match="format that we cannot decode"):
        decode(path)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe):
        with pytest.raises(AudioUndecodable):
            decode(path)


@pytest.mark.parametrize("guard", ["both guards", "the protocols alone"])
@pytest.mark.parametrize("name", ["list", "list.wav", "list.m3u8", "list.ffconcat", "list.sdp", "list.mpd"])
def test_a_playlist_never_opens_what_it_names(
    name: str, guard: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if guard == "the protocols alone":
        monkeypatch.setattr(audio, "DEMUXERS", (*audio.DEMUXERS, "hls", "concat", "sdp", "dash"))
    neighbour = tmp_path / "neighbour.wav"
    neighbour.write_bytes(clip.read_bytes())
    playlists = {
        "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "m3u": "#EXTM3U\n{}\n",
        "concat": "ffconcat version 1.0\nfile '{}'\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\na={}\n",
        "dash": '<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet><Representation>'
        "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "url": "[playlist]\nFile1={}\nNumberOfEntries=1\n",
    }  # fmt: skip
    for playlist in playlists.values():
        for target in (neighbour, neighbour.name, f"file:{neighbour}", "http://127.0.0.1:9/x.wav"):
            path = tmp_path / name
            path.write_text(playlist.format(target))
            with pytest.raises(AudioError):
                decode(path)


def test_a_movie_that_keeps_its_sound_in_another_file_does_not_open_it(
    clip: Path, encode: Encode, tmp_path: Path
) -> None:
    """QuickTime's data references (`dref`) may name a file; FFmpeg follows them only when told to, and must not be."""
    movie = encode(noise(1.0), 16_000, container="mov", codec="pcm_s16le").read_bytes()
    outside = tmp_path / "neighbour.wav"
    outside.write_bytes(clip.read_bytes())
    reference = str(outside).encode() + b"\0"
    entry = struct.pack(">I4sI", 12 + len(reference), b"url ", 0) + reference
    at = movie.index(b"url \0\0\0\1") - 4
    hostile = tmp_path / "hostile.mov"
    hostile.write_bytes(movie[:at] + entry + movie[at + 12 :])
    try:
        assert decode(hostile).duration <= 1.01
    except AudioError as error:
        assert_a_person_understands(error, hostile)


def test_a_header_that_claims_ten_hours_gives_the_second_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(wav(SECOND, claim=10 * 3600 * 32_000))
    tracemalloc.start()
    recording = decode(path, AudioLimits(seconds=60))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recording.duration == pytest.approx(1.0)
    assert recording.info.flags == ("truncated",)
    assert peak < 20_000_000, "nothing is allocated on the header's word"


@pytest.mark.parametrize("claim", [0, 0x7FFFFFFF - 36, 0xFFFFFFFF - 36])
def test_a_recording_written_into_a_pipe_is_whole_though_its_header_does_not_know_the_length(
    claim: int, tmp_path: Path
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(wav(SECOND, claim=claim))
    recording = decode(path)
    assert recording.duration == pytest.approx(1.0)
    assert recording.info.flags == ()


def test_the_longest_recording_is_taken_and_one_sample_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(wav(noise(3.0).tobytes()))
    assert decode(path, AudioLimits(seconds=3.0)).duration == 3.0
    with pytest.raises(AudioTooLong) as refusal:
        decode(path, AudioLimits(seconds=3.0 - 1 / 16_000))
    assert_a_person_understands(refusal.value, path)


def test_the_largest_file_is_taken_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(wav(SECOND))
    size = path.stat().st_size
    assert decode(path, AudioLimits(size=size)).duration == 1.0
    with pytest.raises(AudioTooLarge) as refusal:
        decode(path, AudioLimits(size=size - 1))
    assert_a_person_understands(refusal.value, path)


def test_a_small_file_that_inflates_to_hours_is_stopped_at_the_limit(encode: Encode) -> None:
    path = encode(np.zeros(8000 * 3600), 8_000, container="flac", codec="flac")
    assert path.stat().st_size < 1_000_000, "an hour of silence packs well"
    started = time.monotonic()
    tracemalloc.start()
    with pytest.raises(AudioTooLong) as refusal:
        decode(path, AudioLimits(seconds=60))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "lasts 6" in str(refusal.value), "it was stopped soon after the limit"
    assert time.monotonic() - started < 2
    assert peak < 30_000_000


CUT = {
    "wav": ("wav", "pcm_s16le", "s16", 44_100),
    "wav of floats": ("wav", "pcm_f32le", "flt", 44_100),
    "aiff": ("aiff", "pcm_s16be", "s16", 44_100),
    "flac": ("flac", "flac", "s16", 44_100),
    "mp3": ("mp3", "libmp3lame", "fltp", 44_100),
    "aac": ("adts", "aac", "fltp", 44_100),
    "webm": ("webm", "libopus", "flt", 48_000),
    "matroska": ("matroska", "flac", "s16", 44_100),
}


@pytest.mark.parametrize("kind", CUT)
def test_a_truncated_file_gives_what_is_there_and_says_so(kind: str, encode: Encode) -> None:
    container, codec, sample_format, rate = CUT[kind]
    path = encode(noise(4.0, rate) / 2**15, rate, container=container, codec=codec, sample_format=sample_format)
    content = path.read_bytes()
    for share in (0.3, 0.5, 0.8):
        for beyond in range(3):  # inside a sample and between two
            path.write_bytes(content[: int(len(content) * share) // 4 * 4 + beyond])
            recording = decode(path)
            assert recording.duration == pytest.approx(4.0 * share, abs=0.5)
            assert recording.info.flags == ("truncated",)


def test_a_truncated_ogg_gives_what_is_there(encode: Encode) -> None:
    """Ogg states no length, so that the cut cannot be seen."""
    path = encode(noise(4.0, 48_000) / 2**15, 48_000, container="ogg", codec="libopus", sample_format="flt")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert decode(path).duration == pytest.approx(2.0, abs=1.1), "an Ogg page holds a second"


def test_a_truncated_m4a_has_lost_its_index_and_is_refused_with_that_reason(encode: Encode) -> None:
    path = encode(noise(4.0, 44_100) / 2**15, 44_100, container="ipod", codec="aac", sample_format="fltp")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioUndecodable, match="cut off"):
        decode(path)


def test_a_scratch_in_the_middle_costs_what_it_hits(encode: Encode) -> None:
    path = encode(noise(10.0, 44_100) / 2**15, 44_100, container="mp3", codec="libmp3lame", sample_format="fltp")
    content = bytearray(path.read_bytes())
    content[20_000:21_000] = RANDOM[:1000]
    path.write_bytes(content)
    assert decode(path).duration == pytest.approx(10.0, abs=0.5)


SEEDS = [
    ("wav", "pcm_s16le", "s16", 16_000),
    ("wav", "pcm_f32le", "flt", 44_100),
    ("aiff", "pcm_s16be", "s16", 44_100),
    ("flac", "flac", "s16", 44_100),
    ("mp3", "libmp3lame", "fltp", 44_100),
    ("ipod", "aac", "fltp", 44_100),
    ("adts", "aac", "fltp", 44_100),
    ("ogg", "libopus", "flt", 48_000),
    ("webm", "libopus", "flt", 48_000),
]

PATCHES = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xc0\x7f"])
        | st.binary(min_size=1, max_size=8),
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed[0]}-{seed[1]}")
def test_a_mutated_recording_is_decoded_or_refused_and_nothing_else(
    seed: tuple[str, str, str, int], encode: Encode, tmp_path: Path
) -> None:
    container, codec, sample_format, rate = seed
    original = encode(noise(0.5, rate) / 2**15, rate, container=container, codec=codec, sample_format=sample_format)
    content = original.read_bytes()

    @settings(max_examples=100, deadline=30_000, database=None)
    @given(patches=PATCHES, keep=st.floats(0.01, 1), header=st.booleans())
    def decode_mutant(patches: list[tuple[float, bytes, bool]], keep: float, header: bool) -> None:
        mutant = bytearray(content)
        for place, patch, insert in patches:
            at = int(place * (200 if header else len(content)))
            mutant[at : at if insert else at + len(patch)] = patch
        decode_or_refuse(bytes(mutant[: max(1, int(len(mutant) * keep))]), tmp_path)

    decode_mutant()


MAGIC = [
    b"", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"OggS", b"fLaC", b"ID3\x04\0\0", b"\xff\xfb\x90\x64", b"\0\0\0\x18ftypmp42",
    b"\x1aE\xdf\xa3", b"FORM\0\0\1\0AIFF",
]  # fmt: skip


def test_bytes_of_chance_behind_a_known_magic_are_decoded_or_refused(tmp_path: Path) -> None:
    @settings(max_examples=200, deadline=30_000, database=None)
    @given(content=st.binary(min_size=1, max_size=3000), magic=st.sampled_from(MAGIC))
    def decode_chance(content: bytes, magic: bytes) -> None:
        decode_or_refuse(magic + content, tmp_path)

    decode_chance()


def decode_or_refuse(content: bytes, folder: Path) -> None:
    path = folder / "upload"
    path.write_bytes(content)
    try:
        recording = decode(path, AudioLimits(seconds=60))
    except AudioError as error:
        assert_a_person_understands(error, path)
    else:
        assert 0.01 <= recording.duration <= 60
        assert np.isfinite(recording.samples).all()
        assert np.abs(recording.samples).max() <= 1.0
