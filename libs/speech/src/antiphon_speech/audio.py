"""Any common recording in, 16 kHz mono out, through FFmpeg's libraries (PyAV); no ffmpeg program is needed.

The file is untrusted. FFmpeg gets an open file without a name, may use only the demuxers named below and may open
nothing else, so that a playlist cannot make this machine read another file or an address. What the header says of the
length is never believed: limits are held against what was decoded.
"""

import logging
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard
from numpy.typing import NDArray

from antiphon_speech.errors import AudioEmpty, AudioTooLarge, AudioUndecodable
from antiphon_speech.mixing import SAMPLE_RATE, Mixer
from antiphon_speech.results import AudioInfo

__all__ = ["SAMPLE_RATE", "Audio", "AudioLimits", "decode"]

_log = logging.getLogger(__name__)

MINIMUM_SECONDS = 0.01
"""A recording shorter than this is refused as empty: it is shorter than one frame of any analysis."""

# Containers of audio, and of video with a sound track. Left out is all that names other files or addresses (hls, dash,
# concat, sdp, imf, rtsp ...), that synthesises (lavfi, trackers), or that takes any bytes for sound (raw PCM, tty).
# One name of several (`mov,mp4,...`) is enough for FFmpeg to match.
DEMUXERS = (
    "aac", "ac3", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "dts", "eac3", "flac", "flv", "ircam", "matroska",
    "mov", "mp3", "mpc", "mpc8", "mpeg", "mpegts", "nistsphere", "ogg", "rm", "sox", "tak", "tta", "voc", "w64", "wav",
    "wv",
)  # fmt: skip

# Containers whose declared length is counted, and not guessed from the bit rate.
_COUNTED = frozenset({"aiff", "au", "caf", "flac", "matroska", "mov", "mp3", "ogg", "w64", "wav"})

_SILENCE = 2**-14  # the peak of 16-bit silence with dither: 2 steps
_CLIPPED = 0.01

_SEND = "send WAV, FLAC, MP3, M4A, Ogg, Opus or WebM"


@dataclass(frozen=True)
class AudioLimits:
    """The longest recording, in seconds as decoded, and the largest file, in bytes, that are taken."""

    seconds: float = 4 * 3600
    size: int = 512 << 20


@dataclass(frozen=True)
class Audio:
    """A decoded recording. samples: (n,) at 16 kHz, mono, finite, within -1..1."""

    samples: NDArray[np.float32]
    info: AudioInfo

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples.size / SAMPLE_RATE


def decode(path: Path, limits: AudioLimits = AudioLimits()) -> Audio:
    """The recording in `path`, whatever its container, codec, sample rate and channels (up to 64).

    Of a file with several tracks, FFmpeg's choice of the best audio track; all its channels are mixed into one. A
    truncated or damaged file gives what could be decoded, with the flag `truncated`.

    Raises AudioEmpty, AudioUndecodable, AudioTooLong, AudioTooLarge; none of their messages names the path.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise AudioUndecodable(f"this is not a file; {_SEND}")
    if status.st_size == 0:
        raise AudioEmpty("the file is empty; check that the recording was saved, and send it again")
    if status.st_size > limits.size:
        raise AudioTooLarge(status.st_size, limits.size)
    mixer = Mixer(limits.seconds)
    with path.open("rb") as file, _open(file) as container:
        stream = _audio_track(container)
        intact = _decode_into(mixer, container, stream)
        return _finish(mixer, container, stream, intact and not _wav_cut_off(path, status.st_size))


def _open(file: BinaryIO) -> InputContainer:
    try:
        return av.open(
            "fd:",
            "r",
            metadata_errors="replace",
            container_options={
                "fd": str(file.fileno()),
                "format_whitelist": ",".join(DEMUXERS),
                "protocol_whitelist": "fd",
            },
        )
    except (av.FFmpegError, ValueError) as error:
        _log.debug("cannot open: %s", error)
        raise AudioUndecodable(
            f"the file is not a recording, or its beginning or index is missing: it may have been cut off; {_SEND}"
        ) from None


def _audio_track(container: InputContainer) -> AudioStream:
    track = container.streams.best("audio")
    if not isinstance(track, AudioStream):
        if container.streams.audio:
            raise AudioUndecodable(f"the file's header describes a sound that cannot be; {_SEND}")
        raise AudioEmpty("the file holds no audio track; send a file with sound")
    if getattr(track, "codec_context", None) is None:  # PyAV's annotation knows of no None
        raise AudioUndecodable(f"the sound in the file is in a format that we cannot decode; {_SEND}")
    for stream in container.streams:
        if stream is not track:
            stream.discard = Discard.all  # pictures are neither read nor decoded
    return track


def _decode_into(mixer: Mixer, container: InputContainer, track: AudioStream) -> bool:
    """Decode all that can be; True if all could."""
    decoded = broken = 0
    ended_early = False
    try:
        for packet in container.demux(track):
            try:
                for frame in packet.decode():
                    mixer.write(frame)
                    decoded += 1
            except av.FFmpegError as error:
                _log.debug("cannot decode a packet: %s", error)
                broken += 1
    except av.FFmpegError as error:
        _log.debug("cannot read on: %s", error)
        ended_early = True
    try:
        mixer.flush()
    except av.FFmpegError as error:
        _log.debug("cannot convert the last frames: %s", error)
        ended_early = True
    if broken > decoded:
        raise AudioUndecodable(f"the file is damaged: most of it cannot be decoded; {_SEND}")
    return not (broken or ended_early)


def _finish(mixer: Mixer, container: InputContainer, track: AudioStream, intact: bool) -> Audio:
    samples = mixer.samples()
    duration = samples.size / SAMPLE_RATE
    if duration < MINIMUM_SECONDS:
        raise AudioEmpty(
            f"the recording holds less than {MINIMUM_SECONDS * 1000:.0f} ms of sound; check that it was saved whole"
        )
    # Neither makes a copy, which for the longest recording would take another gigabyte.
    peak = float(max(samples.max(), -samples.min()))
    rms = float(np.sqrt(np.einsum("i,i", samples, samples, dtype=np.float64) / samples.size))
    flags = {
        "silent": peak <= _SILENCE,
        "clipped": mixer.clipped > _CLIPPED,
        "repaired": mixer.repaired,
        "truncated": not intact or _shorter_than_declared(duration, container, track),
    }
    if peak > 1:  # float files and lossy codecs may pass full scale; the VAD expects that nothing does
        samples /= peak
    info = AudioInfo(
        duration=round(duration, 6),
        sample_rate=track.sample_rate,
        channels=track.channels,
        codec=track.codec_context.codec.canonical_name,
        container=container.format.name,
        peak=round(peak, 6),
        rms=round(rms, 6),
        clipped=round(mixer.clipped, 6),
        flags=tuple(name for name, raised in flags.items() if raised),
    )
    return Audio(samples, info)


def _shorter_than_declared(duration: float, container: InputContainer, track: AudioStream) -> bool:
    """Whether the header promised more than came, beyond what encoder delay and rounding explain."""
    if _COUNTED.isdisjoint(container.format.name.split(",")):
        return False
    if track.duration is not None and track.time_base is not None:
        declared = float(track.duration * track.time_base)
    elif container.duration is not None and len(container.streams) == 1:  # else it may be the picture's
        declared = container.duration / av.time_base
    else:
        return False
    return duration < declared - max(0.2, 0.01 * declared)


def _wav_cut_off(path: Path, size: int) -> bool:
    """Whether the file is a WAV shorter than it says; FFmpeg believes the file and not its header.

    Programs that write WAV into a pipe put 0, 2**31 or 2**32 - 1, more or less, where they cannot know the length.
    """
    with path.open("rb") as file:
        magic, declared = file.read(4), int.from_bytes(file.read(4), "little")
    return magic == b"RIFF" and size < declared + 8 < 2**31 - 2**16
