"""Results written into each format are read back, by strict parsers and by the programs that read them."""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import parselmouth
import praatio.textgrid
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon_speech.formats import FORMATS
from antiphon_speech.formats.cues import Cue, cues
from antiphon_speech.results import AudioInfo, Pitch, Result, Segment, Word

AUDIO = AudioInfo(
    duration=10.0, sample_rate=16_000, channels=1, codec="pcm_s16le", container="wav", peak=0.5, rms=0.1, clipped=0.0
)


def result(words: Sequence[tuple[str, float, float]], duration: float = 10.0, glue: str = " ") -> Result:
    """A result whose words are given, in one segment."""
    text = glue.join(word for word, _, _ in words)
    return Result(
        text=text,
        language="en",
        duration=duration,
        segments=(Segment(start=words[0][1], end=words[-1][2], text=text),) if words else (),
        words=tuple(Word(word=word, start=start, end=end, probability=0.9) for word, start, end in words),
        audio=AUDIO,
    )


EMPTY = result([])
SHORT = result(
    [
        ("Hello,", 0.5, 0.9),
        ("“world”", 1.0, 1.5),
        ("—", 1.5, 1.6),
        ("he", 1.7, 1.9),
        ('said:"ça', 2.0, 2.4),
        ("va?", 2.5, 3.0),
    ]
)
TALK = result(
    [(f"word{number}{'.' * (number % 9 == 8)}", number * 0.4, number * 0.4 + 0.35) for number in range(200)], 80.0
)
CHINESE = result(
    [(character, i * 0.3, i * 0.3 + 0.3) for i, character in enumerate("火车十点开我们要去北京看长城" * 6)],
    30.0,
    glue="",
)
PITCH = Pitch(
    start=0.02, step=0.01, floor=75.0, ceiling=600.0, median=100.0, minimum=100.0, maximum=200.0, deviation=6.0,
    voiced_share=0.67, frequency=(100.0, None, 200.0), semitones=(0.0, None, 12.0), voiced=(True, False, True),
)  # fmt: skip

# --- which files there are ---


def test_each_format_names_its_artifact_and_media_type() -> None:
    assert {form.name: form.media_type.split(";")[0] for form in FORMATS.values()} == {
        "result.json": "application/json",
        "transcript.txt": "text/plain",
        "transcript.srt": "application/x-subrip",
        "transcript.vtt": "text/vtt",
        "words.TextGrid": "text/praat-textgrid",
        "pitch.csv": "text/csv",
    }


def test_a_format_applies_to_results_that_have_what_it_shows() -> None:
    nothing = Result(duration=1.0, audio=AUDIO)
    pitched = Result(duration=1.0, audio=AUDIO, pitch=PITCH)
    assert [name for name, form in FORMATS.items() if form.applies(nothing)] == ["json"]
    assert [name for name, form in FORMATS.items() if form.applies(pitched)] == ["json", "csv"]
    assert [name for name, form in FORMATS.items() if form.applies(EMPTY)] == ["json", "txt", "srt", "vtt", "textgrid"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_writes_any_result(name: str) -> None:
    for each in (Result(duration=1.0, audio=AUDIO), EMPTY, SHORT, TALK, CHINESE):
        FORMATS[name].write(each).decode("utf-8")


# --- json, txt, csv ---


def test_json_is_the_result_and_nothing_else() -> None:
    content = FORMATS["json"].write(SHORT)
    assert Result.model_validate_json(content) == SHORT
    assert json.loads(content)["words"][0] == {"word": "Hello,", "start": 0.5, "end": 0.9, "probability": 0.9}
    assert b"\xc3\xa7a" in content, "text is readable, not escaped"


def test_txt_is_a_line_for_each_segment() -> None:
    two = SHORT.model_copy(
        update={"segments": (Segment(start=0, end=1, text="One."), Segment(start=1, end=2, text="Zwölf."))}
    )
    assert FORMATS["txt"].write(two).decode() == "One.\nZwölf.\n"
    assert FORMATS["txt"].write(EMPTY) == b""


def test_csv_holds_a_row_for_each_frame() -> None:
    content = FORMATS["csv"].write(Result(duration=1.0, audio=AUDIO, pitch=PITCH)).decode()
    assert list(csv.reader(io.StringIO(content))) == [
        ["time", "frequency_hz", "semitones", "voiced"],
        ["0.02", "100.0", "0.0", "1"],
        ["0.03", "", "", "0"],
        ["0.04", "200.0", "12.0", "1"],
    ]


# --- subtitles ---


class Subtitle(NamedTuple):
    start: float
    end: float
    lines: list[str]


TIME = r"(\d\d):([0-5]\d):([0-5]\d)[.,](\d\d\d)"


def seconds(parts: Sequence[str]) -> float:
    return int(parts[0]) * 3600 + int(parts[1]) * 60 + int(parts[2]) + int(parts[3]) / 1000


def read_block(times: str, lines: list[str], separator: str) -> Subtitle:
    match = re.fullmatch(f"{TIME} --> {TIME}", times)
    assert match, times
    assert times.count(separator) == 2
    assert lines
    assert all(line == line.strip() != "" for line in lines)
    return Subtitle(seconds(match.groups()[:4]), seconds(match.groups()[4:]), lines)


def read_srt(content: bytes) -> list[Subtitle]:
    text = content.decode("utf-8")
    if not text:
        return []
    assert text.endswith("\n")
    subtitles = []
    for number, block in enumerate(text.removesuffix("\n").split("\n\n"), start=1):
        index, times, *lines = block.split("\n")
        assert index == str(number)
        subtitles.append(read_block(times, lines, ","))
    return subtitles


def read_vtt(content: bytes) -> list[Subtitle]:
    """By section 6 of the standard, as far as we write it."""
    header, *blocks = content.decode("utf-8").removesuffix("\n").split("\n\n")
    assert header == "WEBVTT"
    subtitles = []
    for block in blocks:
        times, *lines = block.split("\n")
        for line in lines:
            assert "-->" not in line
            assert "<" not in line
            assert not re.search(r"&(?!amp;|lt;|gt;)", line)
        plain = [line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for line in lines]
        subtitles.append(read_block(times, plain, "."))
    return subtitles


READERS = {"srt": read_srt, "vtt": read_vtt}


def columns(line: str) -> int:
    """Chinese, Japanese and Korean characters take two."""
    return sum(1 + (unicodedata.east_asian_width(character) in {"W", "F"}) for character in line)


def assert_readable(subtitles: Sequence[Subtitle]) -> None:
    reached = 0.0
    for subtitle in subtitles:
        assert reached <= subtitle.start < subtitle.end <= subtitle.start + 7.0 + 1e-9
        assert 1 <= len(subtitle.lines) <= 2
        assert all(columns(line) <= 42 for line in subtitle.lines)
        reached = subtitle.end


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("spoken", [SHORT, TALK, CHINESE], ids=["short", "talk", "chinese"])
def test_subtitles_hold_every_word_in_order_and_can_be_read(name: str, spoken: Result) -> None:
    subtitles = READERS[name](FORMATS[name].write(spoken))
    assert_readable(subtitles)
    shown = "".join("".join(subtitle.lines) for subtitle in subtitles)
    assert shown.replace(" ", "") == (spoken.text or "").replace(" ", "")


@pytest.mark.parametrize("name", READERS)
def test_an_empty_transcript_gives_a_file_without_subtitles(name: str) -> None:
    assert READERS[name](FORMATS[name].write(EMPTY)) == []


def test_a_subtitle_begins_and_ends_with_its_words() -> None:
    for cue in cues(TALK):
        spoken = {word.word: word for word in TALK.words or ()}
        shown = " ".join(cue.lines).split()
        assert cue.start == round(spoken[shown[0]].start * 1000)
        assert cue.end == round(spoken[shown[-1]].end * 1000) or cue.end - cue.start <= 833


def test_spaces_stay_where_the_language_has_them() -> None:
    assert " ".join(next(cues(SHORT)).lines) == SHORT.text
    assert " " not in "".join("".join(cue.lines) for cue in cues(CHINESE))


def test_a_pause_and_the_end_of_a_sentence_part_subtitles() -> None:
    spoken = result([("Before", 0.0, 0.5), ("after", 2.0, 2.5), ("it", 2.5, 2.8)])
    assert [cue.lines for cue in cues(spoken)] == [("Before",), ("after it",)]
    sentences = result([("Twenty-one letters ends.", 0.0, 1.0), ("Then", 1.1, 1.5), ("more.", 1.5, 2.0)])
    assert [cue.lines for cue in cues(sentences)] == [("Twenty-one letters ends.",), ("Then more.",)]


def test_what_lasts_too_long_or_is_too_wide_is_parted() -> None:
    slow = result([(f"w{number}", number * 1.0, number + 0.9) for number in range(10)])
    assert_readable(read_srt(FORMATS["srt"].write(slow)))
    endless = result([("word", 0.0, 10.0)])
    assert [(cue.start, cue.end) for cue in cues(endless)] == [(0, 7000)]
    url = result([("https://" + "x" * 200, 0.0, 4.0)])
    assert_readable(read_srt(FORMATS["srt"].write(url)))
    assert "".join("".join(cue.lines) for cue in cues(url)) == url.text


def test_words_without_length_do_not_overlap() -> None:
    spoken = result(
        [("One sentence that is long enough.", 5.0, 5.0), ("Two sentences that are long enough.", 5.0, 5.0)]
    )
    assert [(cue.start, cue.end) for cue in cues(spoken)] == [(5000, 5001), (5001, 5834)]


def test_two_lines_are_about_as_long_as_each_other() -> None:
    [cue] = cues(result([(f"word{number}", number * 0.3, number * 0.3 + 0.3) for number in range(8)]))
    assert cue.lines == ("word0 word1 word2 word3", "word4 word5 word6 word7")


def test_a_short_word_stays_long_enough_to_be_read_where_there_is_room() -> None:
    [alone] = cues(result([("Yes.", 1.0, 1.2)]))
    assert alone == Cue(1000, 1833, ("Yes.",))
    first, _ = cues(result([("Yes.", 1.0, 1.2), ("No.", 2.3, 2.5)]))
    assert first.end == 1833
    [last] = cues(result([("Yes.", 9.5, 9.7)]))
    assert last.end == 10_000, "not beyond the recording"


@pytest.mark.parametrize("name", READERS)
def test_markup_and_arrows_in_the_text_stay_text(name: str) -> None:
    spoken = result([("<b>1", 0.0, 0.5), ("-->", 0.5, 1.0), ("2</b>", 1.0, 1.5), ("&amp;", 1.5, 2.0)])
    [subtitle] = READERS[name](FORMATS[name].write(spoken))
    assert subtitle.lines == [{"srt": "<b>1 -> 2</b> &amp;", "vtt": "<b>1 --> 2</b> &amp;"}[name]]


def test_times_beyond_an_hour_are_written_with_their_hours() -> None:
    spoken = result([("late", 3 * 3600 + 61.5, 3 * 3600 + 62.25)], duration=4 * 3600.0)
    assert b"03:01:01,500 --> 03:01:02,333" in FORMATS["srt"].write(spoken)
    assert b"03:01:01.500 --> 03:01:02.333" in FORMATS["vtt"].write(spoken)


# --- TextGrid ---


class Interval(NamedTuple):
    start: float
    end: float
    label: str


def read_by_praat(path: Path) -> dict[str, list[Interval]]:
    grid = parselmouth.read(str(path))
    ask = parselmouth.praat.call
    return {
        ask(grid, "Get tier name", tier): [
            Interval(
                ask(grid, "Get start time of interval", tier, number),
                ask(grid, "Get end time of interval", tier, number),
                ask(grid, "Get label of interval", tier, number),
            )
            for number in range(1, ask(grid, "Get number of intervals", tier) + 1)
        ]
        for tier in range(1, ask(grid, "Get number of tiers") + 1)
    }


def read_by_praatio(path: Path) -> dict[str, list[Interval]]:
    grid = praatio.textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")
    return {tier.name: [Interval(*entry) for entry in tier.entries] for tier in grid.tiers}


READERS_OF_GRIDS = {"praat": read_by_praat, "praatio": read_by_praatio}


@pytest.mark.parametrize("reader", READERS_OF_GRIDS)
@pytest.mark.parametrize("spoken", [EMPTY, SHORT, TALK, CHINESE], ids=["empty", "short", "talk", "chinese"])
def test_a_textgrid_is_read_back_with_its_times_and_labels(reader: str, spoken: Result, tmp_path: Path) -> None:
    path = tmp_path / "words.TextGrid"
    path.write_bytes(FORMATS["textgrid"].write(spoken))
    tiers = READERS_OF_GRIDS[reader](path)
    assert list(tiers) == ["words", "segments"]
    for name, expected in (
        ("words", [(word.start, word.end, word.word) for word in spoken.words or ()]),
        ("segments", [(segment.start, segment.end, segment.text) for segment in spoken.segments or ()]),
    ):
        assert_tiles(tiers[name], spoken.duration)
        labelled = [interval for interval in tiers[name] if interval.label]
        assert [interval.label for interval in labelled] == [label for _, _, label in expected]
        for interval, (start, end, _) in zip(labelled, expected, strict=True):
            assert interval.start == pytest.approx(start, abs=1e-6)
            assert interval.end == pytest.approx(end, abs=1e-6)


def assert_tiles(intervals: Sequence[Interval], duration: float) -> None:
    assert intervals[0].start == 0
    assert intervals[-1].end == pytest.approx(duration, abs=1e-6)
    assert all(interval.start < interval.end for interval in intervals)
    for one, next_one in pairwise(intervals):
        assert one.end == next_one.start


def test_a_word_without_length_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "words.TextGrid"
    for words, labels in (
        ([("a", 1.0, 1.0), ("b", 1.0, 2.0), ("c", 2.0, 2.0)], ["", "a b c", ""]),
        ([("a", 10.0, 10.0)], ["a"]),
        ([("a", 1.0, 2.0), ("b", 1.5, 1.8), ("c", 1.9, 3.0)], ["", "a b", "c", ""]),
    ):
        path.write_bytes(FORMATS["textgrid"].write(result(words)))
        assert [interval.label for interval in read_by_praat(path)["words"]] == labels


# --- anything that words can be ---

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), min_size=1, max_size=100)


@st.composite
def results(draw: st.DrawFn) -> Result:
    """Words of any letters, with times that grow, in a recording that holds them."""
    texts = draw(st.lists(TEXT, max_size=30))
    edges = sorted(draw(st.lists(st.integers(0, 60_000), min_size=2 * len(texts), max_size=2 * len(texts))))
    words = [(text, edges[2 * i] / 1000, edges[2 * i + 1] / 1000) for i, text in enumerate(texts)]
    return result(words, duration=max([1.0, *(end for _, _, end in words)]), glue=draw(st.sampled_from([" ", ""])))


@settings(deadline=None)
@given(results())
def test_any_transcript_becomes_valid_subtitles(spoken: Result) -> None:
    for name, read in READERS.items():
        assert_readable(read(FORMATS[name].write(spoken)))
    shown = "".join("".join(cue.lines) for cue in cues(spoken))
    assert shown.replace(" ", "") == (spoken.text or "").replace(" ", "")


def test_any_transcript_becomes_a_textgrid_that_praat_reads(tmp_path: Path) -> None:
    path = tmp_path / "words.TextGrid"

    @settings(deadline=None, max_examples=50, database=None)
    @given(results())
    def write_and_read(spoken: Result) -> None:
        path.write_bytes(FORMATS["textgrid"].write(spoken))
        for read in READERS_OF_GRIDS.values():
            for intervals in read(path).values():
                assert_tiles(intervals, spoken.duration)

    write_and_read()
