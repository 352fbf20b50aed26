"""`antiphon analyze`: recordings in, what was said and how out."""

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from antiphon_cli import artifacts, parameters
from antiphon_cli.analysis.outcome import Outcome, Trouble
from antiphon_cli.errors import CommandError, ExitCode, UsageError

if TYPE_CHECKING:
    from antiphon_cli.progress import Progress


def analyze(
    files: parameters.Recordings,
    formats: parameters.Formats = None,
    out: parameters.Out = None,
    pipeline: parameters.Pipeline = None,
    language: parameters.Language = None,
    model: parameters.Model = None,
    beam_size: parameters.BeamSize = None,
    vad: parameters.Vad = None,
    prompt: parameters.Prompt = None,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="ANTIPHON_URL", help="Server that does the work; without one, this process does.", metavar="URL"
        ),
    ] = None,
    as_json: parameters.Json = False,
    quiet: parameters.Quiet = False,
) -> None:
    """Analyse recordings, in this process or on a server.

    The transcript goes to standard output, or every format into the directory of --out. A recording that fails does not
    stop the others; the exit code is then 1.
    """
    from antiphon_cli.progress import progress

    if as_json and out is None and formats:
        raise UsageError("--json prints the whole result; with --format, write into a directory: --out DIR")
    wish = artifacts.Wish.of([artifacts.Format.JSON] if as_json and out is None else formats or [], out)
    if out is not None:
        artifacts.refuse_clashes(files)
    options = parameters.analysis_options(pipeline, language, model, beam_size, vad, prompt)
    named = sys.stdout.isatty() and not quiet  # the progress has just named the recording
    failed = 0
    with progress(quiet=quiet) as shown, _outcomes(url, files, options, wish.names, shown) as outcomes:
        for outcome in outcomes:
            kept = _keep(outcome, wish, out)
            failed += kept.trouble is not None
            shown.end(str(outcome.recording), _sentence(outcome, kept), good=kept.trouble is None)
            with shown.paused():
                if as_json:
                    typer.echo(json.dumps(_json_object(outcome, kept), ensure_ascii=False))
                elif out is None and kept.trouble is None:
                    _print(outcome.recording, kept, headed=len(files) > 1 and not named)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


@contextmanager
def _outcomes(
    url: str | None, files: Sequence[Path], options: Mapping[str, object], names: Collection[str], progress: "Progress"
) -> Iterator[Iterator[Outcome]]:
    """From here or from there; imported as needed, since the engines are heavy and a client does without."""
    if url is None:
        from antiphon_cli import settings
        from antiphon_cli.analysis.here import analyse_here
        from antiphon_worker.settings import WorkerSettings

        with closing(analyse_here(files, options, settings.read(WorkerSettings), progress)) as outcomes:
            yield outcomes
    else:
        from antiphon_cli.analysis.there import analyse_there
        from antiphon_cli.client import Client

        with Client(url) as client, closing(analyse_there(client, files, options, names, progress)) as outcomes:
            yield outcomes


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a caller gets of an outcome."""

    artifacts: dict[str, bytes] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    trouble: Trouble | None = None


def _keep(outcome: Outcome, wish: artifacts.Wish, out: Path | None) -> _Kept:
    if outcome.trouble is not None:
        return _Kept(trouble=outcome.trouble)
    try:
        found = wish.granted(outcome.artifacts)
        return _Kept(found, [] if out is None else artifacts.write(found, outcome.recording.name, out))
    except CommandError as error:
        return _Kept(trouble=Trouble(error.code, str(error)))


def _sentence(outcome: Outcome, kept: _Kept) -> str:
    if kept.trouble is not None:
        return f"{kept.trouble.message} ({kept.trouble.code})"
    sentence = f"done in {outcome.seconds:.1f} s"
    if len(kept.files) > 1:
        return f"{sentence}: {len(kept.files)} files in {kept.files[0].parent}"
    return f"{sentence}: {kept.files[0]}" if kept.files else sentence


def _json_object(outcome: Outcome, kept: _Kept) -> dict[str, Any]:
    line: dict[str, Any] = {
        "file": str(outcome.recording),
        "ok": kept.trouble is None,
        "seconds": round(outcome.seconds, 3),
    }
    if kept.trouble is not None:
        return {**line, "error": {"code": kept.trouble.code, "message": kept.trouble.message}}
    if kept.files:
        return {**line, "files": [str(path) for path in kept.files]}
    return {**line, "result": json.loads(kept.artifacts[artifacts.RESULT])}


def _print(recording: Path, kept: _Kept, *, headed: bool) -> None:
    [data] = kept.artifacts.values()
    if headed:
        typer.echo(f"==> {recording} <==")
    typer.echo(data.decode().rstrip("\n") + ("\n" if headed else ""))
