"""`antiphon up`: everything on this machine, with one command."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from antiphon_cli.parameters import Json, Quiet

if TYPE_CHECKING:
    from antiphon_cli.supervisor.happenings import Happening


def up(
    host: Annotated[
        str, typer.Option(envvar="ANTIPHON_LISTEN_HOST", help="Address to listen on.", metavar="HOST")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            envvar="ANTIPHON_LISTEN_PORT",
            min=0,
            max=65535,
            help="Port to listen on; 0 takes a free one.",
            metavar="PORT",
        ),
    ] = 8080,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="ANTIPHON_DATA",
            help="Directory of the store, queue, blobs and logs; ~/.local/share/antiphon by default.",
            file_okay=False,
            metavar="DIR",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            envvar="ANTIPHON_MODEL", help="Transcription model: a name, or the path of a directory.", metavar="NAME"
        ),
    ] = "tiny.en",
    slots: Annotated[
        int,
        typer.Option(
            envvar="ANTIPHON_SLOTS", min=1, max=64, help="How many recordings are analysed at a time.", metavar="N"
        ),
    ] = 1,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the programs' logs here, not in files below DIR/logs.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the API and a worker on this machine until Ctrl-C.

    Everything is kept in files below the data directory: no server, no account. ANTIPHON_STORE_URL, ANTIPHON_QUEUE_URL
    and ANTIPHON_BLOBS_URL name other places. A program that dies is started again.
    With --json, a line per happening: `ready` (with `url` and `pids`), `died`, `back`, `stopping`, `killed`, `stopped`.
    """
    import asyncio
    import os

    from antiphon.errors import AntiphonError
    from antiphon.pools import Pool
    from antiphon.ports import PortSettings, default_data
    from antiphon_cli import settings, token
    from antiphon_cli.embedded import prepare, programs
    from antiphon_cli.errors import SupervisorError
    from antiphon_cli.supervisor.claim import sole_supervisor
    from antiphon_cli.supervisor.listener import listen, open_to_others, url_of
    from antiphon_cli.supervisor.supervisor import supervise

    directory = (data or default_data()).expanduser().absolute()
    logs = None if verbose else directory / "logs"
    with sole_supervisor(directory) as claim, listen(host, port, patience=5.0 * claim.predecessor_died) as listener:
        url = url_of(listener)
        claim.tell(url)
        pool = Pool(model=model, concurrency=slots)
        narrator = _JsonNarrator(url, directory, logs) if as_json else _Narrator(url, directory, logs, quiet=quiet)
        ports = settings.read(PortSettings, data=directory)
        urls = {"store": ports.store_url, "queue": ports.queue_url, "blobs": ports.blobs_url}
        narrator.starting([port for port, given in urls.items() if given])
        try:
            asyncio.run(prepare(ports, pool))
        except AntiphonError as error:
            raise SupervisorError(str(error)) from error
        if open_to_others(listener) and not quiet:
            typer.echo("Note: other machines can reach this address, and whoever does may use Antiphon.", err=True)
        internal = os.environ.get(token.VARIABLE) or token.ensure(directory)
        asyncio.run(supervise(programs(directory, pool, listener, internal), logs=logs, tell=narrator.tell))
        narrator.stopped()


class _Narrator:
    """Tells a person."""

    def __init__(self, url: str, data: Path, logs: Path | None, *, quiet: bool) -> None:
        self._url = url
        self._data = data
        self._logs = logs
        self._quiet = quiet

    def starting(self, elsewhere: Sequence[str]) -> None:
        exceptions = f" but {' and '.join(elsewhere)}" if elsewhere else ""
        self._aside(f"Starting. Everything{exceptions} is kept in {self._data}.")

    def tell(self, happening: "Happening") -> None:
        from antiphon_cli.supervisor.happenings import Back, Died, Killed, Ready, Stopping

        match happening:
            case Ready():
                typer.echo(f"Antiphon is ready at {self._url} (OpenAPI: /openapi.json)")
                self._aside("Ctrl-C stops it." if self._logs is None else f"Ctrl-C stops it. Logs: {self._logs}")
            case Died(program=program, restarts=restarts, restart_in=wait):
                when = f"in {wait:.1f} s" if wait else "at once"
                self._aside(
                    f"The {program} (process {happening.pid}) ended after {happening.lived:.1f} s: {happening.how}. "
                    f"It is started again {when} (restart {restarts}){self._see(program)}."
                )
            case Back(program=program, pid=pid):
                self._aside(f"The {program} is ready again (process {pid}).")
            case Stopping():
                self._aside("Stopping: what runs is finished or handed back. Ctrl-C again to hurry.")
            case Killed(program=program):
                self._aside(f"The {program} was ended by force; what it did is done again at the next start.")

    def stopped(self) -> None:
        self._aside("Stopped.")

    def _see(self, program: str) -> str:
        return "" if self._logs is None else f"; see {self._logs / program}.log"

    def _aside(self, sentence: str) -> None:
        if not self._quiet:
            typer.echo(sentence, err=True)


class _JsonNarrator:
    """Tells a program: one JSON object per line, flushed at once."""

    def __init__(self, url: str, data: Path, logs: Path | None) -> None:
        self._place: dict[str, Any] = {"url": url, "data": str(data), "logs": None if logs is None else str(logs)}

    def starting(self, elsewhere: Sequence[str]) -> None:
        """Nothing has happened yet."""

    def tell(self, happening: "Happening") -> None:
        import os

        from antiphon_cli.supervisor.happenings import Died, Ready

        fields = asdict(happening)
        if isinstance(happening, Ready):
            fields = {**self._place, "pids": {"supervisor": os.getpid(), **happening.pids}}
        if isinstance(happening, Died):
            fields["how"] = happening.how
        self._line(type(happening).__name__.lower(), fields)

    def stopped(self) -> None:
        self._line("stopped", {})

    @staticmethod
    def _line(event: str, fields: dict[str, Any]) -> None:
        typer.echo(json.dumps({"event": event, **fields}))
