"""The whole result, as the API describes it."""

from antiphon_speech.results import Result


def write(result: Result) -> bytes:
    """One JSON object."""
    return result.model_dump_json().encode() + b"\n"
