"""Arguments and options that several commands share, so that they are called and mean the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from antiphon_cli.artifacts import Format

DEFAULT_URL = "http://127.0.0.1:8080"


def complete_job(incomplete: str) -> list[tuple[str, str]]:
    """The newest jobs of the server, if it answers at once."""
    import os

    from antiphon_cli.client import Client
    from antiphon_cli.errors import CommandError

    try:
        with Client(os.environ.get("ANTIPHON_URL", DEFAULT_URL), timeout=0.5) as client:
            jobs = [(job.id, f"{job.state} {job.source.name}") for job in client.jobs(limit=20)]
    except CommandError:
        return []
    return [(job, what) for job, what in jobs if job.startswith(incomplete)]


Recordings = Annotated[
    list[Path], typer.Argument(help="Recordings: wav, mp3, m4a, ogg, webm, flac ...", metavar="FILE")
]
JobId = Annotated[str, typer.Argument(help="The job's id.", metavar="ID", autocompletion=complete_job)]

Url = Annotated[str, typer.Option("--url", envvar="ANTIPHON_URL", help="Address of the server.", metavar="URL")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, one object a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results and errors.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write files into this directory.", file_okay=False, metavar="DIR")
]
Formats = Annotated[
    list[Format] | None,
    typer.Option(
        "--format",
        "-f",
        case_sensitive=False,
        metavar="FORMAT",
        help="txt, json, srt, vtt, TextGrid, csv (pitch) or all; may be repeated. Default: txt, and all with --out.",
    ),
]

Pipeline = Annotated[
    str | None,
    typer.Option(help="full (default), transcribe, or stages with commas between: transcribe,pitch.", metavar="NAMES"),
]
Language = Annotated[str | None, typer.Option(help="Language spoken: en, de ...; found out if absent.", metavar="CODE")]
Model = Annotated[str | None, typer.Option(help="Transcription model; the server's own if absent.", metavar="NAME")]
BeamSize = Annotated[int | None, typer.Option(min=1, max=10, help="Beams of the search; 1 is fastest.", metavar="N")]
Vad = Annotated[bool | None, typer.Option("--vad/--no-vad", help="Skip what holds no speech (default).")]
Prompt = Annotated[str | None, typer.Option(help="Words to expect: names, terms, style.", metavar="TEXT")]


def analysis_options(
    pipeline: str | None,
    language: str | None,
    model: str | None,
    beam_size: int | None,
    vad: bool | None,
    prompt: str | None,
) -> dict[str, object]:
    """What was asked for, as the API calls it; what was not asked for is left to the defaults there."""
    stages = (pipeline or "").split(",")
    given = {
        "pipeline": None if pipeline is None else pipeline if stages[0] in _PRESETS and len(stages) == 1 else stages,
        "language": language,
        "model": model,
        "beam_size": beam_size,
        "vad": vad,
        "initial_prompt": prompt,
    }
    return {name: value for name, value in given.items() if value is not None}


_PRESETS = frozenset({"transcribe", "full", "pronunciation"})
