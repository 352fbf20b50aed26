import hashlib
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import httpx
import pytest

from antiphon.jobs import DEFAULT_TENANT, Job
from antiphon.pools import Pool
from antiphon.ports import Ports
from antiphon.store import open_store
from antiphon_api import submission
from antiphon_api.settings import ApiSettings

Submit = Callable[..., Awaitable[httpx.Response]]
Blobs = Callable[[], list[str]]

BOUNDARY = "a-boundary"
TERMS = replace(ApiSettings().terms(), max_bytes=1000)
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def form(*parts: tuple[str, bytes], end: bytes = b"--a-boundary--\r\n") -> bytes:
    head = b'--a-boundary\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    return b"".join(head % (name.encode(), content) for name, content in parts) + end


async def job_of(ports: Ports, response: httpx.Response) -> Job:
    assert response.status_code == 202, response.text
    return await ports.store.job(DEFAULT_TENANT, response.json()["id"])


async def test_a_recording_becomes_a_job_that_waits(submit: Submit, ports: Ports) -> None:
    response = await submit(b"some audio", {"pipeline": "transcribe", "priority": "low", "metadata": {"a": "b"}})
    job = await job_of(ports, response)
    assert response.json() == {
        "id": job.id,
        "state": "queued",
        "position": 1,
        "eta_seconds": None,
        "links": {
            "self": f"/v1/jobs/{job.id}",
            "events": f"/v1/jobs/{job.id}/events",
            "result": f"/v1/jobs/{job.id}/result",
            "artifacts": f"/v1/jobs/{job.id}/artifacts",
            "cancel": f"/v1/jobs/{job.id}/cancel",
        },
    }
    assert response.headers["Location"] == f"/v1/jobs/{job.id}"
    assert job.source.name == "clip.wav"
    assert job.source.size == 10
    assert job.source.sha256 == hashlib.sha256(b"some audio").hexdigest()
    assert [chunk async for chunk in ports.blobs.read(job.source.key)] == [b"some audio"]
    assert job.priority.word == "low"
    assert job.metadata == {"a": "b"}
    assert [(leg.pool, leg.stages) for leg in job.legs] == [("default", ("decode", "transcribe", "render"))]
    [row] = await ports.store.take_outbox(10, lease=1)
    assert row.message.job == job.id


async def test_parts_may_come_in_any_order(client: httpx.AsyncClient, ports: Ports) -> None:
    options = b'{"pipeline": ["pitch"]}'
    first = await client.post("/v1/jobs", content=form(("options", options), ("file", b"x")), headers=FORM)
    last = await client.post("/v1/jobs", content=form(("file", b"x"), ("options", options)), headers=FORM)
    assert (await job_of(ports, first)).legs == (await job_of(ports, last)).legs


async def test_a_file_name_is_shown_and_never_used_as_a_path(submit: Submit, ports: Ports, blobs: Blobs) -> None:
    job = await job_of(ports, await submit(name="../../../etc/passwd"))
    assert job.source.name == "passwd"
    assert blobs() == [f"standard/default/{job.id}/source"]


async def test_the_place_and_the_time_to_wait_are_told(submit: Submit, ports: Ports, worker: object) -> None:
    done = (await submit()).json()["id"]
    await worker.succeed(done)  # type: ignore[attr-defined]
    first, second = (await submit()).json(), (await submit()).json()
    assert (first["position"], second["position"]) == (1, 2)
    assert 0 < first["eta_seconds"] < second["eta_seconds"]


async def test_a_job_expires_when_it_was_told_to(submit: Submit, ports: Ports) -> None:
    job = await job_of(ports, await submit(options={"expires_in": 3600}))
    assert job.expires_at is not None
    assert job.expires_at == pytest.approx(time.time() + 3600, abs=60)


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (TRACE, TRACE),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", None),
        ("ff" + TRACE[2:], None),
        (TRACE.upper(), None),
        (TRACE + "\t; drop table", None),
    ],
)
async def test_a_trace_goes_on_if_it_is_one(submit: Submit, ports: Ports, header: str, kept: str | None) -> None:
    assert (await job_of(ports, await submit(traceparent=header))).traceparent == kept


# --- what is refused, and leaves nothing behind


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"x", {"Content-Type": "audio/wav"}, 415, "media_type_not_supported"),
        (b"x", {}, 415, "media_type_not_supported"),
        (b"x", {"Content-Type": "multipart/form-data"}, 400, "multipart_invalid"),
        (b"", FORM, 400, "multipart_invalid"),
        (form(), FORM, 400, "multipart_invalid"),
        (form(("options", b"{}")), FORM, 400, "multipart_invalid"),
        (form(("file", b"x"), ("file", b"y")), FORM, 400, "multipart_invalid"),
        (form(("file", b"x"), ("options", b"{}"), ("options", b"{}")), FORM, 400, "multipart_invalid"),
        (form(("file", b"x"), ("option", b"{}")), FORM, 400, "multipart_invalid"),
        (form(("file", b"x"), end=b""), FORM, 400, "multipart_invalid"),
        (form(("file", b"x" * 1000))[:500], FORM, 400, "multipart_invalid"),
        (form(("file", b"")), FORM, 422, "audio_empty"),
        (form(("file", b"x"), ("options", b"{")), FORM, 422, "validation"),
        (form(("file", b"x"), ("options", b"[]")), FORM, 422, "validation"),
        (form(("file", b"x"), ("options", b"")), FORM, 422, "validation"),
        (form(("file", b"x"), ("options", b"[" * 50_000)), FORM, 422, "validation"),
        (form(("file", b"x"), ("options", b" " * 65_537)), FORM, 422, "validation"),
        (form(("file", b"x"), ("options", b'{"beam": 1}')), FORM, 422, "validation"),
        (form(("file", b"x"), ("options", b'{"script": "a"}')), FORM, 422, "not_available"),
        (form(("file", b"x"), ("options", b'{"pipeline": ["align"]}')), FORM, 422, "not_available"),
        (form(("file", b"x"), ("options", b'{"model": "huge"}')), FORM, 422, "not_available"),
        (form(("file", b"x" * 1_000_001)), FORM, 413, "audio_too_large"),
        (form(("file", b"x" * 1_200_000)), FORM, 413, "audio_too_large"),
        (form(("file", b"x")), {**FORM, "Idempotency-Key": "x" * 256}, 422, "validation"),
        (form(("file", b"x")), {**FORM, "Idempotency-Key": "\u00e9"}, 422, "validation"),
        (form(("file", b"x")), {**FORM, "Idempotency-Key": ""}, 422, "validation"),
    ],
)
async def test_what_is_refused_gets_a_problem_document_and_leaves_nothing_behind(
    client: httpx.AsyncClient,
    ports: Ports,
    blobs: Blobs,
    body: bytes,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    response = await client.post("/v1/jobs", content=body, headers=encoded)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert blobs() == []
    assert await ports.store.jobs(DEFAULT_TENANT, limit=1) == []


async def test_a_body_that_does_not_tell_its_length_has_the_same_limit(client: httpx.AsyncClient, blobs: Blobs) -> None:
    async def long() -> AsyncIterator[bytes]:
        yield form(("file", b""), end=b"")[:-2]
        for _ in range(20):
            yield b"x" * 65_536

    response = await client.post("/v1/jobs", content=long(), headers=FORM)
    assert (response.status_code, response.json()["code"]) == (413, "audio_too_large")
    assert blobs() == []


async def test_what_follows_the_form_counts_as_well(client: httpx.AsyncClient, blobs: Blobs) -> None:
    async def trailing() -> AsyncIterator[bytes]:
        yield form(("file", b"x"))
        for _ in range(20):
            yield b"x" * 65_536

    response = await client.post("/v1/jobs", content=trailing(), headers=FORM)
    assert response.status_code == 413
    assert blobs() == []


async def test_a_body_that_tells_a_length_beyond_the_limit_is_not_read(client: httpx.AsyncClient) -> None:
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b"x"

    response = await client.post("/v1/jobs", content=body(), headers={**FORM, "Content-Length": str(10**9)})
    assert response.status_code == 413
    assert not read or response.headers["Connection"] == "close"


async def test_a_recording_of_just_the_largest_size_is_taken(submit: Submit, settings: ApiSettings) -> None:
    assert (await submit(b"x" * settings.max_upload_bytes)).status_code == 202


async def test_fields_that_are_wrong_are_named(submit: Submit) -> None:
    response = await submit(options={"beam_size": 99, "languages": "en"})
    assert response.json()["errors"] == [
        {"pointer": "/options/beam_size", "message": "Input should be less than or equal to 10"},
        {"pointer": "/options/languages", "message": "Extra inputs are not permitted"},
    ]


async def test_what_this_installation_lacks_is_named_together_with_what_it_has(submit: Submit, ports: Ports) -> None:
    lacking = (await submit(options={"webhook_url": "https://example.org"})).json()
    assert lacking["errors"][0]["pointer"] == "/options/webhook_url"
    unknown = (await submit(options={"model": "huge"})).json()
    assert "'huge'" in unknown["detail"]
    assert "tiny.en" in unknown["detail"]


async def test_the_model_of_a_pool_is_available(submit: Submit, ports: Ports) -> None:
    await ports.store.put_pool(Pool("large", "large-v3", frozenset({"gpu"})))
    job = await job_of(ports, await submit(options={"model": "large-v3", "pipeline": "full"}))
    assert [leg.pool for leg in job.legs] == ["large", "default"]


# --- once, and only once


async def test_the_same_request_with_the_same_key_is_the_same_job(submit: Submit, blobs: Blobs) -> None:
    first = await submit(b"audio", {"language": "en", "vad": True}, Idempotency_Key="a key")
    again = await submit(b"audio", '{ "language": "en" }', Idempotency_Key="a key")
    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    assert blobs() == [f"standard/default/{first.json()['id']}/source"]


@pytest.mark.parametrize(("content", "options"), [(b"other audio", {}), (b"audio", {"metadata": {"a": "b"}})])
async def test_another_request_with_the_same_key_is_refused(
    submit: Submit, blobs: Blobs, content: bytes, options: dict[str, object]
) -> None:
    first = await submit(b"audio", Idempotency_Key="a key")
    other = await submit(content, options, Idempotency_Key="a key")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert blobs() == [f"standard/default/{first.json()['id']}/source"]


async def test_without_a_key_every_request_is_a_job_of_its_own(submit: Submit) -> None:
    assert (await submit()).json()["id"] != (await submit()).json()["id"]


# --- faults


async def test_a_store_that_fails_costs_the_job_and_its_blob(
    submit: Submit, settings: ApiSettings, blobs: Blobs
) -> None:
    with sqlite3.connect(settings.data / "store.db") as store:
        store.execute("DROP TABLE outbox")
    store.close()
    response = await submit()
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert "outbox" not in response.text
    assert blobs() == []


async def test_a_store_that_is_away_is_noticed_before_the_upload_is_taken(
    client: httpx.AsyncClient, settings: ApiSettings
) -> None:
    with sqlite3.connect(settings.data / "store.db") as store:
        store.execute("DROP TABLE pools")
    store.close()
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield form(("file", b"x"))

    response = await client.post("/v1/jobs", content=body(), headers=FORM)
    assert response.status_code == 503
    assert not read or response.headers["Connection"] == "close"


async def test_a_blob_store_that_fails_costs_the_job(submit: Submit, settings: ApiSettings, ports: Ports) -> None:
    incoming = settings.data / "blobs" / "+incoming"
    incoming.rmdir()
    response = await submit()
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert str(settings.data) not in response.text
    assert await ports.store.jobs(DEFAULT_TENANT, limit=1) == []


async def test_an_outlook_that_cannot_be_had_does_not_undo_an_acceptance(
    submit: Submit, settings: ApiSettings, ports: Ports
) -> None:
    job = await job_of(ports, await submit())
    away = open_store(f"sqlite:///{settings.data / 'nowhere' / 'store.db'}", ports.events)
    assert await submission.outlook(away, job, [Pool()]) == submission.Outlook(None, None)
