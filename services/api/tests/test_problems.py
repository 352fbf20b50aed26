import httpx
import pytest
from fastapi import FastAPI

from antiphon import errors as core
from antiphon.errors import AntiphonError
from antiphon_api import problems
from antiphon_speech.errors import AudioUndecodable, SpeechError


async def test_what_is_nowhere_is_not_found(client: httpx.AsyncClient) -> None:
    for path in ("/", "/v1", "/v1/jobs/", "/docs", "/v1/internal"):
        response = await client.get(path)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/jobs", "GET, HEAD, POST"),
        ("/v1/jobs/01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11", "DELETE, GET, HEAD"),
        ("/v1/jobs/01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11/cancel", "POST"),
        ("/healthz", "GET, HEAD"),
    ],
)
async def test_another_method_is_told_every_one_that_is_allowed(
    client: httpx.AsyncClient, path: str, allow: str
) -> None:
    response = await client.request("PATCH", path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["Allow"] == allow


async def test_every_response_forbids_guessing_its_type_and_keeping_it(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/v1/jobs", "/nothing"):
        response = await client.get(path)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"


async def test_no_other_site_is_let_in(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/jobs", headers={"Origin": "https://example.org"})
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


async def test_an_error_that_nobody_foresaw_tells_nothing_but_the_name_of_its_log_line(
    app: FastAPI, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the password is hunter2")

    response = await client.get("/broken")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "hunter2" not in response.text
    logged = capsys.readouterr().out + caplog.text
    assert response.json()["instance"] in logged
    assert "hunter2" in logged
    metrics = (await client.get("/metrics")).text
    assert 'antiphon_http_request_seconds_count{method="GET",route="/broken",status="500"} 1.0' in metrics


def kinds(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]


def test_every_error_that_is_raised_on_purpose_has_a_status() -> None:
    for kind in (*kinds(AntiphonError), *kinds(SpeechError)):
        assert problems.responses(kind)  # type: ignore[arg-type]


def test_an_error_of_ours_that_is_not_the_requests_fault_keeps_its_sentence_to_the_logs() -> None:
    problem = problems.problem_of(core.FenceLost("held by 10.0.0.7"))
    assert problem.status == 500
    assert "10.0.0.7" not in problem.model_dump_json()


def test_a_problem_says_the_same_in_its_type_and_in_its_code() -> None:
    problem = problems.problem_of(AudioUndecodable("the bytes are not audio"))
    assert (problem.status, problem.code, problem.type) == (422, "audio_undecodable", "/problems/audio_undecodable")
    assert problem.detail == "the bytes are not audio"
