"""What of Whisper's segments is believed, and its times brought into order. Pure: nothing here runs a model."""

from collections.abc import Callable, Iterable, Iterator

from faster_whisper.transcribe import Segment as WhisperSegment

from antiphon_speech.results import Segment, Word

# OpenAI's own thresholds: Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision (2022), sec. 4.5.
LOG_PROBABILITY = -1.0
COMPRESSION_RATIO = 2.4
NO_SPEECH = 0.6


def believed(
    segments: Iterable[WhisperSegment], duration: float, progress: Callable[[float], None]
) -> Iterator[WhisperSegment]:
    """The segments as they come, without the invented ones; tells `progress` how far they reach."""
    done = 0.0
    for segment in segments:
        if not invented(segment):
            yield segment
        done = max(done, min(1.0, float(segment.end) / duration))
        progress(done)


def invented(segment: WhisperSegment) -> bool:
    """Whether Whisper itself doubts that there was speech: what it wrote stayed improbable at every temperature.

    Half of OpenAI's threshold for silence, which asks for the same doubt at the first temperature alone.
    """
    hopeless = segment.avg_logprob < LOG_PROBABILITY or segment.compression_ratio > COMPRESSION_RATIO
    return bool(hopeless and segment.no_speech_prob > NO_SPEECH / 2)


def words_of(segments: Iterable[WhisperSegment], duration: float) -> Iterator[Word]:
    """The words, with times that never go back: Whisper's may overlap by a frame, or pass the end of the recording."""
    earliest = 0.0
    for segment in segments:
        for word in segment.words or ():
            if not (text := word.word.strip()):
                continue
            start = _inside(word.start, earliest, duration)
            earliest = _inside(word.end, start, duration)
            yield Word(word=text, start=start, end=earliest, probability=round(float(word.probability), 4))


def segments_of(segments: Iterable[WhisperSegment], duration: float) -> Iterator[Segment]:
    """The segments, with times that never go back."""
    earliest = 0.0
    for segment in segments:
        start = _inside(segment.start, earliest, duration)
        earliest = _inside(segment.end, start, duration)
        yield Segment(start=start, end=earliest, text=segment.text.strip())


def _inside(time: float, earliest: float, latest: float) -> float:
    return min(max(round(float(time), 3), earliest), latest)
