"""`antiphon queue`: look into a server's queues, try dead letters again, purge, pause and resume."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from antiphon_cli import parameters
from antiphon_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from antiphon_cli.client import Client
    from antiphon_cli.views import DeadLetter, Message, Redriven

ALL = 1000
"""Dead letters in one request, which is as many as the server takes."""

app = typer.Typer(
    name="queue",
    help="Look into the queues of a server, try dead letters again, purge, pause and resume.",
    epilog="All but `ls` need the server's internal token: ANTIPHON_INTERNAL_TOKEN, or, for an `antiphon up` on this "
    "machine, what that keeps in its data directory (ANTIPHON_DATA).",
    no_args_is_help=True,
)

Pool = Annotated[str, typer.Option("--pool", "-p", help="The pool whose queue it is.", metavar="NAME")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many at most.", metavar="N")]
DEFAULT_POOL = "default"


@app.command()
def ls(url: parameters.Url = parameters.DEFAULT_URL, as_json: parameters.Json = False) -> None:
    """Show how many messages wait, are with a worker, are delayed, are dead, by pool and priority."""
    from antiphon_cli.client import Client

    with Client(url) as client:
        queues = client.queues()
    if as_json:
        typer.echo(json.dumps({"queues": [each.json_object() for each in queues]}))
        return

    from rich.text import Text

    from antiphon_cli.tables import print_table

    def count(messages: int, colour: str = "") -> Text:
        return Text(str(messages), colour if messages else "dim")

    counts = ("available", "in flight", "delayed", "dead")
    rows = (
        (
            *(q.pool, q.priority, count(q.available), count(q.in_flight), count(q.delayed), count(q.dead, "red")),
            Text("paused" if q.paused else "", "yellow"),
        )
        for q in queues
    )
    if not print_table(("pool", "priority", *counts, ""), rows, numbers=counts):
        typer.echo("No pool is registered.", err=True)


@app.command()
def peek(
    pool: Pool = DEFAULT_POOL,
    limit: Limit = 20,
    url: parameters.Url = parameters.DEFAULT_URL,
    as_json: parameters.Json = False,
) -> None:
    """Show what workers would get next, and leave it where it is."""
    from antiphon_cli.tables import print_table

    with _client(url) as client:
        found = client.peek(pool, limit=limit)
    if as_json:
        typer.echo(json.dumps(found.json_object()))
        return
    if found.source == "store":
        typer.echo("This queue shows nothing without handing it out; these are the jobs that wait for it.", err=True)
    headers = ("priority", "round", "deliveries", "state", "job")
    if not print_table(headers, map(_waiting, found.messages), numbers=("round", "deliveries")):
        typer.echo("Nothing waits.", err=True)


@app.command()
def dead(
    pool: Pool = DEFAULT_POOL,
    limit: Limit = 20,
    url: parameters.Url = parameters.DEFAULT_URL,
    as_json: parameters.Json = False,
) -> None:
    """Show the dead letters: messages that were given up, the oldest first, and why."""
    with _client(url) as client:
        found = client.dead(pool, limit=limit)
    if as_json:
        typer.echo(json.dumps(found.json_object()))
        return
    typer.echo("\n\n".join(map(_told, found.dead)), nl=bool(found.dead))
    if not found.dead:
        typer.echo("No dead letters.", err=True)


@app.command()
def redrive(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of dead letters; see `dead`.", metavar="ID")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters of the pool.")] = False,
    pool: Pool = DEFAULT_POOL,
    url: parameters.Url = parameters.DEFAULT_URL,
    as_json: parameters.Json = False,
) -> None:
    """Try dead letters again: a failed job gets a new round, in which stages that are done do not run again.

    One whose job has succeeded since, was deleted or goes on without it is only removed. The exit code is 1 if one that
    was named is not tried again.
    """
    if bool(ids) == everything:
        raise UsageError("name the dead letters by their ids, or say --all")
    with _client(url) as client:
        done = _redrive_all(client, pool) if everything else client.redrive_dead(pool, ids=ids or [], limit=ALL)
    if as_json:
        typer.echo(json.dumps(done.json_object()))
    else:
        for each in done.skipped:
            typer.echo(f"{each.id} not tried again: {each.reason}", err=True)
        typer.echo(f"{_counted(done.redriven, 'dead letter')} redriven")
    if ids and done.skipped:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def purge(
    priority: Annotated[
        str | None, typer.Option(help="Only high, normal or low; all if absent.", metavar="PRIORITY")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    pool: Pool = DEFAULT_POOL,
    url: parameters.Url = parameters.DEFAULT_URL,
    as_json: parameters.Json = False,
) -> None:
    """Cancel the jobs that wait for a pool, and empty its queue of them. What a worker is at goes on."""
    if not yes and not sys.stdin.isatty():
        raise UsageError("a purge cancels jobs; say --yes where nobody can be asked")
    with _client(url) as client:
        if not yes and not _confirmed(client, pool, priority):
            typer.echo("Nothing was purged.", err=True)
            raise typer.Exit(ExitCode.FAILED)
        cancelled = removed = 0
        while True:
            done = client.purge(pool, priority=priority)
            cancelled, removed = cancelled + done.cancelled, removed + done.removed
            if done.complete or not (done.cancelled or done.removed):
                break
    if as_json:
        typer.echo(json.dumps({"cancelled": cancelled, "removed": removed, "complete": done.complete}))
    else:
        typer.echo(f"{_counted(cancelled, 'job')} cancelled, {_counted(removed, 'message')} removed")


@app.command()
def pause(
    pool: Pool = DEFAULT_POOL, url: parameters.Url = parameters.DEFAULT_URL, as_json: parameters.Json = False
) -> None:
    """Keep a pool's workers from beginning anything new. What runs goes on, and jobs are still accepted."""
    _pause(pool, url, paused=True, as_json=as_json)


@app.command()
def resume(
    pool: Pool = DEFAULT_POOL, url: parameters.Url = parameters.DEFAULT_URL, as_json: parameters.Json = False
) -> None:
    """Let the workers of a paused pool go on."""
    _pause(pool, url, paused=False, as_json=as_json)


def _client(url: str) -> "Client":
    """One that holds the server's internal token, if we have it."""
    from antiphon_cli import token
    from antiphon_cli.client import Client, is_here

    return Client(url, token=token.find(here=is_here(url)))


def _pause(pool: str, url: str, *, paused: bool, as_json: bool) -> None:
    with _client(url) as client:
        changed = client.pause(pool, paused=paused)
    if as_json:
        typer.echo(json.dumps(changed.json_object()))
        return
    backlog = changed.backlog
    how = "paused" if changed.paused else "not paused"
    typer.echo(f"{changed.name} is {how}; {_counted(backlog.queued, 'job')} queued, {backlog.running} running")


def _redrive_all(client: "Client", pool: str) -> "Redriven":
    """Those that are dead by now, in as many requests as that takes."""
    from antiphon_cli.views import Redriven

    left = sum(queue.dead for queue in client.queues() if queue.pool == pool)
    redriven, skipped = 0, []
    while True:
        done = client.redrive_dead(pool, ids=None, limit=min(max(left, 1), ALL))
        redriven += done.redriven
        skipped += done.skipped
        left -= done.redriven + len(done.skipped)
        if left <= 0 or not (done.redriven or done.skipped):
            return Redriven(redriven=redriven, skipped=skipped)


def _confirmed(client: "Client", pool: str, priority: str | None) -> bool:
    waiting = sum(
        queue.available + queue.delayed
        for queue in client.queues()
        if queue.pool == pool and priority in (None, queue.priority)
    )
    what = _counted(waiting, "message") + ("" if priority is None else f" of priority {priority}")
    # typer.confirm would write a space to standard output, which is for the result
    typer.echo(f"{what} in the queue of {pool}: cancel the jobs that wait? [y/N] ", nl=False, err=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _waiting(message: "Message") -> "tuple[str | Text, ...]":
    from rich.text import Text

    what = Text(f"cannot be read: {_printable(message.body or '')}", "red") if message.job is None else message.job
    return (
        message.priority,
        "" if message.round is None else str(message.round),
        "" if message.deliveries is None else str(message.deliveries),
        message.state or "",
        what,
    )


def _told(letter: "DeadLetter") -> str:
    lines = {
        "id": letter.id,
        "died": letter.died_at,
        "reason": _printable(letter.reason),
        "job": f"{letter.job} ({letter.state or 'not there any more'})" if letter.job else None,
        "body": _printable(letter.body) if letter.job is None else None,
    }
    return "\n".join(f"{name + ':':<8}{value}" for name, value in lines.items() if value is not None)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _printable(text: str) -> str:
    """Spelt out where it would steer the terminal: a message may come from anybody."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
