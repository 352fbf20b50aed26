"""The files that a result is rendered into. Each format is a pure function from a result to bytes."""

from collections.abc import Callable
from dataclasses import dataclass

from antiphon_speech.formats import pitch_csv, result_json, srt, textgrid, txt, vtt
from antiphon_speech.results import Result

__all__ = ["FORMATS", "Format"]


@dataclass(frozen=True)
class Format:
    """How one artifact is called, served and written, and which results have what it shows."""

    name: str
    media_type: str
    write: Callable[[Result], bytes]
    applies: Callable[[Result], bool]


def _always(_result: Result) -> bool:
    return True


def _has_transcript(result: Result) -> bool:
    return result.words is not None


def _has_pitch(result: Result) -> bool:
    return result.pitch is not None


FORMATS: dict[str, Format] = {
    "json": Format("result.json", "application/json", result_json.write, _always),
    "txt": Format("transcript.txt", "text/plain; charset=utf-8", txt.write, _has_transcript),
    "srt": Format("transcript.srt", "application/x-subrip; charset=utf-8", srt.write, _has_transcript),
    "vtt": Format("transcript.vtt", "text/vtt; charset=utf-8", vtt.write, _has_transcript),
    # Not registered with IANA; the name is the one that ELAN and DSpace use.
    "textgrid": Format("words.TextGrid", "text/praat-textgrid; charset=utf-8", textgrid.write, _has_transcript),
    "csv": Format("pitch.csv", "text/csv; charset=utf-8", pitch_csv.write, _has_pitch),
}
"""By the word that a caller uses for it (`--format srt`)."""
