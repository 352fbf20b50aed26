"""The commands about jobs on a server: submit, status, jobs, result, cancel, redrive, delete."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from antiphon_cli import artifacts, parameters
from antiphon_cli.errors import CommandError, ExitCode, Unreachable, UsageError

if TYPE_CHECKING:
    from antiphon_cli.client import Client
    from antiphon_cli.progress import Progress
    from antiphon_cli.views import Job


def submit(
    files: parameters.Recordings,
    pipeline: parameters.Pipeline = None,
    language: parameters.Language = None,
    model: parameters.Model = None,
    beam_size: parameters.BeamSize = None,
    vad: parameters.Vad = None,
    prompt: parameters.Prompt = None,
    priority: Annotated[str | None, typer.Option(help="high, normal (default) or low.", metavar="PRIORITY")] = None,
    expires_in: Annotated[
        int | None, typer.Option(min=1, help="Seconds within which a job must end; it expires otherwise.", metavar="N")
    ] = None,
    retention: Annotated[
        str | None,
        typer.Option(
            help="How long the server keeps a job that has ended: standard (default), ephemeral, or seconds.",
            metavar="TIME",
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", help="Comes back with the job; may be repeated.", metavar="NAME=VALUE"),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until the jobs have ended.")] = False,
    url: parameters.Url = parameters.DEFAULT_URL,
    as_json: parameters.Json = False,
    quiet: parameters.Quiet = False,
) -> None:
    """Send recordings to a server; prints the ids of their jobs.

    With --wait the exit code is 1 unless all succeed. Ctrl-C then stops the waiting, not the jobs.
    """
    from antiphon_cli.client import Client
    from antiphon_cli.progress import progress

    options = parameters.analysis_options(pipeline, language, model, beam_size, vad, prompt)
    more = {
        "priority": priority,
        "expires_in": expires_in,
        "retention": _retention(retention),
        "metadata": _pairs(metadata or []),
    }
    options |= {name: value for name, value in more.items() if value}
    good = True
    with Client(url) as client, progress(quiet=quiet or not wait) as shown:
        sent: list[tuple[Path, str]] = []
        for file in files:
            try:
                accepted = client.submit(file, options)
            except Unreachable:
                raise
            except CommandError as error:
                shown.end(str(file), str(error), good=False)
                good = False
                continue
            sent.append((file, accepted.id))
            if not wait:
                typer.echo(json.dumps({"file": str(file), **accepted.json_object()}) if as_json else accepted.id)
        for file, job in sent if wait else ():
            good &= _wait(client, file, job, shown, as_json=as_json)
    if not good:
        raise typer.Exit(ExitCode.FAILED)


def status(
    job: parameters.JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    url: parameters.Url = parameters.DEFAULT_URL,
    as_json: parameters.Json = False,
    quiet: parameters.Quiet = False,
) -> None:
    """Show how a job stands.

    With --follow the exit code is 1 unless it succeeds; with --json as well, one line per happening.
    """
    from antiphon_cli.client import Client

    with Client(url) as client:
        ended = _follow(client, job, as_json=as_json, quiet=quiet) if follow else client.job(job)
    if not (follow and as_json):
        _show(ended, as_json=as_json)
    if follow and ended.state != "succeeded":
        raise typer.Exit(ExitCode.FAILED)


def jobs(
    state: Annotated[
        list[str] | None,
        typer.Option(help="queued, running, succeeded, failed, cancelled, expired; may be repeated.", metavar="STATE"),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.", metavar="N")] = 20,
    url: parameters.Url = parameters.DEFAULT_URL,
    as_json: parameters.Json = False,
) -> None:
    """List the newest jobs of a server."""
    from antiphon_cli.client import Client

    with Client(url) as client:
        found = client.jobs(states=state or (), limit=limit)
        if as_json:
            for job in found:
                typer.echo(json.dumps(job.json_object()))
        else:
            _table(found)


def result(
    job: parameters.JobId,
    formats: parameters.Formats = None,
    out: parameters.Out = None,
    url: parameters.Url = parameters.DEFAULT_URL,
    as_json: parameters.Json = False,
    quiet: parameters.Quiet = False,
) -> None:
    """Fetch what a job found: the transcript, or whatever --format names."""
    from antiphon_cli.client import Client
    from antiphon_cli.errors import NotFound

    if as_json and formats:
        raise UsageError("--json is short for --format json; name one of them")
    wish = artifacts.Wish.of([artifacts.Format.JSON] if as_json else formats or [], out)
    found: dict[str, bytes] = {}
    with Client(url) as client:
        recording = client.job(job).source.name
        for name in wish.names:
            try:
                found[name] = client.artifact(job, name)
            except NotFound:
                if not wish.whatever_there_is:
                    raise
    if out is None:
        [data] = found.values()
        typer.echo(data.decode().rstrip("\n"))
        return
    for path in artifacts.write(found, recording, out):
        if not quiet:
            typer.echo(path)


def cancel(
    job: parameters.JobId, url: parameters.Url = parameters.DEFAULT_URL, as_json: parameters.Json = False
) -> None:
    """Stop a job that waits or runs."""
    from antiphon_cli.client import Client

    with Client(url) as client:
        _show(client.cancel(job), as_json=as_json)


def redrive(
    job: parameters.JobId, url: parameters.Url = parameters.DEFAULT_URL, as_json: parameters.Json = False
) -> None:
    """Try a job again that failed, was cancelled or expired. Stages that are done do not run again."""
    from antiphon_cli.client import Client

    with Client(url) as client:
        _show(client.redrive(job), as_json=as_json)


def delete(
    job: parameters.JobId, url: parameters.Url = parameters.DEFAULT_URL, as_json: parameters.Json = False
) -> None:
    """Erase a job with its recording, its results and its history; one that runs is cancelled."""
    from antiphon_cli.client import Client

    with Client(url) as client:
        client.delete(job)
    typer.echo(json.dumps({"id": job, "deleted": True}) if as_json else f"{job} deleted")


def _retention(given: str | None) -> str | int | None:
    """As the API takes it, which knows the words and the bounds."""
    return int(given) if given is not None and given.isascii() and given.isdecimal() else given


def _pairs(metadata: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for entry in metadata:
        name, equals, value = entry.partition("=")
        if not equals:
            raise UsageError(f"--metadata {entry}: write NAME=VALUE")
        pairs[name] = value
    return pairs


def _wait(client: "Client", file: Path, job: str, progress: "Progress", *, as_json: bool) -> bool:
    """Wait for the job and tell its end; whether it succeeded."""
    from antiphon_cli.analysis.there import watch

    try:
        ended = watch(client, job, str(file), progress)
    except KeyboardInterrupt:
        progress.end(str(file), f"the job goes on; see `antiphon status {job}`", good=False)
        raise
    good = ended.state == "succeeded"
    progress.end(str(file), _outcome(ended), good=good)
    with progress.paused():
        typer.echo(json.dumps({"file": str(file), **ended.json_object()}) if as_json else job)
    return good


def _follow(client: "Client", job: str, *, as_json: bool, quiet: bool) -> "Job":
    from antiphon_cli.analysis.there import watch
    from antiphon_cli.progress import progress

    if not as_json:
        with progress(quiet=quiet) as shown:
            return watch(client, job, job, shown)
    for update in client.follow(job):
        typer.echo(json.dumps({"event": update.kind, "job": update.job.json_object()}))
    return update.job


def _outcome(job: "Job") -> str:
    return f"{job.state}: {job.error.message} ({job.error.code})" if job.error else job.state


def _show(job: "Job", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(job.json_object()))
        return
    lines: dict[str, Any] = {
        "job": job.id,
        "recording": job.source.name + (f", {job.audio_seconds:.1f} s" if job.audio_seconds else ""),
        "state": _outcome(job),
        "stage": f"{job.stage}, {job.progress:.0f} % of all" if _on_the_way(job) else None,
        "attempt": job.attempt if job.attempt > 1 else None,
        "round": job.round if job.round > 1 else None,
        "created": _moment(job.created_at),
        "started": _moment(job.started_at),
        "finished": _moment(job.finished_at),
        "kept until": _kept(job),
    }
    for name, value in lines.items():
        if value is not None:
            typer.echo(f"{name + ':':<12}{value}")


def _table(found: Iterable["Job"]) -> None:
    from rich.text import Text

    from antiphon_cli.tables import print_table

    colours = {"succeeded": "green", "failed": "red", "expired": "red", "cancelled": "yellow", "running": "cyan"}
    rows = (
        (
            job.id,
            Text(f"{job.stage} {job.progress:.0f} %" if _on_the_way(job) else job.state, colours.get(job.state, "")),
            "" if job.audio_seconds is None else f"{job.audio_seconds:.1f}",
            _moment(job.created_at) or "",
            job.source.name,
        )
        for job in found
    )
    if not print_table(("job", "state", "seconds", "created", "recording"), rows, numbers=["seconds"]):
        typer.echo("No jobs.", err=True)


def _kept(job: "Job") -> str | None:
    if job.legal_hold:
        return "its legal hold is lifted"
    return _moment(job.retained_until)


def _on_the_way(job: "Job") -> bool:
    return job.state == "running" and job.stage is not None


def _moment(timestamp: str | None) -> str | None:
    """RFC 3339 as people read it, to the second."""
    return None if timestamp is None else timestamp.replace("T", " ").partition(".")[0].removesuffix("Z") + " UTC"
