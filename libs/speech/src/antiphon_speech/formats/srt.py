"""SubRip subtitles. There is no standard; this is what VLC, FFmpeg and video sites read."""

from antiphon_speech.formats.cues import Cue, cues
from antiphon_speech.results import Result


def write(result: Result) -> bytes:
    """UTF-8; nothing at all for an empty transcript."""
    return "\n".join(_block(number, cue) for number, cue in enumerate(cues(result), start=1)).encode()


def _block(number: int, cue: Cue) -> str:
    # The arrow alone separates a block's times from text, and SubRip has no way to escape it.
    text = "\n".join(cue.lines).replace("-->", "->")
    return f"{number}\n{_time(cue.start)} --> {_time(cue.end)}\n{text}\n"


def _time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},{rest:03}"
