"""The internal token of an installation on this machine: made once, found by the commands, told to nobody else."""

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from antiphon_api.settings import ApiSettings
from antiphon_cli import token
from antiphon_cli.client import is_here
from antiphon_cli.errors import CommandError, ExitCode, SupervisorError, UsageError
from antiphon_cli.main import app

GIVEN = "correct-horse-battery-staple"


def test_it_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    made = token.ensure(tmp_path)
    assert token.ensure(tmp_path) == made
    [file] = tmp_path.iterdir()
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == ("internal-token", 0o600)
    assert token.ensure(_new(tmp_path / "another")) != made
    assert ApiSettings(internal_token=made).internal_token is not None


def test_a_start_that_was_cut_short_leaves_no_half_a_token(tmp_path: Path) -> None:
    (tmp_path / "internal-token.new").write_text("hal")
    (tmp_path / "internal-token").touch()
    assert len(token.ensure(tmp_path)) > 32
    assert [path.name for path in tmp_path.iterdir()] == ["internal-token"]


def test_a_place_that_cannot_hold_it_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "internal-token").mkdir()
    with pytest.raises(SupervisorError, match="cannot keep the internal token in"):
        token.ensure(tmp_path)


def test_the_environment_goes_before_the_file_and_the_file_is_for_this_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_DATA", str(tmp_path))
    assert token.find(here=True) is None
    made = token.ensure(tmp_path)
    assert token.find(here=True) == made
    assert token.find(here=False) is None
    monkeypatch.setenv("ANTIPHON_INTERNAL_TOKEN", GIVEN)
    assert token.find(here=True) == token.find(here=False) == GIVEN
    monkeypatch.setenv("ANTIPHON_INTERNAL_TOKEN", "")
    assert token.find(here=True) == made


def test_the_file_is_looked_for_where_antiphon_up_keeps_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    made = token.ensure(_new(tmp_path / "antiphon"))
    assert token.find(here=True) == made


@pytest.mark.parametrize("given", ["with a space", "with-a-line-end\n", "naïve-letters"])
def test_what_no_request_can_carry_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ANTIPHON_INTERNAL_TOKEN", given)
    with pytest.raises(UsageError) as error:
        token.find(here=False)
    assert given.strip() not in str(error.value)


def test_a_file_that_cannot_be_read_is_an_error_and_not_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_DATA", str(tmp_path))
    (tmp_path / "internal-token").mkdir()
    with pytest.raises(CommandError, match="cannot read the internal token in"):
        token.find(here=True)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:8080", True),
        ("http://localhost:8080", True),
        ("https://antiphon.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://127.0.0.1@example.com", False),
        ("http://10.0.0.1:8080", False),
        ("http://0.0.0.0:8080", False),
        ("http://host:port", False),
    ],
)
def test_this_machine_is_the_loopback_address_and_nothing_else(url: str, here: bool) -> None:
    assert is_here(url) is here


def test_only_what_wants_the_token_gets_it(tiny_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_INTERNAL_TOKEN", GIVEN)
    for line in ("queue dead", "queue ls", "jobs", "queue pause"):
        CliRunner().invoke(app, [*line.split(), "--url", tiny_server.url])
    sent = {asked.path.partition("?")[0]: asked.headers.get("Authorization") for asked in tiny_server.asked}
    assert sent == {
        "/v1/internal/queues/default/dead": f"Bearer {GIVEN}",
        "/v1/internal/queues/default/pause": f"Bearer {GIVEN}",
        "/v1/queues": None,
        "/v1/jobs": None,
    }


def test_a_refusal_says_where_the_token_comes_from(tiny_server: Any, answer: Any) -> None:
    problem = {"detail": "this takes the installation's internal token", "code": "token_required"}
    tiny_server.answer = lambda _: answer(401, problem, media_type="application/problem+json")
    done = CliRunner().invoke(app, ["queue", "dead", "--url", tiny_server.url])
    assert (done.exit_code, done.stdout) == (ExitCode.FAILED, "")
    assert done.stderr.startswith("Error: this takes the installation's internal token (token_required, HTTP 401)\n")
    assert "ANTIPHON_INTERNAL_TOKEN" in done.stderr
    assert "ANTIPHON_DATA" in done.stderr


def test_up_makes_the_token_keeps_it_and_shows_it_to_nobody(
    run: Callable[..., Any], antiphon: str, tmp_path: Path
) -> None:
    up = run(antiphon, "up", "--port", "0", "--data", str(tmp_path), "--json")
    ready = up.hear("ready")
    made = (tmp_path / "internal-token").read_text().strip()
    path = f"{ready['url']}/v1/internal/queues/default/dead"
    assert httpx.get(path, headers={"Authorization": f"Bearer {made}"}, trust_env=False).status_code == 200
    assert httpx.get(path, trust_env=False).status_code == 401
    if sys.platform == "linux":
        for pid in ready["pids"].values():
            assert made not in Path(f"/proc/{pid}/cmdline").read_text()
    up.close()
    said = json.dumps(up.heard) + up.stderr() + "".join(log.read_text() for log in (tmp_path / "logs").iterdir())
    assert made not in said


def test_up_passes_on_the_token_that_it_was_given(run: Callable[..., Any], antiphon: str, tmp_path: Path) -> None:
    up = run(
        *(antiphon, "up", "--port", "0", "--data", str(tmp_path), "--json"),
        env={**os.environ, "ANTIPHON_INTERNAL_TOKEN": GIVEN},
    )
    path = f"{up.hear('ready')['url']}/v1/internal/queues/default/dead"
    assert httpx.get(path, headers={"Authorization": f"Bearer {GIVEN}"}, trust_env=False).status_code == 200
    assert not (tmp_path / "internal-token").exists()


def test_a_token_that_is_too_short_stops_the_start_without_showing_it(
    run: Callable[..., Any], antiphon: str, tmp_path: Path
) -> None:
    up = run(
        *(antiphon, "up", "--port", "0", "--data", str(tmp_path), "--json"),
        env={**os.environ, "ANTIPHON_INTERNAL_TOKEN": "hunter2"},
    )
    assert up.end() == ExitCode.FAILED
    assert "ANTIPHON_INTERNAL_TOKEN: a token is made of 16 or more" in up.stderr()
    assert "hunter2" not in up.stderr()


@pytest.mark.parametrize("given", [GIVEN, "hunter2"])
def test_the_doctor_tells_that_it_is_set_and_not_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("ANTIPHON_DATA", str(tmp_path))
    monkeypatch.setenv("ANTIPHON_INTERNAL_TOKEN", given)
    said = CliRunner().invoke(app, ["doctor", "--json"]).stdout
    assert given not in said
    [setting] = [each for each in json.loads(said)["settings"] if each["variable"] == "ANTIPHON_INTERNAL_TOKEN"]
    assert (setting["value"], setting["source"], setting["programs"]) == ("***", "environment", ["api", "cli"])


def _new(directory: Path) -> Path:
    directory.mkdir()
    return directory
