"""`antiphon up` with the real programs."""

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon_cli.errors import AlreadyRunning
from antiphon_cli.supervisor.claim import sole_supervisor
from antiphon_cli.supervisor.listener import listen

Run = Callable[..., Any]
Until = Callable[[Callable[[], bool], str], None]
IsAlive = Callable[[int], bool]


def test_it_serves_survives_a_crash_and_leaves_nothing_behind(
    run: Run, antiphon: str, tmp_path: Path, is_alive: IsAlive
) -> None:
    up = run(antiphon, "up", "--port", "0", "--data", str(tmp_path), "--json")
    ready = up.hear("ready")
    assert ready["pids"]["supervisor"] == up.process.pid
    assert httpx.get(f"{ready['url']}/readyz", trust_env=False).status_code == 200
    [pool] = httpx.get(f"{ready['url']}/v1/pools", trust_env=False).json()["pools"]
    assert (pool["name"], pool["model"], pool["concurrency"]) == ("default", "tiny.en", 1)

    os.kill(ready["pids"]["api"], signal.SIGKILL)
    died, back = up.hear("died"), up.hear("back")
    assert (died["program"], died["how"], back["program"]) == ("api", "killed by SIGKILL", "api")
    assert httpx.get(f"{ready['url']}/readyz", trust_env=False).status_code == 200

    up.signal(signal.SIGINT)
    up.hear("stopped")
    assert up.end() == 0
    assert not any(is_alive(pid) for pid in [ready["pids"]["worker"], back["pid"]])
    with pytest.raises(httpx.ConnectError):
        httpx.get(ready["url"], trust_env=False)
    logs = sorted(Path(ready["logs"]).iterdir())
    assert [log.name for log in logs] == ["api.log", "worker.log"]
    assert {stat.S_IMODE(log.stat().st_mode) for log in logs} == {0o600}


def test_when_it_is_killed_its_programs_end_and_it_can_be_started_again_at_the_same_port(
    run: Run, antiphon: str, tmp_path: Path, is_alive: IsAlive, until: Until
) -> None:
    up = run(antiphon, "up", "--port", "0", "--data", str(tmp_path), "--json")
    ready = up.hear("ready")
    up.signal(signal.SIGKILL)
    again = run(antiphon, "up", "--port", ready["url"].rpartition(":")[2], "--data", str(tmp_path), "--json")
    assert again.hear("ready")["url"] == ready["url"]
    programs = (ready["pids"]["api"], ready["pids"]["worker"])
    until(lambda: not any(is_alive(pid) for pid in programs), "the end of the first one's programs")
    again.signal(signal.SIGTERM)
    assert again.end() == 0


def test_a_port_in_use_is_one_clear_line(run: Run, antiphon: str, tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        up = run(antiphon, "up", "--port", str(port), "--data", str(tmp_path))
        assert up.end() == 1
    assert (
        up.stderr() == f"Error: port {port} on 127.0.0.1 is in use; choose another with --port (0 takes a free one)\n"
    )


def test_a_data_directory_has_one_supervisor(run: Run, antiphon: str, tmp_path: Path) -> None:
    with sole_supervisor(tmp_path) as claim:
        claim.tell("http://127.0.0.1:8080")
        up = run(antiphon, "up", "--port", "0", "--data", str(tmp_path))
        assert up.end() == 1
    words = up.stderr()
    assert words.startswith(f"Error: another `antiphon up` (process {os.getpid()}, http://127.0.0.1:8080) uses")
    assert words.count("\n") == 1


def test_a_data_directory_that_cannot_be_used_is_one_clear_line(run: Run, antiphon: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    up = run(antiphon, "up", "--port", "0", "--data", str(tmp_path / "file" / "data"))
    assert up.end() == 1
    assert "name another with --data or ANTIPHON_DATA" in up.stderr()


def test_a_store_that_cannot_be_used_is_one_clear_line(run: Run, antiphon: str, tmp_path: Path) -> None:
    up = run(antiphon, "up", "--port", "0", "--data", str(tmp_path), env={**os.environ, "ANTIPHON_STORE_URL": "x:y"})
    assert up.end() == 1
    assert "ANTIPHON_STORE_URL" in up.stderr()
    assert "Traceback" not in up.stderr()


def test_the_lock_tells_whether_the_last_supervisor_was_killed(tmp_path: Path) -> None:
    with sole_supervisor(tmp_path) as claim:
        assert not claim.predecessor_died
        claim.tell("http://127.0.0.1:1")
        with pytest.raises(AlreadyRunning), sole_supervisor(tmp_path):
            pass
    with sole_supervisor(tmp_path) as claim:
        assert not claim.predecessor_died
    (tmp_path / "supervisor.lock").write_text(json.dumps({"pid": 1, "url": "http://127.0.0.1:1"}))
    with sole_supervisor(tmp_path) as claim:
        assert claim.predecessor_died
