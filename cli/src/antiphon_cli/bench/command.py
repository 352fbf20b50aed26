"""`antiphon bench`: measure, print, write down."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from antiphon_cli.bench.catalogue import BENCHES, Bench
from antiphon_cli.bench.effort import Effort
from antiphon_cli.errors import CommandError, ExitCode
from antiphon_cli.parameters import Json

if TYPE_CHECKING:
    from antiphon_cli.bench.report import Report

app = typer.Typer(
    name="bench",
    help="Measure Antiphon on this machine, beside what it is to be compared with in the same run.",
    epilog="The exit code is 1 if a target is missed, except with --quick, whose numbers mean nothing.",
    no_args_is_help=True,
)

Runs = Annotated[
    int | None, typer.Option(min=1, help="Rounds of each measurement; each bench has its own number.", metavar="N")
]
Quick = Annotated[bool, typer.Option("--quick", help="Measure so little that it only proves that the bench runs.")]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url",
        help="A Redis or Valkey to measure on, instead of one that the bench starts. Its database has to be empty.",
        metavar="URL",
    ),
]
PostgresUrl = Annotated[
    str | None,
    typer.Option(
        "--postgres-url",
        help="A PostgreSQL database to measure on, instead of one that the bench starts. It has to be empty.",
        metavar="URL",
    ),
]
Write = Annotated[
    Path | None, typer.Option(help="Write the report into this file too, as Markdown.", dir_okay=False, metavar="FILE")
]


def _command(benches: Sequence[Bench], name: str) -> Callable[..., None]:
    def command(
        runs: Runs = None,
        quick: Quick = False,
        redis_url: RedisUrl = None,
        postgres_url: PostgresUrl = None,
        write: Write = None,
        as_json: Json = False,
    ) -> None:
        effort = Effort(runs, quick, redis_url, postgres_url)
        _warn_of_others()
        reports = [_report(bench, effort) for bench in benches]
        for report in reports:
            _print(report, as_json=as_json)
        if write is not None:
            _write(write, benches, reports)
        if not quick and any(report.missed for report in reports):
            raise typer.Exit(ExitCode.FAILED)

    command.__name__ = name
    return command


for _bench in BENCHES:
    app.command(_bench.name, help=_bench.summary)(_command((_bench,), _bench.name))
app.command("all", help="All of them, one after the other.")(_command(BENCHES, "all"))


def _warn_of_others() -> None:
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > cores / 4:
        typer.echo(f"Note: other programs use this machine (load {load:.1f} on {cores} cores).", err=True)


def _report(bench: Bench, effort: Effort) -> "Report":
    from antiphon_cli.bench.machine import commit, this_machine
    from antiphon_cli.bench.report import Figure, LeftOut, Report

    found = bench.measure(effort, lambda what: typer.echo(f"{bench.name}: {what}", err=True))
    options = (" --quick" if effort.quick else "") + (f" --runs {effort.runs}" if effort.runs else "")
    return Report(
        bench.name,
        f"antiphon bench {bench.name}{options}",
        this_machine(),
        commit(),
        [each for each in found if isinstance(each, Figure)],
        [each for each in found if isinstance(each, LeftOut)],
    )


def _print(report: "Report", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.json_object()))
        return

    from rich.console import Console
    from rich.text import Text

    from antiphon_cli.bench.rendering import WIDTH, table

    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(table(report), *(Text(str(each)) for each in report.left_out), "", sep="\n")


def _write(target: Path, benches: Sequence[Bench], reports: "Sequence[Report]") -> None:
    from antiphon_cli.bench.rendering import markdown

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(
            markdown((bench.about(), report) for bench, report in zip(benches, reports, strict=True)), encoding="utf-8"
        )
    except OSError as error:
        raise CommandError(f"{target}: {error.strerror}") from None
