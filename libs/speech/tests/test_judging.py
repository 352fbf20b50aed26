"""What of Whisper's segments is believed, and how its times are brought into order."""

import pytest
from faster_whisper.transcribe import Segment as WhisperSegment
from faster_whisper.transcribe import Word as WhisperWord

from antiphon_speech.transcribe.judging import believed, invented, segments_of, words_of

# Text, mean log probability, compression ratio, probability of no speech: seen at the last temperature, from clips in
# more and more noise and from reversed speech.
DOUBTFUL = [
    ("He might even have been made amiable himself.", -0.28, 0.88, 0.04, False),
    ("You might even have been made in your boy himself.", -0.9, 0.95, 0.31, False),
    ("a mumbled word that was said", -1.3, 0.9, 0.1, False),
    ("You can have them made in the building stuff.", -1.15, 0.9, 0.42, True),
    ("What music is a lesson in the music?", -1.22, 1.26, 0.55, True),
    ("you can do that, " * 60, -0.24, 23.7, 0.85, True),
    ("no, no, no, " * 20, -0.24, 10.0, 0.05, False),
]


def segment(
    text: str = " Yes.",
    start: float = 0.0,
    end: float = 3.0,
    *,
    log_probability: float = -0.3,
    compression: float = 1.0,
    no_speech: float = 0.1,
    words: list[tuple[str, float, float]] | None = None,
) -> WhisperSegment:
    return WhisperSegment(
        id=1, seek=0, start=start, end=end, text=text, tokens=[], avg_logprob=log_probability,
        compression_ratio=compression, no_speech_prob=no_speech, temperature=0.6,
        words=[WhisperWord(start=start, end=end, word=word, probability=0.5) for word, start, end in words or []],
    )  # fmt: skip


@pytest.mark.parametrize(("text", "log_probability", "compression", "no_speech", "dropped"), DOUBTFUL)
def test_what_stays_improbable_where_speech_is_in_doubt_is_dropped(
    text: str, log_probability: float, compression: float, no_speech: float, dropped: bool
) -> None:
    doubtful = segment(text, log_probability=log_probability, compression=compression, no_speech=no_speech)
    assert invented(doubtful) is dropped
    shares: list[float] = []
    kept = list(believed([segment(), doubtful, segment(" No.", end=6.0)], 6.0, shares.append))
    assert [each.text for each in kept] == [" Yes.", *([] if dropped else [text]), " No."]
    assert shares == [0.5, 0.5, 1.0], "what is dropped is done too"


def test_progress_neither_falls_nor_passes_one() -> None:
    shares: list[float] = []
    list(believed([segment(end=8.0), segment(end=4.0), segment(end=12.0)], 10.0, shares.append))
    assert shares == [0.8, 0.8, 1.0]


def test_word_times_that_overlap_or_leave_the_recording_are_brought_into_order() -> None:
    told = [
        segment(words=[(" one", -0.1, 0.5), (" two", 0.4, 0.9), (" ", 0.9, 1.0)]),
        segment(words=[(" three,", 0.8, 0.85), ("-four", 1.2, 1.1), (" five", 2.9, 3.4), (" six", 3.2, 3.9)]),
    ]
    assert [(word.word, word.start, word.end) for word in words_of(told, 3.0)] == [
        ("one", 0.0, 0.5),
        ("two", 0.5, 0.9),
        ("three,", 0.9, 0.9),
        ("-four", 1.2, 1.2),
        ("five", 2.9, 3.0),
        ("six", 3.0, 3.0),
    ]


def test_segment_times_are_brought_into_order_and_their_text_is_stripped() -> None:
    told = [segment(" One.", 0.0, 2.0), segment(" Two.", 1.8, 3.5)]
    assert [(each.text, each.start, each.end) for each in segments_of(told, 3.0)] == [
        ("One.", 0, 2.0),
        ("Two.", 2.0, 3.0),
    ]
