"""The queue tools on real installations: what is paused waits, what is purged is cancelled, what is dead comes back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.acceptance.installation import Installation

BEARER = "correct-horse-battery-staple"
Tool = Callable[..., Any]


@pytest.fixture
def tool(anywhere: Installation) -> Tool:
    """Ask for something internal, on the installation's API, which this starts."""
    anywhere.start_api(internal_token=BEARER)

    def tool(what: str, **wish: object) -> Any:
        path = f"{anywhere.url}/v1/internal/queues/default/{what}"
        method = "GET" if what in ("messages", "dead") else "POST"
        json = wish if method == "POST" else None
        answer = httpx.request(method, path, json=json, headers={"Authorization": f"Bearer {BEARER}"}, timeout=30)
        return answer.raise_for_status().json()

    return tool


@pytest.mark.parametrize("anywhere", ["files"], indirect=True)
def test_a_paused_pool_finishes_what_runs_and_begins_nothing_until_it_is_resumed(
    anywhere: Installation, tool: Tool, long_recording: Path, short_recording: Path
) -> None:
    workers = [anywhere.start_worker() for _ in range(2)]
    running = anywhere.submit(long_recording, pipeline="transcribe")
    anywhere.wait_until_transcribing(running)
    assert tool("pause")["paused"] is True
    for worker in workers:
        worker.wait_for("the pool is paused; nothing new is begun")
    waiting = [anywhere.submit(short_recording, pipeline="transcribe") for _ in range(3)]
    assert anywhere.wait_until_ended(running)["state"] == "succeeded"
    anywhere.wait_for_depth(available=3, in_flight=0)
    assert {anywhere.job(job)["state"] for job in waiting} == {"queued"}
    assert tool("resume")["paused"] is False
    for job in waiting:
        done = anywhere.wait_until_ended(job)
        assert (done["state"], done["attempt"]) == ("succeeded", 1)


def test_a_purge_leaves_nothing_that_waits_and_disturbs_nothing_that_runs(
    anywhere: Installation, tool: Tool, long_recording: Path, short_recording: Path
) -> None:
    anywhere.start_worker()
    running = anywhere.submit(long_recording, pipeline="transcribe")
    anywhere.wait_until_transcribing(running)
    low, normal = [anywhere.submit(short_recording, priority=priority) for priority in ("low", "normal")]
    anywhere.wait_for_depth(available=2)
    peeked = tool("messages")["messages"]
    assert [(each["job"], each["priority"]) for each in peeked] == [(normal, "normal"), (low, "low")]
    assert tool("purge", priority="low") == {"cancelled": 1, "removed": 1, "complete": True}
    assert tool("purge") == {"cancelled": 1, "removed": 1, "complete": True}
    assert [anywhere.job(job)["state"] for job in (low, normal)] == ["cancelled", "cancelled"]
    anywhere.wait_for_depth(available=0, delayed=0, in_flight=1, dead=0)
    assert anywhere.job(running)["state"] in ("running", "succeeded")


def test_a_dead_letter_is_redriven_in_a_new_round_of_its_job(
    anywhere: Installation, tool: Tool, tmp_path: Path
) -> None:
    text = tmp_path / "text.wav"
    text.write_text("this is no recording")
    worker = anywhere.start_worker()
    job = anywhere.submit(text)
    assert anywhere.wait_until_ended(job)["state"] == "failed"
    anywhere.wait_for_depth(available=0, in_flight=0, dead=1)
    [letter] = tool("dead")["dead"]
    assert (letter["job"], letter["state"]) == (job, "failed")
    tool("pause")
    worker.wait_for("the pool is paused; nothing new is begun")
    assert tool("redrive") == {"redriven": 1, "skipped": []}
    anywhere.wait_for_depth(available=1, dead=0)
    tool("resume")
    ended = anywhere.wait_until_ended(job)
    assert (ended["state"], ended["round"]) == ("failed", 2)
    anywhere.wait_for_depth(available=0, in_flight=0, dead=1)
