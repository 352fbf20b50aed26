"""Writes the reference pages that follow from the code: settings.md and errors.md. `make render` runs it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from antiphon import lifecycle
from antiphon.errors import AntiphonError
from antiphon.ports import PortSettings
from antiphon_api import problems
from antiphon_api.settings import ApiSettings
from antiphon_speech.errors import EngineUnavailable, LanguageNotSupported, SpeechError
from antiphon_worker.settings import WorkerSettings

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/reference/render.py; `make render` renews it. -->\n"

OF_WORKERS = {
    "slot_crashed": ("yes", "The process that analysed the recording died, mostly for want of memory."),
    "out_of_memory": ("yes", "The worker has too little memory for this recording."),
    "attempt_timeout": ("yes", "The attempt took longer than it may (ANTIPHON_ATTEMPT_SECONDS, or 4 x the audio)."),
    "recording_lost": ("no", "The recording is no longer in the blob store."),
    "internal": ("yes", "The analysis failed in a way that nobody foresaw; the worker's log tells more."),
    lifecycle.WORKER_LOST.code: ("-", "Every worker that tried the job was lost in the middle of it."),
    lifecycle.EXPIRED.code: ("-", "The job was not finished within `expires_in`; its state is `expired`."),
}
"""Why jobs fail besides what the recording causes: (is it tried again?, what it means)."""


def settings_page() -> str:
    groups: list[tuple[str, str, type[PortSettings], set[str]]] = [
        ("Every program", "Where work is kept.", PortSettings, set()),
        ("API", "", ApiSettings, set(PortSettings.model_fields)),
        ("Worker", "", WorkerSettings, set(PortSettings.model_fields)),
    ]
    lines = [
        "# Settings",
        "",
        NOTE,
        "Settings are environment variables. A wrong value stops the start with one line that names it; `antiphon doctor` prints",
        "every setting with its value and where that comes from.",
    ]
    for title, text, kind, known in groups:
        lines += [
            "",
            f"## {title}",
            "",
            *([text, ""] if text else []),
            "| variable | default | what it says |",
            "|---|---|---|",
        ]
        for name, field in kind.model_fields.items():
            if name not in known:
                lines.append(f"| `{_variable(name)}` | {_default(name, field)} | {field.description} |")
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    lines = [
        "# Error codes",
        "",
        NOTE,
        "Codes are stable; sentences are for people and may change.",
        "",
        "## Answers of the HTTP interface",
        "",
        "Every error is a problem document (RFC 9457, `application/problem+json`) with `type`, `title`, `status`, `detail`, `code`, and",
        "`errors` per field where it is a validation. A conflict with a job's state has the code `job_<state>`, such as `job_succeeded`.",
        "",
        "| status | code | when |",
        "|---|---|---|",
        *(f"| {status} | `{code}` | {text} |" for status, code, text in sorted(_answers())),
        "",
        "## Failures of jobs",
        "",
        "In `error.code` of a job that is `failed` or `expired`. What cannot heal is not tried again.",
        "",
        "| code | tried again? | why |",
        "|---|---|---|",
        *(f"| `{code}` | {again} | {text} |" for code, again, text in sorted(_failures())),
    ]
    return "\n".join(lines) + "\n"


PAGES = {"settings.md": settings_page, "errors.md": errors_page}


def _variable(name: str) -> str:
    return f"ANTIPHON_{name.upper()}"


def _default(name: str, field: FieldInfo) -> str:
    told = {"data": "`~/.local/share/antiphon`", "scratch": "the system's temporary directory"}
    if name in told:
        return told[name]
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    return "not set" if value in (None, "") else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _answers() -> Iterator[tuple[int, str, str]]:
    for error in _tree(AntiphonError) | _tree(SpeechError):
        if "code" not in vars(error) or not error.__module__.endswith(".errors"):
            continue
        status, _ = problems.status_of(error)
        if issubclass(error, SpeechError) and error.code not in ("not_available", "audio_empty", "audio_too_large"):
            continue  # these show only when the recording is decoded
        if status < 500 or error.code == "unavailable":
            yield status, error.code, _first_line(error)
    yield 404, "not_found", "There is nothing at this path."
    yield 500, "internal", "Nobody foresaw this; `instance` names the line in the log that tells more."
    yield 405, "method_not_allowed", "The method is not allowed here; `Allow` names those that are."


def _failures() -> Iterator[tuple[str, str, str]]:
    for error in _tree(SpeechError):
        if (error.code.startswith("audio_") and not error.__subclasses__()) or error in (
            LanguageNotSupported,
            EngineUnavailable,
        ):
            yield error.code, "yes" if error.retryable else "no", _first_line(error)
    for code, (again, text) in OF_WORKERS.items():
        yield code, again, text


def _tree(root: type[Any]) -> set[type[Any]]:
    return {root}.union(*(_tree(child) for child in root.__subclasses__()))


def _first_line(error: type[Any]) -> str:
    return (error.__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    for file, page in PAGES.items():
        (HERE / file).write_text(page())
