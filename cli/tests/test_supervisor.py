"""The supervisor, in a process of its own, with small real programs under it."""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon_cli.supervisor.logs import last_words

PROGRAMS = Path(__file__).parent / "programs"
Until = Callable[[Callable[[], bool], str], None]
IsAlive = Callable[[int], bool]
Supervise = Callable[..., Any]


def stand_in(name: str, *options: str, grace: float = 10.0) -> dict[str, object]:
    command = [sys.executable, str(PROGRAMS / "stand_in.py"), "--lifeline", "{lifeline}", "--port", "{health_port}"]
    return {
        "name": name,
        "command": [*command, *options],
        "ready": "http://127.0.0.1:{health_port}/readyz",
        "grace": grace,
    }


@pytest.fixture
def supervise(run: Callable[..., Any], tmp_path: Path) -> Supervise:
    def start(*programs: dict[str, object], **policy: float) -> Any:
        told = json.dumps({"programs": programs, "logs": str(tmp_path / "logs"), "policy": policy})
        return run(sys.executable, str(PROGRAMS / "supervisor.py"), stdin=told)

    return start


def test_it_tells_once_when_all_programs_are_ready(supervise: Supervise, is_alive: IsAlive) -> None:
    supervisor = supervise(stand_in("api"), stand_in("worker"))
    pids = supervisor.hear("ready")["pids"]
    assert set(pids) == {"api", "worker"}
    assert all(is_alive(pid) for pid in pids.values())


def test_a_program_that_is_killed_is_started_again(supervise: Supervise, is_alive: IsAlive) -> None:
    supervisor = supervise(stand_in("api"), stand_in("worker"))
    pids = supervisor.hear("ready")["pids"]
    os.kill(pids["worker"], signal.SIGKILL)
    died = supervisor.hear("died")
    back = supervisor.hear("back")
    assert (died["program"], died["pid"], died["status"], died["restarts"]) == ("worker", pids["worker"], -9, 1)
    assert back["program"] == "worker"
    assert back["pid"] != pids["worker"]
    assert is_alive(back["pid"])
    assert is_alive(pids["api"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_programs_and_then_the_supervisor(
    supervise: Supervise, is_alive: IsAlive, number: signal.Signals
) -> None:
    supervisor = supervise(stand_in("api"), stand_in("worker"))
    pids = supervisor.hear("ready")["pids"]
    supervisor.signal(number)
    assert supervisor.end() == 0
    assert not any(is_alive(pid) for pid in pids.values())
    assert "killed" not in {line["event"] for line in supervisor.heard}


def test_a_ctrl_c_on_the_terminal_reaches_the_supervisor_alone(supervise: Supervise) -> None:
    """The terminal signals its foreground process group, and a program that got it would not finish what it does."""
    supervisor = supervise(stand_in("worker", "--deaf", grace=0.2))
    pid = supervisor.hear("ready")["pids"]["worker"]
    os.killpg(os.getpgid(supervisor.process.pid), signal.SIGINT)
    assert supervisor.hear("killed")["pid"] == pid
    assert supervisor.end() == 0


def test_programs_end_when_the_supervisor_is_killed(supervise: Supervise, until: Until, is_alive: IsAlive) -> None:
    supervisor = supervise(stand_in("api"), stand_in("worker", "--deaf"))
    pids = supervisor.hear("ready")["pids"]
    supervisor.signal(signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in pids.values()), "the end of both programs")


def test_a_program_that_does_not_hear_is_ended_by_force_after_its_grace(
    supervise: Supervise, is_alive: IsAlive
) -> None:
    supervisor = supervise(stand_in("api"), stand_in("worker", "--deaf", grace=0.2))
    pids = supervisor.hear("ready")["pids"]
    supervisor.signal(signal.SIGINT)
    assert supervisor.hear("killed") == {"event": "killed", "program": "worker", "pid": pids["worker"]}
    assert supervisor.end() == 0
    assert not any(is_alive(pid) for pid in pids.values())


def test_a_second_signal_hurries(supervise: Supervise, is_alive: IsAlive) -> None:
    supervisor = supervise(stand_in("worker", "--deaf", grace=3600))
    pid = supervisor.hear("ready")["pids"]["worker"]
    supervisor.signal(signal.SIGINT)
    supervisor.hear("stopping")
    supervisor.signal(signal.SIGINT)
    assert supervisor.end() == 0
    assert not is_alive(pid)


def test_what_a_program_left_running_ends_with_it(supervise: Supervise, until: Until) -> None:
    supervisor = supervise(stand_in("worker", "--orphan"))
    pid = supervisor.hear("ready")["pids"]["worker"]
    os.kill(pid, signal.SIGKILL)
    supervisor.hear("back")

    def group_is_gone() -> bool:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        return False

    until(group_is_gone, "the end of the orphan")
    supervisor.signal(signal.SIGTERM)
    assert supervisor.end() == 0


def test_a_program_that_dies_at_once_again_and_again_ends_everything(supervise: Supervise, is_alive: IsAlive) -> None:
    supervisor = supervise(stand_in("api"), stand_in("worker", "--exit", "1"), base=0.01, failed_starts=3)
    message = supervisor.hear("gaveup")["message"]
    assert message.startswith("the worker failed to start 3 times, last with exit code 1: the reason for 1")
    assert "worker.log" in message
    assert supervisor.end() == 1
    assert [line["restart_in"] for line in supervisor.heard if line["event"] == "died"] == [0.01, 0.02]


def test_a_program_that_dies_late_without_ever_being_ready_failed_to_start(supervise: Supervise) -> None:
    supervisor = supervise(stand_in("worker", "--exit", "1"), base=0.01, failed_starts=3, settled=0.001)
    assert "failed to start 3 times" in supervisor.hear("gaveup")["message"]


def test_a_program_that_refuses_its_settings_is_not_tried_again(supervise: Supervise) -> None:
    supervisor = supervise(stand_in("api"), stand_in("worker", "--exit", str(os.EX_CONFIG)))
    message = supervisor.hear("gaveup")["message"]
    assert message.startswith(f"the reason for {os.EX_CONFIG}\nFor more, see ")
    assert "died" not in {line["event"] for line in supervisor.heard}
    assert supervisor.end() == 1


def test_a_listening_socket_outlives_its_program(run: Callable[..., Any], tmp_path: Path, supervise: Supervise) -> None:
    """A client that connects between two lives of the API waits for the next one, and is not refused."""
    program = PROGRAMS / "socket_owner.py"
    supervisor = run(sys.executable, str(program), str(PROGRAMS / "stand_in.py"), str(tmp_path))
    ready = supervisor.hear("ready")
    os.kill(ready["pids"]["api"], signal.SIGKILL)
    supervisor.hear("died")
    assert httpx.get(ready["url"], timeout=10, trust_env=False).status_code == 200
    supervisor.signal(signal.SIGTERM)
    assert supervisor.end() == 0
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", ready["port"]), timeout=1):
        pass


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ('{"event": "worker ready", "level": "info"}\n', ""),
        ('{"event": "no engine", "level": "error", "reason": "no model"}\n', "no engine: no model"),
        ('{"event": "x", "level": "error", "exception": "Traceback\\n  y\\nValueError: z"}\n', "x: ValueError: z"),
        ('{"event": "x", "level": "error"}\n{"event": "bye", "level": "info"}\n', "x"),
        ("Traceback (most recent call last):\n  ...\nValueError: z\n\n", "ValueError: z"),
    ],
)
def test_last_words_are_the_last_error_or_plain_line(log: str, words: str) -> None:
    assert last_words(log) == words
