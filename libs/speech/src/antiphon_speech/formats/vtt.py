"""WebVTT subtitles: https://www.w3.org/TR/webvtt1/."""

from antiphon_speech.formats.cues import Cue, cues
from antiphon_speech.results import Result

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})  # section 4.2.2


def write(result: Result) -> bytes:
    """UTF-8; the header alone for an empty transcript."""
    return "\n".join(["WEBVTT\n", *(_block(cue) for cue in cues(result))]).encode()


def _block(cue: Cue) -> str:
    text = "\n".join(cue.lines).translate(_ESCAPES)
    return f"{_time(cue.start)} --> {_time(cue.end)}\n{text}\n"


def _time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
