"""The client against a server that answers as a test says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon_cli.client import Client
from antiphon_cli.errors import NotFound, Refused, Unreachable, UsageError

ID = "01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11"


def job(state: str = "running", **fields: object) -> dict[str, Any]:
    source = {"name": "clip.wav", "size": 3}
    return {"id": ID, "state": state, "source": source, "created_at": "2026-01-31T12:00:00Z", "new": 1, **fields}


def event(number: int, state: str, kind: str = "state", **fields: object) -> bytes:
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(job(state, **fields))}\n\n".encode()


@pytest.fixture
def client(tiny_server: Any) -> Iterator[Client]:
    with Client(tiny_server.url) as client:
        yield client


def test_a_problem_is_told_as_a_sentence_with_its_code_and_fields(
    tiny_server: Any, client: Client, answer: Any, tmp_path: Path
) -> None:
    recording = tmp_path / "x.wav"
    recording.write_bytes(b"RIFF")
    problem = {
        "title": "Fields are not valid",
        "status": 422,
        "detail": "the same once more",
        "code": "validation",
        "errors": [{"pointer": "/options/beam_size", "message": "at most 10"}],
    }
    tiny_server.answer = lambda _: answer(422, problem, media_type="application/problem+json")
    with pytest.raises(Refused) as refused:
        client.submit(recording, {"beam_size": 11})
    assert str(refused.value) == ("Fields are not valid (validation, HTTP 422)\n  /options/beam_size: at most 10")
    assert refused.value.code == "validation"


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_any_more_was_not_found(tiny_server: Any, client: Client, answer: Any, status: int) -> None:
    tiny_server.answer = lambda _: answer(status, {"detail": "there is no job x", "code": "job_not_found"})
    with pytest.raises(NotFound, match=rf"there is no job x \(job_not_found, HTTP {status}\)"):
        client.job("x")


def test_an_error_page_of_a_proxy_is_told_as_such(tiny_server: Any, client: Client, answer: Any) -> None:
    tiny_server.answer = lambda _: answer(502, b"<html>bad gateway</html>", media_type="text/html")
    with pytest.raises(Refused, match="the server, or a proxy before it, answered Bad Gateway"):
        client.job(ID)


def test_a_server_that_is_not_antiphon_is_not_taken_for_one(tiny_server: Any, client: Client, answer: Any) -> None:
    tiny_server.answer = lambda _: answer(200, b"<html>hello</html>")
    with pytest.raises(Unreachable, match="what answers there is not Antiphon"):
        client.job(ID)


def test_nobody_there_is_unreachable() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(Unreachable, match="antiphon up"):
        client.job(ID)


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://host", "http://", "http://host:port"])
def test_an_address_that_is_none_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of a server"):
        Client(url)


def test_a_proxy_is_not_asked_for_an_address_of_this_machine(
    tiny_server: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    tiny_server.answer = lambda _: answer(200, job())
    with Client(tiny_server.url) as client:
        assert client.job(ID).id == ID


def test_an_upload_whose_answer_was_lost_is_sent_again_under_the_same_key(
    tiny_server: Any, client: Client, answer: Any, tmp_path: Path
) -> None:
    recording = tmp_path / "x.wav"
    recording.write_bytes(b"RIFF-and-so-on")
    answers = iter([answer(202, b"{", cut=True), answer(503), answer(202, {"id": ID, "state": "queued"})])
    tiny_server.answer = lambda _: next(answers)
    assert client.submit(recording, {"language": "en"}).id == ID
    sent = tiny_server.asked_for("/v1/jobs")
    assert len({request.headers["Idempotency-Key"] for request in sent}) == 1
    assert [request.body.count(b"RIFF-and-so-on") for request in sent] == [1, 1, 1]
    assert b'{"language": "en"}' in sent[0].body


def test_a_list_of_jobs_is_read_page_by_page_until_enough(tiny_server: Any, client: Client, answer: Any) -> None:
    tiny_server.answer = lambda _: answer(200, {"jobs": [job()] * 100, "next_cursor": "more"})
    assert len(list(client.jobs(states=["running", "queued"], limit=250))) == 250
    paths = [request.path for request in tiny_server.asked]
    assert paths == [
        "/v1/jobs?limit=100&state=running&state=queued",
        "/v1/jobs?limit=100&state=running&state=queued&cursor=more",
        "/v1/jobs?limit=50&state=running&state=queued&cursor=more",
    ]


def test_fields_that_a_newer_server_adds_are_kept(tiny_server: Any, client: Client, answer: Any) -> None:
    tiny_server.answer = lambda _: answer(200, job())
    assert client.job(ID).json_object()["new"] == 1


def test_following_goes_on_after_the_last_event_when_the_stream_breaks(
    tiny_server: Any, client: Client, answer: Any
) -> None:
    streams = iter(
        [
            answer(200, event(1, "queued") + event(2, "running"), cut=True),
            answer(200, b"event: progress\ndata: " + json.dumps(job(progress=50.0)).encode() + b"\n\n", cut=True),
            answer(200, event(3, "succeeded", "result")),
        ]
    )
    tiny_server.answer = lambda asked: next(streams) if asked.path.endswith("/events") else answer(200, job())
    told = [(update.kind, update.job.state) for update in client.follow(ID)]
    assert told == [("state", "queued"), ("state", "running"), ("progress", "running"), ("result", "succeeded")]
    asked = tiny_server.asked_for(f"/v1/jobs/{ID}/events")
    assert [request.headers.get("Last-Event-ID") for request in asked] == [None, "2", "2"]


def test_the_end_of_an_earlier_round_does_not_end_the_following(tiny_server: Any, client: Client, answer: Any) -> None:
    history = event(1, "failed", round=1) + event(2, "queued", round=2) + event(3, "succeeded", "result", round=2)
    tiny_server.answer = lambda asked: answer(200, history if asked.path.endswith("events") else job("queued", round=2))
    assert [update.job.state for update in client.follow(ID)] == ["queued", "succeeded"]


def test_following_a_job_that_has_ended_tells_its_end(tiny_server: Any, client: Client, answer: Any) -> None:
    tiny_server.answer = lambda _: answer(200, job("failed", error={"code": "audio_empty", "message": "no audio"}))
    [update] = client.follow(ID)
    assert (update.kind, update.job.state) == ("state", "failed")
    assert not tiny_server.asked_for(f"/v1/jobs/{ID}/events")
