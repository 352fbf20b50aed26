import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from antiphon.resource import Verdict
from antiphon_cli.doctor.machine import data_directory, model
from antiphon_cli.errors import ExitCode
from antiphon_cli.main import app
from antiphon_cli.supervisor.listener import free_port


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Any]]:
    """What the doctor says, as JSON, in an installation that is not made yet."""
    monkeypatch.setenv("ANTIPHON_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ANTIPHON_LISTEN_PORT", str(free_port()))

    def ask(**environment: str) -> tuple[int, Any]:
        done = CliRunner().invoke(app, ["doctor", "--json"], env=environment)
        return done.exit_code, json.loads(done.stdout)

    return ask


def verdicts(said: Any) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in said["checks"]}


def test_a_fresh_machine_is_well_and_stays_untouched(doctor: Callable[..., Any], tmp_path: Path) -> None:
    code, said = doctor()
    assert code == ExitCode.OK
    assert set(verdicts(said).values()) == {"ok"}
    assert {"python", "packages", "data directory", "store", "queue", "blobs", "events", "model", "address"} <= set(
        verdicts(said)
    )
    assert not (tmp_path / "data").exists()


def test_every_setting_is_told_with_its_value_and_source(doctor: Callable[..., Any], tmp_path: Path) -> None:
    _, said = doctor(ANTIPHON_SLOTS="3")
    settings = {each["variable"]: each for each in said["settings"]}
    assert (settings["ANTIPHON_SLOTS"]["value"], settings["ANTIPHON_SLOTS"]["source"]) == ("3", "environment")
    assert (settings["ANTIPHON_MODEL"]["value"], settings["ANTIPHON_MODEL"]["source"]) == ("tiny.en", "default")
    assert settings["ANTIPHON_DATA"]["programs"] == ["api", "worker"]
    assert settings["ANTIPHON_STORE_URL"]["value"] == f"sqlite:///{tmp_path / 'data' / 'store.db'}"


def test_secrets_are_never_told(doctor: Callable[..., Any]) -> None:
    code, said = doctor(ANTIPHON_STORE_URL="mysql://ann:hunter2@host/db", ANTIPHON_URL="http://me:hunter2@127.0.0.1:1")
    assert code == ExitCode.FAILED
    assert "hunter2" not in json.dumps(said)


def test_a_wrong_value_fails_under_the_name_of_its_variable(doctor: Callable[..., Any]) -> None:
    code, said = doctor(ANTIPHON_SLOTS="many")
    assert code == ExitCode.FAILED
    [failure] = [check for check in said["checks"] if check["verdict"] == "fail"]
    assert failure["name"] == "settings of the worker"
    assert failure["finding"].startswith("ANTIPHON_SLOTS: ")


def test_a_variable_that_nobody_reads_is_a_warning(doctor: Callable[..., Any]) -> None:
    code, said = doctor(ANTIPHON_SLOT="3")
    assert code == ExitCode.OK
    [warning] = [check for check in said["checks"] if check["verdict"] == "warn"]
    assert "ANTIPHON_SLOT" in warning["finding"]


def test_a_store_is_asked_for_its_schema_and_pools(doctor: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "store.db").touch()
    code, said = doctor()
    assert (code, verdicts(said)["store"]) == (ExitCode.FAILED, "fail")
    assert CliRunner().invoke(app, ["migrate"]).exit_code == ExitCode.OK
    code, said = doctor()
    assert (code, verdicts(said)["store"]) == (ExitCode.OK, "ok")


def test_another_program_at_our_address_is_a_warning(doctor: Callable[..., Any], tiny_server: Any) -> None:
    port = tiny_server.url.rpartition(":")[2]
    code, said = doctor(ANTIPHON_LISTEN_PORT=port)
    assert (code, verdicts(said)["address"]) == (ExitCode.OK, "warn")


def test_antiphon_at_our_address_is_well(doctor: Callable[..., Any], tiny_server: Any, answer: Any) -> None:
    tiny_server.answer = lambda _: answer(200, {"queues": []})
    _, said = doctor(ANTIPHON_LISTEN_PORT=tiny_server.url.rpartition(":")[2])
    assert verdicts(said)["address"] == "ok"


def test_a_server_that_does_not_answer_fails(doctor: Callable[..., Any]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        code, said = doctor(ANTIPHON_URL=f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert (code, verdicts(said)["server"]) == (ExitCode.FAILED, "fail")


def test_a_model_that_is_not_on_this_machine_is_a_warning_without_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert model("large-v3").verdict is Verdict.WARN
    assert model("tiny.en").verdict is Verdict.OK


def test_a_model_that_is_nowhere_fails_where_the_hub_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert model("large-v3").verdict is Verdict.FAIL


def test_a_data_directory_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert data_directory(tmp_path / "file" / "data").verdict is Verdict.FAIL
    assert data_directory(tmp_path / "not" / "there" / "yet").verdict is Verdict.OK


def test_people_get_a_line_for_each_check_with_what_to_do(
    doctor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_SLOT", "3")
    done = CliRunner().invoke(app, ["doctor", "--quiet"])
    assert done.stdout.splitlines() == [
        "warn environment: set, but nobody reads it: ANTIPHON_SLOT",
        "     Check the spelling against the settings above.",
    ]
