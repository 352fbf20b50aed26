import base64
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import JobNotFound
from antiphon.ids import new_id
from antiphon.jobs import DEFAULT_TENANT
from antiphon.ports import Ports
from antiphon.relay import Relay
from antiphon_api.schemas import moment
from antiphon_api.settings import ApiSettings

Submit = Callable[..., Awaitable[httpx.Response]]
Blobs = Callable[[], list[str]]
Worker = Any


async def submitted(submit: Submit, **options: object) -> str:
    job_id: str = (await submit(options=options)).json()["id"]
    return job_id


async def test_a_job_is_seen_as_it_stands(client: httpx.AsyncClient, submit: Submit, worker: Worker) -> None:
    job = await submitted(submit, language="en", metadata={"lesson": "12"})
    await worker.claim(job)
    await worker.progress(job, 42.0)
    seen = (await client.get(f"/v1/jobs/{job}")).json()
    assert seen["id"] == job
    assert (seen["state"], seen["stage"], seen["progress"]) == ("running", "transcribe", 42.0)
    assert (seen["attempt"], seen["round"], seen["priority"]) == (1, 1, "normal")
    assert seen["options"]["language"] == "en"
    assert seen["options"]["beam_size"] == 1
    assert seen["metadata"] == {"lesson": "12"}
    assert seen["source"]["name"] == "clip.wav"
    assert seen["created_at"] < seen["started_at"]
    assert seen["started_at"].endswith("Z")
    assert (seen["finished_at"], seen["error"], seen["audio_seconds"], seen["expires_at"]) == (None, None, None, None)
    assert seen["links"]["result"] == f"/v1/jobs/{job}/result"


async def test_a_failed_job_says_why(client: httpx.AsyncClient, submit: Submit, worker: Worker) -> None:
    job = await submitted(submit)
    await worker.claim(job)
    await worker.fail(job)
    seen = (await client.get(f"/v1/jobs/{job}")).json()
    assert seen["state"] == "failed"
    assert seen["error"] == {"code": "audio_undecodable", "message": "the bytes are not audio"}
    assert seen["finished_at"] is not None


async def test_what_is_no_id_names_no_job(client: httpx.AsyncClient) -> None:
    for job in ("1", "not-an-id", "01936D3C-7B5E-7E3A-9D51-3C0F3B6F2A11", "..", "%00", "\u0661" * 9, "x" * 10_000):
        for path in ("", "/events", "/result", "/result/x.txt", "/artifacts"):
            response = await client.get(f"/v1/jobs/{job}{path}")
            assert response.status_code == 404
            assert response.headers["Content-Type"] == "application/problem+json"
            assert len(response.content) < 1000


async def test_a_job_that_is_not_there_is_not_found_and_one_that_was_deleted_is_gone(
    client: httpx.AsyncClient, submit: Submit
) -> None:
    deleted = await submitted(submit)
    await client.delete(f"/v1/jobs/{deleted}")
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/result"),
        ("GET", "/result/x.txt"),
        ("GET", "/artifacts"),
        ("POST", "/cancel"),
        ("POST", "/redrive"),
        ("DELETE", ""),
    ):
        unknown = await client.request(method, f"/v1/jobs/{new_id()}{path}")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "job_not_found")
        gone = await client.request(method, f"/v1/jobs/{deleted}{path}")
        assert (gone.status_code, gone.json()["code"]) == (410, "job_deleted")


async def test_another_tenants_job_is_not_there(client: httpx.AsyncClient, submit: Submit, ports: Ports) -> None:
    job = await submitted(submit)
    with pytest.raises(JobNotFound):
        await ports.store.job("another tenant", job)
    assert (await client.get(f"/v1/jobs/{job}")).status_code == 200


# --- lists


async def test_pages_hold_every_job_once_the_newest_first(client: httpx.AsyncClient, submit: Submit) -> None:
    jobs = [await submitted(submit) for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for expected in (2, 2, 1):
        page = (await client.get("/v1/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        assert len(page["jobs"]) == expected
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == jobs[::-1]


async def test_a_full_last_page_has_no_next_one(client: httpx.AsyncClient, submit: Submit) -> None:
    for _ in range(2):
        await submitted(submit)
    assert (await client.get("/v1/jobs", params={"limit": 2})).json()["next_cursor"] is None


async def test_lists_are_filtered_by_state_and_time(client: httpx.AsyncClient, submit: Submit, worker: Worker) -> None:
    queued, running, cancelled = [await submitted(submit) for _ in range(3)]
    await worker.claim(running)
    await client.post(f"/v1/jobs/{cancelled}/cancel")

    async def listed(**filters: Any) -> list[str]:
        response = await client.get("/v1/jobs", params=filters)
        assert response.status_code == 200, response.text
        return [job["id"] for job in response.json()["jobs"]]

    assert await listed(state="running") == [running]
    assert await listed(state=["queued", "cancelled"]) == [cancelled, queued]
    then = (await client.get(f"/v1/jobs/{running}")).json()["created_at"]
    assert await listed(created_after=then) == [cancelled, running]
    assert await listed(created_before=then) == [queued]
    assert await listed(created_before=then, state="running") == []


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("state", "sleeping"),
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "many"),
        ("cursor", "!"),
        ("cursor", "x" * 101),
        ("cursor", "\u00e9"),
        ("cursor", base64.urlsafe_b64encode(b"' OR 1=1").decode()),
        ("created_after", "yesterday"),
        ("created_after", "1700000000"),
        ("created_after", "2026-01-31T12:00:00"),
        ("created_before", "2026-02-31T12:00:00Z"),
        ("created_before", ""),
    ],
)
async def test_a_wrong_filter_is_named(client: httpx.AsyncClient, parameter: str, value: str) -> None:
    response = await client.get("/v1/jobs", params={parameter: value})
    assert (response.status_code, response.json()["code"]) == (422, "validation")
    assert response.json()["errors"][0]["pointer"].startswith(f"/query/{parameter}")


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-31t12:00:00.5z"])
async def test_any_time_can_be_asked_for(client: httpx.AsyncClient, moment: str) -> None:
    assert (await client.get("/v1/jobs", params={"created_after": moment})).status_code == 200


@given(st.floats(1e9, 4e9))
def test_a_job_was_created_no_earlier_than_it_is_told_to_have_been(created_at: float) -> None:
    told = moment(created_at)
    assert told.timestamp() <= created_at < told.timestamp() + 2e-6


# --- cancel


@pytest.mark.parametrize("claimed", [False, True])
async def test_a_job_that_waits_or_runs_is_cancelled_and_stays_so(
    client: httpx.AsyncClient, submit: Submit, worker: Worker, claimed: bool
) -> None:
    job = await submitted(submit)
    if claimed:
        await worker.claim(job)
    for _ in range(2):
        response = await client.post(f"/v1/jobs/{job}/cancel")
        assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    metrics = (await client.get("/metrics")).text
    assert 'antiphon_jobs_total{outcome="cancelled",pool="default"} 1.0' in metrics


async def test_a_job_that_has_ended_otherwise_cannot_be_cancelled(
    client: httpx.AsyncClient, submit: Submit, worker: Worker
) -> None:
    job = await submitted(submit)
    await worker.succeed(job)
    response = await client.post(f"/v1/jobs/{job}/cancel")
    assert (response.status_code, response.json()["code"]) == (409, "job_succeeded")


# --- redrive


async def test_a_job_that_failed_is_tried_again_and_its_dead_letter_goes(
    client: httpx.AsyncClient, submit: Submit, worker: Worker, ports: Ports
) -> None:
    job = await submitted(submit)
    other = await submitted(submit)
    await Relay(ports.store, ports.queue).relay()
    for received in await ports.queue.receive(2, wait=0, lease=30):
        await ports.queue.dead_letter(received, "it failed")
    await worker.claim(job)
    await worker.fail(job)
    response = await client.post(f"/v1/jobs/{job}/redrive")
    assert response.status_code == 202
    assert (response.json()["state"], response.json()["round"], response.json()["error"]) == ("queued", 2, None)
    [left] = await ports.queue.dead(10)
    assert other in left.body
    await Relay(ports.store, ports.queue).relay()
    [again] = await ports.queue.receive(1, wait=0, lease=30)
    assert (again.message.job, again.message.round) == (job, 2)


async def test_a_job_that_lives_or_has_succeeded_is_not_tried_again(
    client: httpx.AsyncClient, submit: Submit, worker: Worker
) -> None:
    job = await submitted(submit)
    waiting = await client.post(f"/v1/jobs/{job}/redrive")
    assert (waiting.status_code, waiting.json()["code"]) == (409, "job_queued")
    await worker.succeed(job)
    done = await client.post(f"/v1/jobs/{job}/redrive")
    assert (done.status_code, done.json()["code"]) == (409, "job_succeeded")


# --- delete


async def test_a_deleted_job_leaves_no_bytes(
    client: httpx.AsyncClient, submit: Submit, worker: Worker, blobs: Blobs
) -> None:
    job, other = await submitted(submit), await submitted(submit)
    await worker.succeed(job, result_json=b"{}")
    response = await client.delete(f"/v1/jobs/{job}")
    assert (response.status_code, response.content) == (204, b"")
    assert blobs() == [f"standard/default/{other}/source"]
    assert [job["id"] for job in (await client.get("/v1/jobs")).json()["jobs"]] == [other]


async def test_a_job_is_deleted_even_if_its_bytes_must_wait_for_the_sweeper(
    client: httpx.AsyncClient, submit: Submit, ports: Ports, settings: ApiSettings
) -> None:
    job = await submitted(submit)
    (settings.data / "blobs" / "standard" / "default" / job / "source").unlink()
    assert (await client.delete(f"/v1/jobs/{job}")).status_code == 204
    [tombstone] = await ports.store.tombstones(10, age=0)
    assert (tombstone.job, tombstone.tenant) == (job, DEFAULT_TENANT)
