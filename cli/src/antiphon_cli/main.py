"""The program `antiphon`: its commands, and how their errors end."""

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from antiphon_cli.bench.command import app as bench
from antiphon_cli.commands.analyze import analyze
from antiphon_cli.commands.doctor import doctor
from antiphon_cli.commands.jobs import cancel, delete, jobs, redrive, result, status, submit
from antiphon_cli.commands.migrate import migrate
from antiphon_cli.commands.queue import app as queue
from antiphon_cli.commands.up import up
from antiphon_cli.errors import CommandError

_EPILOG = (
    "Exit codes: 0 done; 1 failed (a job, a file or a check); 2 wrong usage; 3 the server does not answer; "
    "4 no such job, artifact or pool; 130 interrupted."
)


class _Group(TyperGroup):
    """Ends in the exit code of what a command raised on purpose, after saying it on standard error: no traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandError as error:
            typer.secho("Error: ", err=True, nl=False, bold=True, fg=None if os.environ.get("NO_COLOR") else "red")
            typer.echo(str(error), err=True)
            raise typer.Exit(error.exit_code) from error


app = typer.Typer(
    name="antiphon",
    help="Recorded speech in, what was said and how out.",
    epilog=_EPILOG,
    no_args_is_help=True,
    invoke_without_command=True,
    cls=_Group,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _antiphon(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"antiphon {version_of('antiphon-cli')}")
        raise typer.Exit


_PANELS = {
    "Run it": (up, doctor, migrate),
    "Analyse recordings": (analyze,),
    "Use a server": (submit, status, result, jobs, cancel, redrive, delete),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)

# Groups of commands are added here.
app.add_typer(queue, rich_help_panel="Use a server")
app.add_typer(bench, rich_help_panel="Measure it")
