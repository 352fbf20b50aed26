"""`antiphon queue` against a server that answers as a test says, and against the real programs."""

import json
import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from antiphon_cli.errors import ExitCode
from antiphon_cli.main import app

HERE = "/v1/internal/queues/default"
JOB = "01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11"
STEERING = "<xml/>\x1b[2J\u202e\nnot a new line"
SPELT_OUT = r"<xml/>\x1b[2J\u202e\nnot a new line"

Ask = Callable[..., Result]


@pytest.fixture
def ask(tiny_server: Any) -> Ask:
    return lambda *line: CliRunner().invoke(app, ["queue", *line, "--url", tiny_server.url])


@pytest.fixture
def serve(tiny_server: Any, answer: Any) -> Callable[..., None]:
    """Answer each path with these bodies, one after the other; the last one again and again."""

    def serve(**bodies: Any) -> None:
        left = {name: list(body) if isinstance(body, list) else [body] for name, body in bodies.items()}

        def respond(asked: Any) -> Any:
            queue = left[asked.path.partition("?")[0].rpartition("/")[2]]
            return answer(200, queue.pop(0) if len(queue) > 1 else queue[0])

        tiny_server.answer = respond

    return serve


def queues(*, dead: int = 0, available: int = 0, delayed: int = 0, pool: str = "default") -> dict[str, Any]:
    counts = {"available": available, "in_flight": 7, "delayed": delayed, "dead": dead}
    return {
        "queues": [
            {"pool": pool, "priority": priority, **counts, "paused": True} for priority in ("high", "normal", "low")
        ]
    }


def sent(tiny_server: Any, what: str) -> list[Any]:
    return [json.loads(asked.body) for asked in tiny_server.asked_for(f"{HERE}/{what}")]


def test_a_paused_pools_queues_are_marked(ask: Ask, serve: Callable[..., None]) -> None:
    serve(queues=queues(dead=2))
    header, first, *_ = ask("ls").stdout.splitlines()
    assert header.split() == ["pool", "priority", "available", "in", "flight", "delayed", "dead"]
    assert first.split() == ["default", "high", "0", "7", "0", "2", "paused"]
    older = {"queues": [{key: value for key, value in queues()["queues"][0].items() if key != "paused"}]}
    serve(queues=older)
    assert "paused" not in ask("ls").stdout
    serve(queues={"queues": []})
    assert ask("ls").stderr == "No pool is registered.\n"


def test_what_waits_is_shown_and_an_unreadable_message_cannot_steer_the_terminal(
    ask: Ask, serve: Callable[..., None], tiny_server: Any
) -> None:
    readable = {"priority": "high", "job": JOB, "state": "queued", "round": 2, "deliveries": 1, "body": None}
    unreadable = {"priority": "low", "job": None, "deliveries": 0, "body": STEERING}
    serve(messages={"source": "queue", "messages": [readable, unreadable]})
    done = ask("peek", "-n", "7", "--pool", "a/b")
    header, first, second = done.stdout.splitlines()
    assert header.split() == ["priority", "round", "deliveries", "state", "job"]
    assert first.split() == ["high", "2", "1", "queued", JOB]
    assert second.rstrip().endswith(f"cannot be read: {SPELT_OUT}")
    assert done.stderr == ""
    assert tiny_server.asked[0].path == "/v1/internal/queues/a%2Fb/messages?limit=7"
    assert json.loads(ask("peek", "--json").stdout)["messages"][1]["body"] == STEERING


def test_it_is_said_when_the_store_was_asked_and_when_nothing_waits(ask: Ask, serve: Callable[..., None]) -> None:
    serve(messages={"source": "store", "messages": []})
    done = ask("peek")
    assert done.stdout == ""
    assert "the jobs that wait" in done.stderr
    assert done.stderr.endswith("Nothing waits.\n")


def test_dead_letters_are_told_with_their_reason_and_job(ask: Ask, serve: Callable[..., None]) -> None:
    died = "2026-01-31T12:00:00Z"
    of_job = {"id": "1", "reason": "audio_empty: no audio", "died_at": died, "job": JOB, "state": "failed", "body": "{"}
    gone = {**of_job, "id": "2", "state": None}
    unreadable = {**of_job, "id": "3", "reason": STEERING, "job": None, "state": None, "body": STEERING}
    serve(dead={"dead": [of_job, gone, unreadable]})
    blocks = ask("dead").stdout.split("\n\n")
    assert blocks[0].splitlines() == [
        "id:     1", f"died:   {died}", "reason: audio_empty: no audio", f"job:    {JOB} (failed)",
    ]  # fmt: skip
    assert blocks[1].splitlines()[-1] == f"job:    {JOB} (not there any more)"
    assert blocks[2].splitlines()[2:] == [f"reason: {SPELT_OUT}", f"body:   {SPELT_OUT}"]
    assert json.loads(ask("dead", "--json").stdout)["dead"][0] == of_job
    serve(dead={"dead": []})
    done = ask("dead")
    assert (done.stdout, done.stderr) == ("", "No dead letters.\n")


def test_dead_letters_are_redriven_by_their_ids(ask: Ask, serve: Callable[..., None], tiny_server: Any) -> None:
    serve(redrive=[{"redriven": 1, "skipped": []}, {"redriven": 1, "skipped": [{"id": "b", "reason": "gone"}]}])
    assert ask("redrive", "a").stdout == "1 dead letter redriven\n"
    done = ask("redrive", "a", "b", "--json")
    assert done.exit_code == ExitCode.FAILED, "one that was named was not tried again"
    assert json.loads(done.stdout) == {"redriven": 1, "skipped": [{"id": "b", "reason": "gone"}]}
    done = ask("redrive", "a", "b")
    assert done.stderr == "b not tried again: gone\n"
    assert sent(tiny_server, "redrive") == [{"ids": ["a"]}, {"ids": ["a", "b"]}, {"ids": ["a", "b"]}]


def test_all_dead_letters_are_redriven_but_not_those_that_die_again_meanwhile(
    ask: Ask, serve: Callable[..., None], tiny_server: Any
) -> None:
    skipped = [{"id": "x", "reason": "gone"}]
    serve(queues=queues(dead=500), redrive=[{"redriven": 999, "skipped": skipped}, {"redriven": 500, "skipped": []}])
    done = ask("redrive", "--all")
    assert (done.exit_code, done.stdout) == (ExitCode.OK, "1499 dead letters redriven\n")
    assert sent(tiny_server, "redrive") == [{"limit": 1000}, {"limit": 500}]


def test_a_redrive_ends_although_fewer_are_dead_than_were_counted(
    ask: Ask, serve: Callable[..., None], tiny_server: Any
) -> None:
    serve(queues=queues(dead=5), redrive=[{"redriven": 3, "skipped": []}, {"redriven": 0, "skipped": []}])
    assert ask("redrive", "--all").stdout == "3 dead letters redriven\n"
    assert len(sent(tiny_server, "redrive")) == 2


@pytest.mark.parametrize("line", [["redrive"], ["redrive", "a", "--all"], ["purge"], ["peek", "-n", "0"]])
def test_wrong_usage_asks_the_server_nothing(ask: Ask, tiny_server: Any, line: list[str]) -> None:
    assert ask(*line).exit_code == ExitCode.USAGE
    assert tiny_server.asked == []


def test_a_purge_goes_on_until_it_is_complete(ask: Ask, serve: Callable[..., None], tiny_server: Any) -> None:
    part = {"cancelled": 3, "removed": 2, "complete": False}
    serve(purge=[part, part, {"cancelled": 0, "removed": 1, "complete": True}])
    assert ask("purge", "--yes", "--priority", "low").stdout == "6 jobs cancelled, 5 messages removed\n"
    assert sent(tiny_server, "purge") == [{"priority": "low"}] * 3


def test_a_purge_that_comes_no_further_ends(ask: Ask, serve: Callable[..., None], tiny_server: Any) -> None:
    serve(purge={"cancelled": 0, "removed": 0, "complete": False})
    done = ask("purge", "--yes", "--json")
    assert json.loads(done.stdout) == {"cancelled": 0, "removed": 0, "complete": False}
    assert sent(tiny_server, "purge") == [{}]


@pytest.mark.parametrize(("reply", "purged"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False)])
def test_a_person_is_asked_before_a_purge(
    antiphon: str, serve: Callable[..., None], tiny_server: Any, reply: str, purged: bool
) -> None:
    serve(queues=queues(available=2, delayed=1), purge={"cancelled": 9, "removed": 9, "complete": True})
    keyboard, terminal = pty.openpty()
    command = [antiphon, "queue", "purge", "--url", tiny_server.url, "--json"]
    try:
        os.write(keyboard, reply.encode())
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, timeout=30, check=False)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert "9 messages in the queue of default: cancel the jobs that wait?" in done.stderr
    assert done.returncode == (ExitCode.OK if purged else ExitCode.FAILED)
    assert len(sent(tiny_server, "purge")) == purged
    assert done.stdout == ('{"cancelled": 9, "removed": 9, "complete": true}\n' if purged else "")


def test_the_question_counts_the_priority_that_was_asked_for(
    antiphon: str, serve: Callable[..., None], tiny_server: Any
) -> None:
    serve(queues=queues(available=2, delayed=1))
    keyboard, terminal = pty.openpty()
    command = [antiphon, "queue", "purge", "--url", tiny_server.url, "--priority", "low"]
    try:
        os.write(keyboard, b"n\n")
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, timeout=30, check=False)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert "3 messages of priority low in the queue of default" in done.stderr
    assert done.stderr.endswith("Nothing was purged.\n")


def test_a_pause_tells_how_the_pool_stands(ask: Ask, serve: Callable[..., None], tiny_server: Any) -> None:
    pool = {"name": "default", "paused": True, "backlog": {"queued": 1, "running": 2}}
    serve(pause=pool, resume={**pool, "paused": False})
    assert ask("pause").stdout == "default is paused; 1 job queued, 2 running\n"
    assert ask("resume").stdout == "default is not paused; 1 job queued, 2 running\n"
    assert json.loads(ask("pause", "--json").stdout) == pool
    assert [asked.method for asked in tiny_server.asked] == ["POST"] * 3


# --- with the real programs


@pytest.fixture(scope="module")
def there(antiphon: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Run a command against a real `antiphon up`, whose token the command finds in its data directory."""
    data = str(tmp_path_factory.mktemp("data"))
    command = [antiphon, "up", "--port", "0", "--data", data, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as up:
        assert up.stdout is not None
        try:
            url = json.loads(up.stdout.readline())["url"]
            environment = {"ANTIPHON_URL": url, "ANTIPHON_DATA": data}
            yield lambda *line: CliRunner().invoke(app, [str(word) for word in line], env=environment)
        finally:
            up.terminate()
            assert up.wait(30) == 0


def test_a_queue_is_paused_looked_into_purged_and_resumed(
    there: Ask, clips: Path, until: Callable[[Callable[[], bool], str], None]
) -> None:
    def waiting() -> list[Any]:
        return [message["job"] for message in json.loads(there("queue", "peek", "--json").stdout)["messages"]]

    assert json.loads(there("queue", "pause", "--json").stdout)["paused"] is True
    low, high = [there("submit", clips / "bobby.wav", "--priority", p, "-q").stdout.strip() for p in ("low", "high")]
    until(lambda: waiting() == [high, low], "both wait, in the order of their turn")
    assert there("queue", "purge", "--priority", "low", "--yes").stdout == "1 job cancelled, 1 message removed\n"
    assert json.loads(there("status", low, "--json").stdout)["state"] == "cancelled"
    assert there("queue", "resume").exit_code == ExitCode.OK
    assert there("status", high, "--follow", "-q").exit_code == ExitCode.OK


def test_a_dead_letter_is_seen_and_redriven(there: Ask, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("this is no recording")
    job = there("submit", text, "--wait", "-q").stdout.strip()

    def dead() -> list[Any]:
        letters: list[Any] = json.loads(there("queue", "dead", "--json").stdout)["dead"]
        return letters

    [letter] = dead()
    assert (letter["job"], letter["state"]) == (job, "failed")
    assert there("queue", "redrive", letter["id"]).stdout == "1 dead letter redriven\n"
    assert there("status", job, "--follow", "-q").exit_code == ExitCode.FAILED
    assert json.loads(there("status", job, "--json").stdout)["round"] == 2
    refused = there("queue", "dead", "--pool", "nowhere")
    assert refused.exit_code == ExitCode.NOT_FOUND
