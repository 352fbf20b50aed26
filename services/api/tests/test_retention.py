"""How long jobs are kept, and how they are kept longer."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from antiphon.blobs import read_all
from antiphon.blobs.files import FileBlobs
from antiphon.errors import Unavailable
from antiphon.ids import new_id
from antiphon.jobs import DEFAULT_TENANT
from antiphon.ports import Ports
from antiphon.retention import DAY, RetentionClass
from antiphon.store.engine import open_database
from antiphon.store.sql import SqlStore
from antiphon.sweeper import Sweeper
from antiphon.telemetry.metrics import Metrics
from antiphon_api import submission
from antiphon_api.app import create_app
from antiphon_api.options import JobOptions
from antiphon_api.settings import ApiSettings

Submit = Callable[..., Awaitable[httpx.Response]]
Blobs = Callable[[], list[str]]
Worker = Any

TOKEN = "a-token-of-this-test"  # noqa: S105
BEARER = {"Authorization": f"Bearer {TOKEN}"}
MONTH = 30 * DAY


@pytest.fixture
def settings(settings: ApiSettings) -> ApiSettings:
    return settings.model_copy(update={"internal_token": SecretStr(TOKEN)})


@pytest.fixture
async def sweep_in(ports: Ports, settings: ApiSettings) -> AsyncIterator[Callable[[float], Awaitable[None]]]:
    """Sweep as it will be done in so many seconds."""
    ahead = 0.0
    database = open_database(settings.store())
    async with SqlStore(database, ports.events, lambda _: time.time() + ahead) as store:

        async def sweep(seconds: float) -> None:
            nonlocal ahead
            ahead = seconds
            await Sweeper(store, ports.queue, ports.blobs).sweep()

        yield sweep


async def submitted(submit: Submit, **options: object) -> str:
    response = await submit(options=options)
    assert response.status_code == 202, response.text
    job_id: str = response.json()["id"]
    return job_id


async def seen(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    response = await client.get(f"/v1/jobs/{job}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({}, MONTH), ({"retention": "standard"}, MONTH), ({"retention": "ephemeral"}, 3600), ({"retention": 61}, 61)],
)
async def test_a_job_says_how_long_it_is_kept_and_once_it_has_ended_until_when(
    client: httpx.AsyncClient, submit: Submit, worker: Worker, options: dict[str, object], seconds: int
) -> None:
    job = await submitted(submit, **options)
    waits = await seen(client, job)
    assert (waits["retention_seconds"], waits["retained_until"], waits["legal_hold"]) == (seconds, None, False)
    await worker.succeed(job)
    done = await seen(client, job)
    kept = datetime.fromisoformat(done["retained_until"]) - datetime.fromisoformat(done["finished_at"])
    assert kept == pytest.approx(timedelta(seconds=seconds), abs=timedelta(milliseconds=1))


async def test_an_event_tells_until_when_the_job_was_kept_when_it_was_written(
    client: httpx.AsyncClient, submit: Submit, worker: Worker
) -> None:
    job = await submitted(submit)
    await worker.succeed(job)
    told = (await client.get(f"/v1/jobs/{job}/events")).text.splitlines()
    jobs = [json.loads(line.removeprefix("data: ")) for line in told if line.startswith("data: ")]
    assert [job["state"] for job in jobs] == ["queued", "running", "succeeded"]
    assert [job["retained_until"] is None for job in jobs] == [True, True, False]


@pytest.mark.parametrize("retention", ["forever", "", 59, 3650 * DAY + 1, 61.5, True, None, "3600", -1, [60]])
async def test_a_retention_that_cannot_be_is_named(submit: Submit, blobs: Blobs, retention: object) -> None:
    response = await submit(options={"retention": retention})
    assert (response.status_code, response.json()["code"]) == (422, "validation")
    [error] = response.json()["errors"]
    assert error["pointer"] == "/options/retention"
    assert blobs() == []


@pytest.mark.parametrize("retention", [60, 3650 * DAY])
def test_the_bounds_may_be_asked_for(retention: int) -> None:
    assert JobOptions.parse(json.dumps({"retention": retention}).encode()).retention_seconds({}) == retention


@pytest.mark.parametrize("name", ["retention_seconds", "ephemeral_seconds"])
@pytest.mark.parametrize("seconds", [59, 3650 * DAY + 1])
def test_an_installation_has_the_same_bounds(name: str, seconds: int) -> None:
    with pytest.raises(ValidationError):
        ApiSettings(**{name: seconds})  # type: ignore[arg-type]


async def test_an_installation_chooses_its_lengths_and_no_change_reaches_jobs_that_it_has(
    ports: Ports, settings: ApiSettings, client: httpx.AsyncClient, submit: Submit
) -> None:
    before = await submitted(submit)
    changed = settings.model_copy(update={"retention_seconds": 600, "ephemeral_seconds": 60})

    async def body(options: bytes) -> AsyncIterator[bytes]:
        yield form(("file", b"x"), ("options", options))

    async def taken(options: bytes) -> float:
        terms = replace(changed.terms(), max_bytes=1000)
        submitted = await submission.submit(
            ports, submission.Origin(DEFAULT_TENANT, BOUNDARY.encode()), body(options), terms
        )
        return submitted.job.retention

    assert await taken(b"{}") == 600
    assert await taken(b'{"retention": "ephemeral"}') == 60
    assert await taken(b'{"retention": 70}') == 70
    assert (await seen(client, before))["retention_seconds"] == MONTH


# --- where its files lie

BOUNDARY = "a-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def form(*parts: tuple[str, bytes]) -> bytes:
    head = b'--a-boundary\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    return b"".join(head % (name.encode(), content) for name, content in parts) + b"--a-boundary--\r\n"


FILE = ("file", b"some audio")


@pytest.mark.parametrize("file_first", [True, False])
@pytest.mark.parametrize(
    ("options", "kind"), [(b'{"retention": "ephemeral"}', "ephemeral"), (b'{"retention": 60}', "standard")]
)
async def test_the_class_is_the_first_segment_of_every_key_whatever_part_comes_first(
    client: httpx.AsyncClient,
    ports: Ports,
    worker: Worker,
    blobs: Blobs,
    file_first: bool,
    options: bytes,
    kind: str,
) -> None:
    parts = [FILE, ("options", options)] if file_first else [("options", options), FILE]
    job_id = (await client.post("/v1/jobs", content=form(*parts), headers=FORM)).json()["id"]
    assert blobs() == [f"{kind}/default/{job_id}/source"]
    job = await ports.store.job(DEFAULT_TENANT, job_id)
    assert job.ephemeral is (kind == "ephemeral")
    assert await read_all(ports.blobs, job.source.key, 100) == b"some audio"
    await worker.succeed(job_id, result_json=b"{}")
    assert [key for key in blobs() if not key.startswith(f"{kind}/default/{job_id}/")] == []
    assert len(blobs()) == 2
    assert (await client.get(f"/v1/jobs/{job_id}/result")).content == b"{}"
    await client.delete(f"/v1/jobs/{job_id}")
    assert blobs() == []


@pytest.mark.parametrize(
    "refused",
    [
        form(FILE, ("options", b'{"retention": "ephemeral", "model": "huge"}')),
        form(("options", b'{"retention": "ephemeral", "model": "huge"}'), FILE),
        form(("options", b'{"retention": "ephemeral"}'), FILE, FILE),
        form(("options", b'{"retention": "ephemeral"}'), ("file", b"")),
    ],
)
async def test_an_ephemeral_submission_that_is_refused_leaves_nothing_behind(
    client: httpx.AsyncClient, blobs: Blobs, refused: bytes
) -> None:
    assert (await client.post("/v1/jobs", content=refused, headers=FORM)).status_code in (400, 422)
    assert blobs() == []


async def test_a_repeated_ephemeral_submission_leaves_the_first_ones_recording(submit: Submit, blobs: Blobs) -> None:
    ephemeral = {"retention": "ephemeral"}
    first = (await submit(options=ephemeral, Idempotency_Key="k")).json()["id"]
    assert (await submit(options=ephemeral, Idempotency_Key="k")).json()["id"] == first
    assert (await submit(options={}, Idempotency_Key="k")).json()["code"] == "idempotency_mismatch"
    assert blobs() == [f"ephemeral/default/{first}/source"]


class BreaksWhileMoving(FileBlobs):
    """Blobs whose backend goes away in the middle of a move, having done it or not."""

    done = False

    async def move(self, key: str, to: str) -> None:
        if self.done:
            await super().move(key, to)
        raise Unavailable("the connection broke")


@pytest.mark.parametrize("done", [True, False])
async def test_a_recording_that_cannot_be_moved_makes_no_job(
    ports: Ports, settings: ApiSettings, blobs: Blobs, done: bool
) -> None:
    broken = BreaksWhileMoving(settings.data / "blobs")
    broken.done = done

    async def body() -> AsyncIterator[bytes]:
        yield form(FILE, ("options", b'{"retention": "ephemeral"}'))

    origin = submission.Origin(DEFAULT_TENANT, BOUNDARY.encode())
    terms = replace(settings.terms(), max_bytes=1000)
    with pytest.raises(Unavailable):
        await submission.submit(replace(ports, blobs=broken), origin, body(), terms)
    assert blobs() == []
    assert await ports.store.jobs(DEFAULT_TENANT, limit=1) == []


async def test_a_recording_that_follows_its_options_goes_to_its_place_at_once(
    ports: Ports, settings: ApiSettings, blobs: Blobs
) -> None:
    unmovable = BreaksWhileMoving(settings.data / "blobs")

    async def body() -> AsyncIterator[bytes]:
        yield form(("options", b'{"retention": "ephemeral"}'), FILE)

    origin = submission.Origin(DEFAULT_TENANT, BOUNDARY.encode())
    terms = replace(settings.terms(), max_bytes=1000)
    taken = await submission.submit(replace(ports, blobs=unmovable), origin, body(), terms)
    assert blobs() == [taken.job.source.key]


# --- when its time is over


async def test_a_job_whose_time_is_over_is_gone_with_all_its_files_and_says_so(
    client: httpx.AsyncClient, submit: Submit, worker: Worker, blobs: Blobs, sweep_in: Callable[..., Awaitable[None]]
) -> None:
    over, kept = await submitted(submit, retention=120), await submitted(submit, retention=DAY)
    for job in (over, kept):
        await worker.succeed(job, result_json=b"{}")
    await sweep_in(60)
    assert len(blobs()) == 4
    await sweep_in(121)
    assert {key.split("/")[2] for key in blobs()} == {kept}
    for method, path in (
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/artifacts"),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("POST", "/redrive"),
        ("DELETE", ""),
    ):
        response = await client.request(method, f"/v1/jobs/{over}{path}")
        assert (response.status_code, response.json()["code"]) == (410, "retention_over"), (method, path)
    assert [job["id"] for job in (await client.get("/v1/jobs")).json()["jobs"]] == [kept]
    assert (await client.get(f"/v1/jobs/{kept}/result")).status_code == 200


# --- legal hold


async def hold(client: httpx.AsyncClient, job: str, method: str = "PUT") -> httpx.Response:
    return await client.request(method, f"/v1/jobs/{job}/legal-hold", headers=BEARER)


async def test_a_held_job_is_erased_neither_by_time_nor_by_request_until_the_hold_is_lifted(
    client: httpx.AsyncClient, submit: Submit, worker: Worker, blobs: Blobs, sweep_in: Callable[..., Awaitable[None]]
) -> None:
    job = await submitted(submit)
    await worker.succeed(job, result_json=b"{}")
    for _ in range(2):
        held = await hold(client, job)
        assert (held.status_code, held.json()["legal_hold"]) == (200, True)
    await sweep_in(2 * MONTH)
    assert (await seen(client, job))["legal_hold"] is True
    refused = await client.delete(f"/v1/jobs/{job}")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_held")
    assert f"DELETE /v1/jobs/{job}/legal-hold" in refused.json()["detail"]
    assert len(blobs()) == 2
    assert (await client.get(f"/v1/jobs/{job}/result")).content == b"{}"
    for _ in range(2):
        lifted = await hold(client, job, "DELETE")
        assert (lifted.status_code, lifted.json()["legal_hold"]) == (200, False)
    await sweep_in(2 * MONTH)
    assert blobs() == []
    assert (await client.get(f"/v1/jobs/{job}")).status_code == 410


async def test_a_job_may_be_held_while_it_waits_and_can_be_deleted_afterwards(
    client: httpx.AsyncClient, submit: Submit, blobs: Blobs
) -> None:
    job = await submitted(submit)
    assert (await hold(client, job)).json()["legal_hold"] is True
    assert (await client.post(f"/v1/jobs/{job}/cancel")).json()["legal_hold"] is True
    assert (await client.post(f"/v1/jobs/{job}/redrive")).json()["legal_hold"] is True
    assert (await client.delete(f"/v1/jobs/{job}")).status_code == 409
    await hold(client, job, "DELETE")
    assert (await client.delete(f"/v1/jobs/{job}")).status_code == 204
    assert blobs() == []


async def test_an_ephemeral_job_cannot_be_held(client: httpx.AsyncClient, submit: Submit) -> None:
    job = await submitted(submit, retention="ephemeral")
    refused = await hold(client, job)
    assert (refused.status_code, refused.json()["code"]) == (409, "job_ephemeral")
    assert (await seen(client, job))["legal_hold"] is False
    assert (await hold(client, job, "DELETE")).json()["legal_hold"] is False


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_only_what_is_there_can_be_held(client: httpx.AsyncClient, submit: Submit, method: str) -> None:
    deleted = await submitted(submit)
    await client.delete(f"/v1/jobs/{deleted}")
    for job, status, code in ((new_id(), 404, "job_not_found"), (deleted, 410, "job_deleted")):
        response = await hold(client, job, method)
        assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("header", [None, "Bearer another-token-of-16", "Basic YTpi"])
async def test_holding_takes_the_internal_token(
    client: httpx.AsyncClient, submit: Submit, method: str, header: str | None
) -> None:
    job = await submitted(submit)
    if method == "DELETE":
        await hold(client, job)
    before = await seen(client, job)
    headers = {} if header is None else {"Authorization": header}
    refused = await client.request(method, f"/v1/jobs/{job}/legal-hold", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "token_required")
    assert await seen(client, job) == before


async def test_without_a_token_nobody_can_hold(ports: Ports, settings: ApiSettings) -> None:
    metrics = Metrics()
    without = create_app(ports, settings.model_copy(update={"internal_token": None}), metrics, metrics.registry)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(without), base_url="http://api") as client:
        refused = await hold(client, new_id())
    assert (refused.status_code, refused.json()["code"]) == (403, "internal_disabled")


def test_every_class_has_a_length() -> None:
    assert set(ApiSettings().terms().retention) == set(RetentionClass)
