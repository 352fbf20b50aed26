"""Analyses recordings on a server, through its API."""

import time
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from antiphon_cli.analysis.outcome import Outcome, Trouble
from antiphon_cli.client import Client
from antiphon_cli.errors import CommandError, NotFound, Refused, Unreachable
from antiphon_cli.progress import Progress
from antiphon_cli.views import Job


def analyse_there(
    client: Client,
    recordings: Sequence[Path],
    options: Mapping[str, object],
    artifacts: Collection[str],
    progress: Progress,
) -> Generator[Outcome, None, None]:
    """One outcome for each recording, in order; all are sent at first, so that the server may work on several.

    Whoever stops asking for outcomes has the jobs cancelled that have not ended. Raises Unreachable.
    """
    began = time.monotonic()
    sent = [(recording, _send(client, recording, options, progress)) for recording in recordings]
    pending = [job for _, job in sent if isinstance(job, str)]
    try:
        for recording, job in sent:
            if isinstance(job, Trouble):
                yield Outcome(recording, 0.0, trouble=job)
                continue
            try:
                ended = watch(client, job, str(recording), progress)
                found = _fetch(client, ended, artifacts) if ended.state == "succeeded" else {}
                trouble = None if ended.state == "succeeded" else _why(ended)
            except Refused as error:
                found, trouble = {}, Trouble(error.code, str(error))
            pending.remove(job)
            yield Outcome(recording, time.monotonic() - began, found, trouble)
    finally:
        for job in pending:
            with suppress(CommandError):
                client.cancel(job)


def watch(client: Client, job: str, name: str, progress: Progress) -> Job:
    """Show the job's progress under `name` until it has ended; how it ended."""
    for update in client.follow(job):
        present = update.job
        if not present.terminal:
            progress.at(name, present.stage or present.state, present.progress)
    return present


def _send(client: Client, recording: Path, options: Mapping[str, object], progress: Progress) -> str | Trouble:
    progress.at(str(recording), "send", 0.0)
    try:
        return client.submit(recording, options).id
    except Unreachable:
        raise
    except CommandError as error:
        return Trouble(error.code, str(error))


def _fetch(client: Client, job: Job, artifacts: Collection[str]) -> dict[str, bytes]:
    found = {}
    for name in artifacts:
        with suppress(NotFound):
            found[name] = client.artifact(job.id, name)
    return found


def _why(job: Job) -> Trouble:
    if job.error is not None:
        return Trouble(job.error.code, job.error.message)
    return Trouble(f"job_{job.state}", f"the job {job.id} is {job.state}")
