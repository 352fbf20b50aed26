"""`antiphon doctor`: what is set, from where, and whether it will work."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from antiphon_cli import parameters
from antiphon_cli.errors import ExitCode

if TYPE_CHECKING:
    from rich.text import Text

    from antiphon_cli.doctor.check import Check
    from antiphon_cli.doctor.settings import Setting


def doctor(as_json: parameters.Json = False, quiet: parameters.Quiet = False) -> None:
    """Print every setting with its source, and check what Antiphon needs to run here.

    Changes nothing. The exit code is 1 if a check fails; warnings do not count. With --quiet only what is not well.
    """
    from antiphon.resource import Verdict
    from antiphon_cli.doctor.settings import settings

    found, checks = settings(), _checks()
    if as_json:
        typer.echo(json.dumps({"settings": [asdict(each) for each in found], "checks": [asdict(c) for c in checks]}))
    else:
        _print(found, checks, quiet=quiet)
    if any(check.verdict is Verdict.FAIL for check in checks):
        raise typer.Exit(ExitCode.FAILED)


def _checks() -> list["Check"]:
    import asyncio
    import os

    from antiphon.resource import Verdict
    from antiphon_api.settings import ApiSettings
    from antiphon_cli.doctor import backends, machine
    from antiphon_cli.doctor.settings import wrong_settings
    from antiphon_worker.settings import WorkerSettings

    checks = [machine.python(), machine.packages(), *wrong_settings()]
    if any(check.verdict is Verdict.FAIL for check in checks):
        return checks  # what follows needs packages and settings
    api, worker = ApiSettings(), WorkerSettings()
    checks += [machine.data_directory(worker.data), *asyncio.run(backends.backends(worker))]
    checks += [machine.model(worker.model), machine.address(api.listen_host, api.listen_port)]
    if "ANTIPHON_URL" in os.environ:
        checks.append(machine.server(os.environ["ANTIPHON_URL"]))
    return checks


def _print(found: list["Setting"], checks: list["Check"], *, quiet: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from antiphon.resource import Verdict
    from antiphon_cli.tables import print_table

    console = Console(soft_wrap=True, highlight=False)
    colours = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
    if not quiet:
        print_table(("setting", "source", "read by", "value"), map(_row, found))
        console.print()
    for check in checks:
        if quiet and check.verdict is Verdict.OK:
            continue
        console.print(Text.assemble((f"{check.verdict:<5}", colours[check.verdict]), f"{check.name}: {check.finding}"))
        if check.advice:
            console.print(Text(f"     {check.advice}"))


def _row(setting: "Setting") -> tuple["str | Text", ...]:
    from rich.text import Text

    style = "bold" if setting.source == "environment" else "dim"
    programs = ", ".join(setting.programs)
    return setting.variable, Text(setting.source, style), Text(programs, "dim"), setting.value or Text("not set", "dim")
