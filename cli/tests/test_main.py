"""The program as a whole: its start, its help, its errors, its completion."""

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from antiphon_cli.errors import ExitCode
from antiphon_cli.main import app

HEAVY = {"httpx", "pydantic", "rich", "numpy", "av", "faster_whisper", "sqlalchemy", "fastapi", "asyncio"}
COMMANDS = "up doctor migrate analyze submit status result jobs cancel redrive delete".split()
GROUPS = {"queue": "ls peek dead redrive purge pause resume".split()}
LINES = [*COMMANDS, *(f"{group} {command}" for group, commands in GROUPS.items() for command in commands)]


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    script = "import antiphon_cli.main, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_help_names_every_command_and_every_exit_code() -> None:
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert all(f" {command} " in said for command in (*COMMANDS, *GROUPS))
    assert all(f"{code.value} " in said.partition("Exit codes:")[2] for code in ExitCode)


@pytest.mark.parametrize("line", LINES)
def test_every_command_has_help_and_json(line: str) -> None:
    done = CliRunner().invoke(app, [*line.split(), "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == ExitCode.OK
    assert "--json" in done.output


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_alone_names_its_commands(group: str) -> None:
    said = CliRunner().invoke(app, [group], env={"COLUMNS": "200"}).output
    assert all(f" {command} " in said for command in GROUPS[group])


@pytest.mark.parametrize(
    "line", ["nonsense", "status", "up --port 70000", "jobs --limit 0", "result x -f y", "analyze x -f srt -f txt"]
)
def test_wrong_usage_ends_in_its_own_exit_code(line: str) -> None:
    assert CliRunner().invoke(app, line.split()).exit_code == ExitCode.USAGE


def test_an_expected_error_is_said_on_standard_error_without_a_traceback() -> None:
    done = CliRunner().invoke(app, ["status", "x", "--url", "http://127.0.0.1:1"])
    assert done.exit_code == ExitCode.UNREACHABLE
    assert done.stdout == ""
    assert done.stderr.startswith("Error: cannot reach Antiphon at http://127.0.0.1:1: ")
    assert done.stderr.count("\n") == 2


def test_the_shell_completes_commands_and_the_ids_of_jobs(tiny_server: Any, answer: Any, antiphon: str) -> None:
    source = {"name": "clip.wav", "size": 1}
    job = {"id": "0190-abc", "state": "failed", "source": source, "created_at": "2026-01-31T12:00:00Z"}
    tiny_server.answer = lambda _: answer(200, {"jobs": [job]})
    environment = {"_ANTIPHON_COMPLETE": "complete_zsh", "ANTIPHON_URL": tiny_server.url}
    assert "redrive" in completed(antiphon, "antiphon re", environment)
    assert "0190-abc" in completed(antiphon, "antiphon status 01", environment)
    assert "0190-abc" not in completed(antiphon, "antiphon status 02", environment)
    away = {**environment, "ANTIPHON_URL": "http://127.0.0.1:1"}
    assert "0190-abc" not in completed(antiphon, "antiphon status 01", away)


def completed(antiphon: str, line: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [antiphon], env={**environment, "_TYPER_COMPLETE_ARGS": line}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout


def test_ctrl_c_ends_in_130_and_cancels_what_analyze_had_sent(
    tiny_server: Any, answer: Any, run: Callable[..., Any], antiphon: str, clips: Any, until: Any
) -> None:
    source = {"name": "clip.wav", "size": 1}
    job = {"id": "0190", "state": "running", "source": source, "created_at": "2026-01-31T12:00:00Z"}
    silence = answer(200, b"", hold=True)
    tiny_server.answer = lambda asked: silence if asked.path.endswith("events") else answer(200, job)
    analyze = run(antiphon, "analyze", str(clips / "mary.wav"), "--url", tiny_server.url)
    until(lambda: bool(tiny_server.asked_for("/v1/jobs/0190/events")), "the request to follow the job")
    analyze.signal(signal.SIGINT)
    assert analyze.end() == ExitCode.INTERRUPTED
    assert "Traceback" not in analyze.stderr()
    assert tiny_server.asked_for("/v1/jobs/0190/cancel")
