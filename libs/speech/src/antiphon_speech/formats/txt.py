"""The words alone, a line for each segment."""

from antiphon_speech.results import Result


def write(result: Result) -> bytes:
    """UTF-8 text; empty for an empty transcript."""
    return "".join(f"{segment.text}\n" for segment in result.segments or ()).encode()
