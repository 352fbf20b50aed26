"""Whatever dies, a job that was acknowledged reaches exactly one end, and says so once."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.backends import BACKENDS
from tests.acceptance.installation import Installation, alive, gone

TERMINAL = {"succeeded", "failed", "cancelled", "expired"}


def ends(installation: Installation, job: str) -> list[str]:
    """The states of the terminal events of a job's history."""
    return [state["state"] for _, number, state in installation.events(job) if number and state["state"] in TERMINAL]


def said(result: dict[str, Any]) -> str:
    return str(result["text"]).lower()


def test_a_worker_killed_in_the_middle_of_a_job_costs_an_attempt_and_no_more(
    anywhere: Installation, long_recording: Path
) -> None:
    anywhere.start_api()
    first = anywhere.start_worker()
    job = anywhere.submit(long_recording, pipeline="transcribe")
    anywhere.wait_until_transcribing(job)
    slots = first.slots()
    first.kill()
    gone(slots)
    anywhere.start_worker()
    ended = anywhere.wait_until_ended(job)
    assert (ended["state"], ended["attempt"], ended["round"]) == ("succeeded", 2, 1)
    assert ends(anywhere, job) == ["succeeded"]
    assert said(anywhere.result(job)).count("selfish") >= 5


def test_an_api_killed_after_its_202_loses_no_job(installation: Installation, short_recording: Path) -> None:
    api = installation.start_api()
    job = installation.submit(short_recording)
    api.kill()
    installation.start_worker()
    installation.start_api()
    ended = installation.wait_until_ended(job)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1)
    assert "dashwood" in said(installation.result(job))


def test_a_killed_slot_costs_an_attempt_and_not_the_worker(installation: Installation, long_recording: Path) -> None:
    installation.start_api()
    worker = installation.start_worker()
    job = installation.submit(long_recording, pipeline="transcribe")
    installation.wait_until_transcribing(job)
    [slot] = worker.slots()
    os.kill(slot, signal.SIGKILL)
    ended = installation.wait_until_ended(job)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2)
    assert worker.process.poll() is None
    assert worker.slots() != [slot]


def test_a_slot_killed_while_it_is_idle_is_replaced(installation: Installation, short_recording: Path) -> None:
    installation.start_api()
    worker = installation.start_worker()
    [slot] = worker.slots()
    os.kill(slot, signal.SIGKILL)
    gone([slot])
    job = installation.submit(short_recording)
    assert installation.wait_until_ended(job)["state"] == "succeeded"
    assert worker.process.poll() is None


def test_a_recording_that_kills_every_slot_fails_after_its_attempts_and_becomes_a_dead_letter(
    installation: Installation, long_recording: Path
) -> None:
    installation.start_api()
    worker = installation.start_worker(attempts="2")
    job = installation.submit(long_recording, pipeline="transcribe")
    for attempt in (1, 2):
        for _, _, state in installation.events(job):
            if state["stage"] == "transcribe" and state["attempt"] == attempt and state["progress"] > 10:
                break
        [slot] = worker.slots()
        os.kill(slot, signal.SIGKILL)
        gone([slot])
    ended = installation.wait_until_ended(job)
    assert (ended["state"], ended["attempt"], ended["error"]["code"]) == ("failed", 2, "slot_crashed")
    assert "analysis process" in ended["error"]["message"]
    installation.wait_for_depth(dead=1)


def test_sigterm_lets_a_running_job_finish(installation: Installation, long_recording: Path) -> None:
    installation.start_api()
    worker = installation.start_worker(drain_seconds="60")
    job = installation.submit(long_recording, pipeline="transcribe")
    installation.wait_until_transcribing(job)
    slots = worker.slots()
    assert worker.terminate() == 0
    assert installation.job(job)["state"] == "succeeded"
    assert installation.job(job)["attempt"] == 1
    assert not any(alive(slot) for slot in slots)
    assert list((installation.data / "scratch").iterdir()) == []


def test_sigterm_hands_back_what_cannot_finish_without_using_up_its_attempt(
    anywhere: Installation, long_recording: Path
) -> None:
    anywhere.start_api()
    worker = anywhere.start_worker(drain_seconds="0")
    job = anywhere.submit(long_recording, pipeline="transcribe")
    anywhere.wait_until_transcribing(job)
    slots = worker.slots()
    assert worker.terminate() == 0
    handed_back = anywhere.job(job)
    assert (handed_back["state"], handed_back["attempt"]) == ("running", 0)
    assert not any(alive(slot) for slot in slots)
    assert list((anywhere.data / "scratch").iterdir()) == []
    anywhere.start_worker()
    ended = anywhere.wait_until_ended(job)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1)


def test_a_cancelled_transcription_stops_within_two_seconds_and_its_process_is_gone(
    anywhere: Installation, long_recording: Path
) -> None:
    anywhere.start_api()
    worker = anywhere.start_worker()
    job = anywhere.submit(long_recording, pipeline="transcribe")
    anywhere.wait_until_transcribing(job)
    [slot] = worker.slots()
    with anywhere.client() as client:
        answer = client.post(f"/v1/jobs/{job}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        gone([slot], within=2.0)
        assert client.post(f"/v1/jobs/{job}/cancel").status_code == 200
    assert ends(anywhere, job) == ["cancelled"]
    anywhere.wait_for_depth(available=0, in_flight=0, dead=0)


def test_a_cancelled_job_that_is_redriven_goes_on_from_what_its_stages_left(
    installation: Installation, long_recording: Path
) -> None:
    installation.start_api()
    installation.start_worker()
    job = installation.submit(long_recording, pipeline="transcribe")
    installation.wait_until_transcribing(job)
    with installation.client() as client:
        client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        installation.wait_for_depth(available=0, in_flight=0)
        assert client.post(f"/v1/jobs/{job}/redrive").status_code == 202
    for _, _, state in installation.events(job):
        last = state
    assert (last["state"], last["round"], last["attempt"]) == ("succeeded", 2, 1)
    assert said(installation.result(job)).count("selfish") >= 5


@pytest.mark.parametrize(
    ("anywhere", "while_running"), [*((name, True) for name in BACKENDS), ("files", False)], indirect=["anywhere"]
)
def test_a_lost_queue_is_rebuilt_from_the_store(
    anywhere: Installation, short_recording: Path, while_running: bool
) -> None:
    api = anywhere.start_api()
    jobs = [anywhere.submit(short_recording, pipeline="transcribe") for _ in range(3)]
    anywhere.wait_for_depth(available=3)
    if not while_running:
        api.terminate()
    anywhere.backends.lose_queue()
    if not while_running:
        anywhere.start_api()
    anywhere.start_worker()
    for job in jobs:
        assert anywhere.wait_until_ended(job)["state"] == "succeeded"
        assert ends(anywhere, job) == ["succeeded"]


def test_a_redriven_job_goes_on_behind_the_stages_that_are_done(
    installation: Installation, long_recording: Path
) -> None:
    installation.start_api()
    worker = installation.start_worker(attempts="1")
    job = installation.submit(long_recording, pipeline="transcribe")
    installation.wait_until_transcribing(job)
    [slot] = worker.slots()
    os.kill(slot, signal.SIGKILL)
    assert installation.wait_until_ended(job)["state"] == "failed"
    with installation.client() as client:
        assert client.post(f"/v1/jobs/{job}/redrive").status_code == 202
    for _, _, state in installation.events(job):
        last = state
    assert (last["state"], last["round"], last["attempt"]) == ("succeeded", 2, 1)
    assert ends(installation, job) == ["failed", "succeeded"]
