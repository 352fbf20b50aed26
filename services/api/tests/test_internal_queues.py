"""The queue tools over HTTP, on real embedded backends."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from antiphon import lifecycle
from antiphon.errors import PoolNotFound
from antiphon.ids import new_id
from antiphon.jobs import DEFAULT_TENANT, Priority
from antiphon.messages import Message
from antiphon.ports import Ports
from antiphon.queue.base import Capability, DeadLetter
from antiphon.queue.sqlite import SqliteQueue
from antiphon.relay import Relay
from antiphon_api.queue_schemas import MAX_BODY, DeadLetterOut
from antiphon_api.settings import ApiSettings

Submit = Callable[..., Awaitable[httpx.Response]]
Worker = Any
BEARER = "correct-horse-battery-staple"
HERE = "/v1/internal/queues/default"


@pytest.fixture
def settings(settings: ApiSettings) -> ApiSettings:
    return settings.model_copy(update={"internal_token": SecretStr(BEARER)})


@pytest.fixture
async def holder(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that holds the internal token."""
    headers = {"Authorization": f"Bearer {BEARER}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=f"http://api{HERE}", headers=headers
    ) as client:
        yield client


@pytest.fixture
def queued(submit: Submit, ports: Ports) -> Callable[..., Awaitable[str]]:
    """Submit a job, and send its message."""

    async def queued(**options: object) -> str:
        job: str = (await submit(options=options)).json()["id"]
        await Relay(ports.store, ports.queue).relay()
        return job

    return queued


Queued = Callable[..., Awaitable[str]]


async def fail(ports: Ports, worker: Worker) -> None:
    """A worker fails what waits, and makes dead letters of it."""
    for received in await ports.queue.receive(100, wait=0, lease=30):
        await worker.claim(received.message.job)
        await worker.fail(received.message.job)
        await ports.queue.dead_letter(received, "audio_undecodable: the bytes are not audio")


async def send_unreadable(settings: ApiSettings, ports: Ports, body: str) -> None:
    """A message of another program lies in the queue."""
    await ports.queue.send([Message(new_id(), 1, 0, priority=Priority.LOW)])
    with sqlite3.connect(settings.data / "queue.db") as queue:
        queue.execute("UPDATE message SET body = ? WHERE priority = 2", (body,))
    queue.close()


async def states(ports: Ports, *jobs: str) -> list[str]:
    return [(await ports.store.job(DEFAULT_TENANT, job)).state.value for job in jobs]


async def waiting(ports: Ports) -> list[str]:
    return [each.body for each in await ports.queue.peek(100)]


async def test_a_pool_that_is_not_registered_is_not_found(app: FastAPI, holder: httpx.AsyncClient) -> None:
    for path, methods in app.openapi()["paths"].items():
        if "{pool}" in path:
            for method in methods:
                unknown = await holder.request(method, f"http://api{path.format(pool='nowhere')}")
                assert (unknown.status_code, unknown.json()["code"]) == (404, PoolNotFound.code)


# --- peek


async def test_what_waits_is_shown_in_the_order_of_its_turn_and_stays(
    holder: httpx.AsyncClient, queued: Queued, ports: Ports
) -> None:
    low, high = await queued(priority="low"), await queued(priority="high")
    [received] = await ports.queue.receive(1, wait=0, lease=30, priorities={Priority.HIGH})
    await ports.queue.release([received])
    for _ in range(2):
        seen = (await holder.get("/messages")).json()
        assert seen["source"] == "queue"
        assert seen["messages"][0] == {
            "job": high, "state": "queued", "round": 1, "leg": 0, "tenant": "default", "priority": "high",
            "deliveries": 1, "body": None,
        }  # fmt: skip
        assert [(each["job"], each["deliveries"]) for each in seen["messages"]] == [(high, 1), (low, 0)]
    assert len((await holder.get("/messages", params={"limit": 1})).json()["messages"]) == 1


async def test_a_message_that_nobody_can_read_or_of_no_job_is_shown_as_it_is(
    holder: httpx.AsyncClient, ports: Ports, settings: ApiSettings
) -> None:
    await send_unreadable(settings, ports, "<xml/>" * MAX_BODY)
    stranger = Message(new_id(), 3, 1)
    await ports.queue.send([stranger])
    first, second = (await holder.get("/messages")).json()["messages"]
    assert (first["job"], first["round"], first["leg"], first["state"]) == (stranger.job, 3, 1, None)
    assert (second["job"], second["round"], second["priority"]) == (None, None, "low")
    assert second["body"] == ("<xml/>" * MAX_BODY)[:MAX_BODY]


class Opaque(SqliteQueue):
    """As a queue whose backend shows nothing that it does not hand out."""

    capabilities: ClassVar[frozenset[Capability]] = SqliteQueue.capabilities - {Capability.PEEK}


async def test_the_store_tells_what_waits_where_the_queue_cannot(
    app: FastAPI, holder: httpx.AsyncClient, queued: Queued, worker: Worker, ports: Ports, settings: ApiSettings
) -> None:
    low, running, high = await queued(priority="low"), await queued(), await queued(priority="high")
    await worker.claim(running)
    async with Opaque(settings.data / "queue.db") as queue:
        context = app.state.context
        object.__setattr__(context, "ports", Ports(ports.store, queue, ports.blobs, ports.events))
        seen = (await holder.get("/messages")).json()
    assert seen["source"] == "store"
    assert [(each["job"], each["priority"]) for each in seen["messages"]] == [(high, "high"), (low, "low")]
    assert seen["messages"][0] == {
        "job": high, "state": "queued", "round": 1, "leg": 0, "tenant": "default", "priority": "high",
        "deliveries": None, "body": None,
    }  # fmt: skip


# --- dead letters


async def test_dead_letters_tell_why_they_died_and_how_their_jobs_stand(
    holder: httpx.AsyncClient, queued: Queued, worker: Worker, ports: Ports, settings: ApiSettings
) -> None:
    job = await queued()
    await fail(ports, worker)
    await send_unreadable(settings, ports, "<xml/>" * MAX_BODY)
    await ports.queue.receive(1, wait=0, lease=30)
    first, second = (await holder.get("/dead")).json()["dead"]
    assert (first["job"], first["state"]) == (job, "failed")
    assert first["reason"] == "audio_undecodable: the bytes are not audio"
    assert first["died_at"].endswith("Z")
    assert job in first["body"]
    assert (second["job"], second["state"], len(second["body"])) == (None, None, MAX_BODY)
    assert second["reason"].startswith("the message is not JSON")
    assert len((await holder.get("/dead", params={"limit": 1})).json()["dead"]) == 1


async def test_the_dead_letters_of_failed_jobs_are_redriven_by_the_store(
    holder: httpx.AsyncClient, client: httpx.AsyncClient, queued: Queued, worker: Worker, ports: Ports
) -> None:
    jobs = [await queued(), await queued()]
    await fail(ports, worker)
    assert (await holder.post("/redrive")).json() == {"redriven": 2, "skipped": []}
    assert await states(ports, *jobs) == ["queued", "queued"]
    assert (await client.get(f"/v1/jobs/{jobs[0]}")).json()["round"] == 2
    assert await ports.queue.dead(10) == []
    assert await waiting(ports) == [], "their messages come through the outbox"
    await Relay(ports.store, ports.queue).relay()
    assert len(await waiting(ports)) == 2
    assert (await holder.post("/redrive")).json() == {"redriven": 0, "skipped": []}


async def test_only_what_is_asked_for_is_redriven(
    holder: httpx.AsyncClient, queued: Queued, worker: Worker, ports: Ports
) -> None:
    jobs = [await queued() for _ in range(3)]
    await fail(ports, worker)
    dead = {each["job"]: each["id"] for each in (await holder.get("/dead")).json()["dead"]}
    answer = (await holder.post("/redrive", json={"ids": [dead[jobs[1]], "nonesuch"]})).json()
    assert answer == {"redriven": 1, "skipped": [{"id": "nonesuch", "reason": "there is no such dead letter"}]}
    assert await states(ports, *jobs) == ["failed", "queued", "failed"]
    assert (await holder.post("/redrive", json={"ids": []})).json() == {"redriven": 0, "skipped": []}
    assert (await holder.post("/redrive", json={"ids": None, "limit": 1})).json()["redriven"] == 1
    assert len(await ports.queue.dead(10)) == 1


async def test_a_dead_letter_that_its_job_does_not_want_is_only_removed_and_that_is_said(
    holder: httpx.AsyncClient, client: httpx.AsyncClient, queued: Queued, worker: Worker, ports: Ports
) -> None:
    succeeded, deleted, running, cancelled = [await queued() for _ in range(4)]
    await fail(ports, worker)
    await client.delete(f"/v1/jobs/{deleted}")
    for job in (succeeded, running, cancelled):
        await ports.store.change(DEFAULT_TENANT, job, lifecycle.redrive)
    await worker.succeed(succeeded)
    await worker.claim(running)
    await client.post(f"/v1/jobs/{cancelled}/cancel")
    dead = {each["id"]: each["job"] for each in (await holder.get("/dead")).json()["dead"]}
    answer = (await holder.post("/redrive")).json()
    assert answer["redriven"] == 0
    reasons = {dead[each["id"]]: each["reason"] for each in answer["skipped"]}
    assert reasons == {
        succeeded: "its job is succeeded, and in round 2 by now; this was round 1",
        deleted: f"the job {deleted} was deleted",
        running: "its job is running, and in round 2 by now; this was round 1",
        cancelled: "its job is cancelled, and in round 2 by now; this was round 1",
    }
    assert await states(ports, succeeded, running, cancelled) == ["succeeded", "running", "cancelled"]
    assert await ports.queue.dead(10) == []


async def test_a_job_that_failed_twice_is_redriven_once_and_by_its_last_dead_letter(
    holder: httpx.AsyncClient, client: httpx.AsyncClient, queued: Queued, worker: Worker, ports: Ports
) -> None:
    job = await queued()
    await fail(ports, worker)
    await ports.store.change(DEFAULT_TENANT, job, lifecycle.redrive)  # and its dead letter could not be removed
    await Relay(ports.store, ports.queue).relay()
    await fail(ports, worker)
    first, second = (await holder.get("/dead")).json()["dead"]
    answer = (await holder.post("/redrive", json={"ids": [first["id"]]})).json()
    assert answer["skipped"][0]["reason"] == "its job is failed, and in round 2 by now; this was round 1"
    assert await states(ports, job) == ["failed"]
    assert (await holder.post("/redrive", json={"ids": [second["id"]]})).json()["redriven"] == 1
    assert (await client.get(f"/v1/jobs/{job}")).json()["round"] == 3


async def test_messages_that_belong_to_no_job_are_queued_again_as_they_are(
    holder: httpx.AsyncClient, ports: Ports, settings: ApiSettings
) -> None:
    await send_unreadable(settings, ports, "<xml/>")
    stranger = Message(new_id(), 1, 0)
    await ports.queue.send([stranger])
    [received] = await ports.queue.receive(1, wait=0, lease=30, priorities={Priority.NORMAL})
    await ports.queue.dead_letter(received, "?")
    assert await ports.queue.receive(1, wait=0, lease=30) == []  # and so the other one is read, which cannot be
    assert (await holder.post("/redrive")).json() == {"redriven": 2, "skipped": []}
    assert await waiting(ports) == [stranger.encode(), "<xml/>"]
    assert await ports.queue.dead(10) == []


async def test_a_message_that_died_of_too_many_deliveries_goes_back_to_its_waiting_job(
    holder: httpx.AsyncClient, queued: Queued, worker: Worker, ports: Ports
) -> None:
    """As SQS does to one that was received too often, whatever becomes of its job."""
    waits, runs = await queued(), await queued()
    await worker.claim(runs)
    for received in await ports.queue.receive(2, wait=0, lease=30):
        await ports.queue.dead_letter(received, "received too often")
    assert (await holder.post("/redrive")).json() == {"redriven": 2, "skipped": []}
    assert await states(ports, waits, runs) == ["queued", "running"]
    assert len(await waiting(ports)) == 2


async def test_a_cancelled_job_stays_cancelled_although_its_message_is_dead(
    holder: httpx.AsyncClient, client: httpx.AsyncClient, queued: Queued, ports: Ports
) -> None:
    job = await queued()
    [received] = await ports.queue.receive(1, wait=0, lease=30)
    await ports.queue.dead_letter(received, "received too often")
    await client.post(f"/v1/jobs/{job}/cancel")
    [skipped] = (await holder.post("/redrive")).json()["skipped"]
    assert skipped["reason"] == "its job is cancelled"
    assert await states(ports, job) == ["cancelled"]
    assert await ports.queue.dead(10) == []


def test_bytes_that_are_no_text_are_shown_all_the_same() -> None:
    """As a backend may hand them out that reads bytes with `surrogateescape`."""
    shown = DeadLetterOut.of(DeadLetter("1", "\udcff<xml/>", "not \udcff JSON", 0.0), None, None)
    assert '"?<xml/>"' in shown.model_dump_json()


# --- purge


async def test_a_purge_cancels_what_waits_and_empties_the_queue(
    holder: httpx.AsyncClient, client: httpx.AsyncClient, queued: Queued, worker: Worker, ports: Ports
) -> None:
    low, running, normal = await queued(priority="low"), await queued(), await queued()
    [received] = await ports.queue.receive(1, wait=0, lease=30, priorities={Priority.NORMAL})
    await worker.claim(running)
    assert received.message.job == running
    purged = await holder.post("/purge", json={"priority": "low"})
    assert purged.json() == {"cancelled": 1, "removed": 1, "complete": True}
    assert await states(ports, low, running, normal) == ["cancelled", "running", "queued"]
    assert (await holder.post("/purge")).json() == {"cancelled": 1, "removed": 1, "complete": True}
    assert await states(ports, running, normal) == ["running", "cancelled"]
    assert await waiting(ports) == []
    ended = 'antiphon_jobs_total{outcome="cancelled",pool="default"} 2.0'
    assert ended in (await client.get("/metrics")).text


# --- pause


async def test_a_pool_is_paused_and_resumed(holder: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    for action, paused in (("pause", True), ("pause", True), ("resume", False), ("resume", False)):
        answer = await holder.post(f"/{action}")
        assert (answer.status_code, answer.json()["name"], answer.json()["paused"]) == (200, "default", paused)
        assert answer.json()["backlog"]["queued"] == 0
        [pool] = (await client.get("/v1/pools")).json()["pools"]
        assert pool["paused"] is paused
        assert {queue["paused"] for queue in (await client.get("/v1/queues")).json()["queues"]} == {paused}


async def test_a_paused_pool_still_takes_jobs(holder: httpx.AsyncClient, submit: Submit) -> None:
    await holder.post("/pause")
    assert (await submit()).status_code == 202


# --- bad input


@pytest.mark.parametrize(
    ("path", "body", "status", "pointer"),
    [
        ("/redrive", b"{", 422, "/body"),
        ("/redrive", b"[]", 422, "/body"),
        ("/redrive", b'{"ids": "one"}', 422, "/body/ids"),
        ("/redrive", b'{"ids": [1]}', 422, "/body/ids/0"),
        ("/redrive", b'{"limit": 0}', 422, "/body/limit"),
        ("/redrive", b'{"limit": 1001}', 422, "/body/limit"),
        ("/redrive", b'{"limit": "9"}', 422, "/body/limit"),
        ("/redrive", b'{"id": ["x"]}', 422, "/body/id"),
        ("/purge", b'{"priority": "urgent"}', 422, "/body/priority"),
        ("/purge", b"\xff", 422, "/body"),
        ("/purge", b" " * (1 << 20), 413, None),
        ("/messages?limit=0", None, 422, "/query/limit"),
        ("/messages?limit=101", None, 422, "/query/limit"),
        ("/dead?limit=x", None, 422, "/query/limit"),
    ],
)
async def test_a_wrong_request_changes_nothing_and_says_what_is_wrong(
    holder: httpx.AsyncClient, queued: Queued, ports: Ports, path: str, body: bytes | None, status: int, pointer: str
) -> None:
    job = await queued()
    method = "GET" if body is None else "POST"
    answer = await holder.request(method, path, content=body, headers={"Content-Type": "application/json; charset=x"})
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [each["pointer"] for each in answer.json().get("errors", [])] == ([pointer] if pointer else [])
    assert await states(ports, job) == ["queued"]


async def test_a_body_that_does_not_say_it_is_json_is_not_read(holder: httpx.AsyncClient) -> None:
    answer = await holder.post("/purge", data={"priority": "low"})
    assert (answer.status_code, answer.json()["code"]) == (415, "media_type_not_supported")
