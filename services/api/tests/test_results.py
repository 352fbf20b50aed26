import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from antiphon.ports import Ports

Submit = Callable[..., Awaitable[httpx.Response]]
Worker = Any

RESULT = b'{"text": "hello", "duration": 1.5}'
PITCH = bytes(range(256)) * 8192  # 2 MiB: more than one piece of the blob store


@pytest.fixture
async def job(submit: Submit, worker: Worker) -> str:
    job_id: str = (await submit()).json()["id"]
    await worker.claim(job_id)
    await worker.save(job_id, "result.json", RESULT, "application/json")
    await worker.save(job_id, "pitch.csv", PITCH, "text/csv")
    await worker.save(job_id, "transcript.txt", "h\u00e9llo".encode(), "text/plain; charset=utf-8")
    await worker.finish(job_id)
    return job_id


async def test_the_result_is_what_the_worker_wrote_byte_by_byte(client: httpx.AsyncClient, job: str) -> None:
    response = await client.get(f"/v1/jobs/{job}/result")
    assert (response.status_code, response.content) == (200, RESULT)
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Content-Length"] == str(len(RESULT))
    assert response.headers["ETag"] == f'"{hashlib.sha256(RESULT).hexdigest()}"'
    assert "Content-Disposition" not in response.headers


async def test_artifacts_are_listed_with_their_links(client: httpx.AsyncClient, job: str) -> None:
    listed = (await client.get(f"/v1/jobs/{job}/artifacts")).json()["artifacts"]
    assert [artifact["name"] for artifact in listed] == ["result.json", "pitch.csv", "transcript.txt"]
    for artifact in listed:
        response = await client.get(artifact["link"])
        assert hashlib.sha256(response.content).hexdigest() == artifact["sha256"]
        assert len(response.content) == artifact["size"]
        assert response.headers["Content-Type"] == artifact["media_type"]


async def test_an_artifact_is_saved_by_a_browser_and_never_shown_as_a_page(client: httpx.AsyncClient, job: str) -> None:
    response = await client.get(f"/v1/jobs/{job}/result/pitch.csv")
    assert response.content == PITCH
    assert response.headers["Content-Disposition"] == 'attachment; filename="pitch.csv"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_strange_name_is_quoted(client: httpx.AsyncClient, submit: Submit, worker: Worker) -> None:
    job = (await submit()).json()["id"]
    await worker.claim(job)
    await worker.save(job, 'a"\r\nX: y\u00e9.txt', b"x")
    await worker.finish(job)
    [artifact] = (await client.get(f"/v1/jobs/{job}/artifacts")).json()["artifacts"]
    response = await client.get(artifact["link"])
    assert (
        response.headers["Content-Disposition"]
        == "attachment; filename=\"a___X_ y_.txt\"; filename*=UTF-8''a%22%0D%0AX%3A%20y%C3%A9.txt"
    )


@pytest.mark.parametrize("header", ['"{sha}"', 'W/"{sha}"', '"x", "{sha}"', "*"])
async def test_who_has_it_already_is_told_so(client: httpx.AsyncClient, job: str, header: str) -> None:
    sha = hashlib.sha256(RESULT).hexdigest()
    for path in ("result", "result/result.json"):
        response = await client.get(f"/v1/jobs/{job}/{path}", headers={"If-None-Match": header.replace("{sha}", sha)})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["ETag"] == f'"{sha}"'


async def test_who_has_another_version_gets_this_one(client: httpx.AsyncClient, job: str) -> None:
    response = await client.get(f"/v1/jobs/{job}/result", headers={"If-None-Match": '"x"'})
    assert (response.status_code, response.content) == (200, RESULT)


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=-100", -100, None),
        ("bytes=2000000-", 2000000, None),
    ],
)
async def test_a_part_of_an_artifact_can_be_had(
    client: httpx.AsyncClient, job: str, header: str, start: int, end: int | None
) -> None:
    response = await client.get(f"/v1/jobs/{job}/result/pitch.csv", headers={"Range": header})
    assert (response.status_code, response.content) == (206, PITCH[start:end])
    first, last, size = response.headers["Content-Range"].removeprefix("bytes ").replace("/", "-").split("-")
    assert PITCH[int(first) : int(last) + 1] == response.content
    assert int(size) == len(PITCH)


async def test_parts_put_together_are_the_whole(client: httpx.AsyncClient, job: str) -> None:
    parts = []
    for start in range(0, len(PITCH), 700_000):
        response = await client.get(
            f"/v1/jobs/{job}/result/pitch.csv", headers={"Range": f"bytes={start}-{start + 699_999}"}
        )
        parts.append(response.content)
    assert b"".join(parts) == PITCH


async def test_a_part_behind_the_end_cannot_be_had(client: httpx.AsyncClient, job: str) -> None:
    response = await client.get(f"/v1/jobs/{job}/result/pitch.csv", headers={"Range": f"bytes={len(PITCH)}-"})
    assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable")
    assert response.headers["Content-Range"] == f"bytes */{len(PITCH)}"


async def test_a_part_of_another_version_is_the_whole(client: httpx.AsyncClient, job: str) -> None:
    headers = {"Range": "bytes=0-1", "If-Range": '"x"'}
    response = await client.get(f"/v1/jobs/{job}/result/pitch.csv", headers=headers)
    assert (response.status_code, len(response.content)) == (200, len(PITCH))


async def test_head_tells_what_get_would_without_the_bytes(client: httpx.AsyncClient, job: str) -> None:
    for path in ("result", "result/pitch.csv", "result/nothing", "artifacts"):
        told = await client.head(f"/v1/jobs/{job}/{path}")
        got = await client.get(f"/v1/jobs/{job}/{path}")
        assert told.status_code == got.status_code
        assert told.headers == got.headers
    part = await client.head(f"/v1/jobs/{job}/result/pitch.csv", headers={"Range": "bytes=0-1"})
    assert (part.status_code, part.content) == (200, b"")


@pytest.mark.parametrize("name", ["nothing", "source", "..%2Fsource", "%2e%2e", "result.json%00"])
async def test_only_artifacts_can_be_had(client: httpx.AsyncClient, job: str, name: str) -> None:
    response = await client.get(f"/v1/jobs/{job}/result/{name}")
    assert response.status_code == 404


async def test_an_artifact_that_lost_its_bytes_is_gone(client: httpx.AsyncClient, job: str, ports: Ports) -> None:
    await ports.blobs.delete_prefix(f"standard/default/{job}")
    response = await client.get(f"/v1/jobs/{job}/result")
    assert (response.status_code, response.json()["code"]) == (410, "artifact_gone")
    assert "default" not in response.text


@pytest.mark.parametrize("path", ["result", "result/result.json", "artifacts"])
async def test_nothing_can_be_read_before_the_job_has_succeeded(
    client: httpx.AsyncClient, submit: Submit, worker: Worker, path: str
) -> None:
    job = (await submit()).json()["id"]

    async def code() -> str:
        response = await client.get(f"/v1/jobs/{job}/{path}")
        assert response.status_code == 409
        code: str = response.json()["code"]
        return code

    assert await code() == "job_queued"
    await worker.claim(job)
    await worker.save(job, "result.json", RESULT)
    assert await code() == "job_running"
    await worker.fail(job)
    assert await code() == "job_failed"
