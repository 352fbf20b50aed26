"""The commands as a user types them, against the real programs of one `antiphon up`."""

import csv
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from antiphon_cli.errors import ExitCode
from antiphon_cli.main import app

Command = Callable[..., Result]
WORDS = "He was not"  # how librivox_0880 begins
SAID = "Mary rolled the barrel."  # mary


@pytest.fixture(scope="module")
def server(antiphon: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an all-in-one."""
    command = [antiphon, "up", "--port", "0", "--data", str(tmp_path_factory.mktemp("data")), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as up:
        assert up.stdout is not None
        try:
            yield json.loads(up.stdout.readline())["url"]
        finally:
            up.send_signal(signal.SIGINT)
            assert up.wait(30) == 0


@pytest.fixture(scope="module")
def here() -> Command:
    """Run a command without a server."""
    runner = CliRunner()

    def command(*arguments: object, **environment: str) -> Result:
        done = runner.invoke(app, [str(argument) for argument in arguments], env=environment)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return command


@pytest.fixture(scope="module")
def there(here: Command, server: str) -> Command:
    """Run a command against the server."""
    return lambda *arguments: here(*arguments, ANTIPHON_URL=server)


@pytest.fixture(scope="module")
def done_job(there: Command, clips: Path) -> str:
    """The id of a job that has succeeded."""
    return there("submit", clips / "mary.wav", "--wait", "-q").stdout.strip()


def objects(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_recording_is_submitted_followed_and_fetched(there: Command, clips: Path) -> None:
    [accepted] = objects(there("submit", clips / "librivox_0880.wav", "--json", "--metadata", "lesson=12"))
    assert accepted["state"] == "queued"
    followed = objects(there("status", accepted["id"], "--follow", "--json"))
    assert [line["job"]["state"] for line in followed if line["event"] == "state"] == ["queued", "running"]
    assert followed[-1]["event"] == "result"
    assert followed[-1]["job"]["metadata"] == {"lesson": "12"}
    assert there("result", accepted["id"]).stdout.startswith(WORDS)
    assert json.loads(there("result", accepted["id"], "--json").stdout)["text"].startswith(WORDS)


def test_a_job_is_kept_as_long_as_was_asked_for_and_its_status_tells_until_when(there: Command, clips: Path) -> None:
    for asked, seconds in (("ephemeral", 3600), ("86400", 86400)):
        job = there("submit", clips / "mary.wav", "--retention", asked, "--wait", "-q").stdout.strip()
        [seen] = objects(there("status", job, "--json"))
        assert seen["retention_seconds"] == seconds
        until = seen["retained_until"].replace("T", " ").partition(".")[0]
        assert f"kept until: {until} UTC" in there("status", job).stdout.splitlines()
    refused = there("submit", clips / "mary.wav", "--retention", "forever")
    assert (refused.exit_code, refused.stdout) == (ExitCode.FAILED, "")
    assert "/options/retention" in refused.stderr


def test_a_job_under_a_legal_hold_has_no_end_of_its_time(here: Command, tiny_server: Any, answer: Any) -> None:
    job = {
        "id": "01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11",
        "state": "succeeded",
        "source": {"name": "clip.wav", "size": 3},
        "created_at": "2026-01-31T12:00:00Z",
        "retained_until": "2026-03-02T12:00:00Z",
    }
    for held, until in ((True, "its legal hold is lifted"), (False, "2026-03-02 12:00:00 UTC")):
        tiny_server.answer = lambda _, held=held: answer(200, {**job, "legal_hold": held})
        assert f"kept until: {until}" in here("status", job["id"], ANTIPHON_URL=tiny_server.url).stdout.splitlines()


def test_waiting_tells_the_progress_in_plain_lines_where_there_is_no_terminal(there: Command, clips: Path) -> None:
    done = there("submit", clips / "mary.wav", "--wait")
    assert done.exit_code == ExitCode.OK
    lines = done.stderr.splitlines()
    assert lines[0].endswith("mary.wav: queued (0 %)")
    assert lines[-1].endswith("mary.wav: succeeded")


def test_results_are_written_beside_each_other_under_the_name_of_the_recording(
    there: Command, done_job: str, tmp_path: Path
) -> None:
    done = there("result", done_job, "--out", tmp_path / "out")
    names = ["mary.TextGrid", "mary.json", "mary.pitch.csv", "mary.srt", "mary.txt", "mary.vtt"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert sorted(Path(line).name for line in done.stdout.splitlines()) == names
    with (tmp_path / "out" / "mary.pitch.csv").open() as file:
        assert len(list(csv.reader(file))) > 100


def test_jobs_are_listed_newest_first_and_by_state(there: Command, done_job: str) -> None:
    newest = objects(there("jobs", "--json"))
    assert [job["id"] for job in newest] == sorted((job["id"] for job in newest), reverse=True)
    assert done_job in {job["id"] for job in newest}
    table = there("jobs", "--state", "succeeded").stdout.splitlines()
    assert table[0].split() == ["job", "state", "seconds", "created", "recording"]
    assert [done_job, "succeeded", "1.9"] in [line.split()[:3] for line in table]
    assert there("jobs", "--state", "expired").stderr == "No jobs.\n"


def test_the_queues_are_shown_by_pool_and_priority(there: Command) -> None:
    [found] = objects(there("queue", "ls", "--json"))
    assert [(each["pool"], each["priority"]) for each in found["queues"]] == [
        ("default", "high"),
        ("default", "normal"),
        ("default", "low"),
    ]
    assert there("queue", "ls").stdout.splitlines()[1].split() == ["default", "high", "0", "0", "0", "0"]


def test_a_job_that_succeeded_can_be_neither_cancelled_nor_redriven_but_deleted(there: Command, done_job: str) -> None:
    for command in ("cancel", "redrive"):
        refused = there(command, done_job)
        assert (refused.exit_code, refused.stdout) == (ExitCode.FAILED, "")
        assert "job_succeeded, HTTP 409" in refused.stderr
    assert objects(there("delete", done_job, "--json")) == [{"id": done_job, "deleted": True}]
    assert there("status", done_job).exit_code == ExitCode.NOT_FOUND


def test_a_job_that_was_cancelled_can_be_redriven(there: Command, clips: Path) -> None:
    busy, waiting = there("submit", clips / "librivox_0870.wav", clips / "mary.wav").stdout.split()
    assert objects(there("cancel", waiting, "--json"))[0]["state"] == "cancelled"
    assert there("status", waiting, "--follow").exit_code == ExitCode.FAILED
    assert objects(there("redrive", waiting, "--json"))[0]["round"] == 2
    assert there("status", waiting, "--follow", "-q").exit_code == ExitCode.OK
    assert there("status", busy, "--follow", "-q").exit_code == ExitCode.OK


def test_a_job_that_failed_says_why(there: Command, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("this is no recording")
    done = there("submit", text, "--wait")
    assert done.exit_code == ExitCode.FAILED
    assert "failed: " in done.stderr
    assert "(audio_undecodable)" in done.stderr


def test_options_that_the_server_refuses_are_named(there: Command, clips: Path) -> None:
    done = there("submit", clips / "mary.wav", "--language", "xx", "--pipeline", "transcribe,score")
    assert (done.exit_code, done.stdout) == (ExitCode.FAILED, "")
    assert "/options/language: " in done.stderr
    assert "HTTP 422" in done.stderr


def test_a_job_that_is_not_there_is_not_found(there: Command) -> None:
    done = there("status", "no-such-job")
    assert done.exit_code == ExitCode.NOT_FOUND
    assert done.stderr == "Error: there is no job no-such-job (job_not_found, HTTP 404)\n"


@pytest.mark.parametrize("place", ["here", "there"])
def test_recordings_are_analysed_here_and_there_alike(
    place: str, request: pytest.FixtureRequest, clips: Path, tmp_path: Path
) -> None:
    """One that fails does not stop the others, and the exit code tells."""
    analyze: Command = request.getfixturevalue(place)
    text = tmp_path / "text.wav"
    text.write_text("this is no recording")
    mary, missing = clips / "mary.wav", tmp_path / "missing.wav"
    done = analyze("analyze", text, missing, mary, "--json", "--language", "en")
    assert done.exit_code == ExitCode.FAILED
    first, second, third = objects(done)
    assert (first["file"], first["ok"], first["error"]["code"]) == (str(text), False, "audio_undecodable")
    assert (second["file"], second["ok"]) == (str(missing), False)
    assert "No such file" in second["error"]["message"]
    assert (third["file"], third["ok"], third["result"]["text"]) == (str(mary), True, SAID)
    assert f"{missing}: Error: " in done.stderr


def test_one_transcript_is_printed_as_it_is_and_several_under_their_names(here: Command, clips: Path) -> None:
    mary, bobby = clips / "mary.wav", clips / "bobby.wav"
    assert here("analyze", mary, "-q").stdout == f"{SAID}\n"
    both = here("analyze", mary, bobby, "-q", "--pipeline", "transcribe", "--no-vad")
    assert both.stdout.startswith(f"==> {mary} <==\n{SAID}\n\n==> {bobby} <==\n")
    assert both.stderr == ""


def test_the_quiet_still_hear_of_what_went_wrong(here: Command, tmp_path: Path) -> None:
    missing = tmp_path / "missing.wav"
    done = here("analyze", missing, "--quiet")
    assert (done.exit_code, done.stdout) == (ExitCode.FAILED, "")
    assert done.stderr == f"{missing}: Error: No such file or directory (unreadable)\n"


def test_only_the_stages_that_were_asked_for_run(here: Command, clips: Path, tmp_path: Path) -> None:
    done = here("analyze", clips / "mary.wav", "--pipeline", "pitch", "--out", tmp_path)
    assert done.exit_code == ExitCode.OK
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mary.json", "mary.pitch.csv"]
    assert "transcribe" not in done.stderr
    refused = here("analyze", clips / "mary.wav", "--pipeline", "pitch", "--format", "srt")
    assert refused.exit_code == ExitCode.FAILED
    assert "leaves no transcript.srt" in refused.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--language", "xx"], "'xx' is not a language"),
        (["--pipeline", "dance"], "pipeline: "),
        (["--pipeline", "align"], "is not available here; available: "),
    ],
)
def test_options_that_cannot_be_are_wrong_usage(here: Command, clips: Path, options: list[str], reason: str) -> None:
    done = here("analyze", clips / "mary.wav", *options)
    assert (done.exit_code, done.stdout) == (ExitCode.USAGE, "")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_is_not_there_is_said_with_the_ways_to_get_it(here: Command, clips: Path) -> None:
    done = here("analyze", clips / "mary.wav", "--model", "nonesuch")
    assert done.exit_code == ExitCode.FAILED
    assert "Error: the transcription model 'nonesuch' cannot be loaded" in done.stderr
    assert "pip install" in done.stderr
