"""Event streams, from the running program: what a listener sees must cross processes and sockets."""

import json
import re
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon import lifecycle
from antiphon.jobs import DEFAULT_TENANT
from antiphon_api.settings import ApiSettings

Submit = Callable[..., Awaitable[httpx.Response]]
Worker = Any
Program = Any


@dataclass
class Message:
    name: str
    id: str | None
    job: dict[str, Any]


class Listener:
    """Reads a stream of Server-Sent Events as a client does."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def message(self) -> Message | None:
        """The next message; None at the end of the stream."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line and "data" in fields:
                return Message(fields["event"], fields.get("id"), json.loads(fields["data"]))
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
        return None

    async def rest(self) -> list[Message]:
        messages = []
        while (message := await self.message()) is not None:
            messages.append(message)
        return messages


Listen = Callable[..., Any]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> ApiSettings:
    """One program serves all of these tests; each has a job of its own."""
    data = tmp_path_factory.mktemp("data")
    shutil.copy(empty_store, data / "store.db")
    return ApiSettings(data=data)


@pytest.fixture(scope="module")
def program(launch: Callable[..., Program], settings: ApiSettings) -> Program:
    return launch(settings)


@pytest.fixture
async def http(program: Program) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=program.url, timeout=10) as http:
        yield http


@pytest.fixture
async def job(http: httpx.AsyncClient) -> str:
    response = await http.post("/v1/jobs", files={"file": ("clip.wav", b"some audio")})
    job_id: str = response.json()["id"]
    return job_id


async def test_a_listener_hears_the_history_then_what_happens_then_the_end(
    http: httpx.AsyncClient, job: str, worker: Worker
) -> None:
    async with http.stream("GET", f"/v1/jobs/{job}/events") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-store"
        listener = Listener(response)
        queued = await listener.message()
        assert queued is not None
        assert (queued.name, queued.id, queued.job["state"]) == ("state", "1", "queued")
        await worker.claim(job)
        running = await listener.message()
        assert running is not None
        assert (running.name, running.id, running.job["state"], running.job["attempt"]) == ("state", "2", "running", 1)
        await worker.progress(job, 42.0)
        progress = await listener.message()
        assert progress is not None
        assert (progress.name, progress.id, progress.job["progress"]) == ("progress", None, 42.0)
        done = await worker.finish(job)
        [result] = await listener.rest()
        assert (result.name, result.id, result.job["state"]) == ("result", "3", "succeeded")
        assert result.job["progress"] == 100.0
        assert (await http.get(f"/v1/jobs/{done.id}")).json() == result.job


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_listener_that_comes_back_hears_what_it_missed_and_nothing_twice(
    http: httpx.AsyncClient, job: str, worker: Worker, by_header: bool
) -> None:
    await worker.claim(job)
    await worker.fail(job)
    last: dict[str, Any] = {"headers": {"Last-Event-ID": "1"}} if by_header else {"params": {"last_event_id": "1"}}
    async with http.stream("GET", f"/v1/jobs/{job}/events", **last) as response:
        messages = await Listener(response).rest()
    assert [(message.name, message.id, message.job["state"]) for message in messages] == [
        ("state", "2", "running"),
        ("state", "3", "failed"),
    ]
    assert messages[0].job["error"] is None
    assert messages[1].job["error"]["code"] == "audio_undecodable"


async def test_a_listener_that_has_heard_the_end_has_nothing_to_come_back_for(
    http: httpx.AsyncClient, job: str, worker: Worker
) -> None:
    await worker.succeed(job)
    for last in ("3", "999"):
        response = await http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": last})
        assert (response.status_code, response.content) == (204, b"")


async def test_a_listener_that_names_an_event_still_to_come_hears_that_too(
    http: httpx.AsyncClient, job: str, worker: Worker
) -> None:
    async with http.stream("GET", f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "999"}) as response:
        await worker.claim(job)
        messages = Listener(response)
        heard = await messages.message()
        while heard is not None and heard.id is None:
            heard = await messages.message()
    assert heard is not None
    assert heard.id == "2"


async def test_a_redrive_is_heard_and_the_stream_goes_on_to_the_end_of_the_new_round(
    http: httpx.AsyncClient, job: str, worker: Worker
) -> None:
    await worker.claim(job)
    await worker.fail(job)
    await http.post(f"/v1/jobs/{job}/redrive")
    async with http.stream("GET", f"/v1/jobs/{job}/events") as response:
        listener = Listener(response)
        history = [await listener.message() for _ in range(4)]
        assert [message.job["state"] for message in history if message] == ["queued", "running", "failed", "queued"]
        await worker.claim(job)
        await worker.finish(job)
        messages = await listener.rest()
    assert [(message.id, message.job["round"]) for message in messages if message.id] == [("5", 2), ("6", 2)]


async def test_progress_is_told_once_a_second_at_most_and_the_last_of_it_is_not_lost(
    http: httpx.AsyncClient, job: str, worker: Worker
) -> None:
    await worker.claim(job)
    async with http.stream("GET", f"/v1/jobs/{job}/events") as response:
        listener = Listener(response)
        await listener.message()
        await listener.message()
        for percent in range(1, 51):
            await worker.progress(job, float(percent))
        told = [await listener.message()]
        while told[-1] is not None and told[-1].job["progress"] < 50.0:
            told.append(await listener.message())
    assert len(told) <= 3
    assert all(message is not None and message.name == "progress" for message in told)


async def test_a_deleted_job_ends_its_streams(http: httpx.AsyncClient, job: str) -> None:
    async with http.stream("GET", f"/v1/jobs/{job}/events") as response:
        listener = Listener(response)
        await listener.message()
        await http.delete(f"/v1/jobs/{job}")
        assert await listener.rest() == []


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "\u0661", "9" * 19, "1; DROP TABLE events"])
async def test_an_event_number_that_is_none_is_refused(http: httpx.AsyncClient, job: str, last: str) -> None:
    response = await http.get(f"/v1/jobs/{job}/events", params={"last_event_id": last})
    assert (response.status_code, response.json()["code"]) == (400, "last_event_id_invalid")


async def test_listeners_of_one_job_hear_nothing_of_another(http: httpx.AsyncClient, job: str, worker: Worker) -> None:
    other = (await http.post("/v1/jobs", files={"file": ("clip.wav", b"x")})).json()["id"]
    async with http.stream("GET", f"/v1/jobs/{job}/events") as response:
        listener = Listener(response)
        await listener.message()
        await worker.succeed(other)
        await worker.succeed(job)
        assert {message.job["id"] for message in await listener.rest()} == {job}


async def test_a_listener_that_leaves_is_forgotten(http: httpx.AsyncClient, program: Program, job: str) -> None:
    """A stream is over, and counted, once its listener is gone, though its job goes on."""

    async def over() -> int:
        count = r'antiphon_http_request_seconds_count{method="GET",route="/v1/jobs/{job}/events",status="200"} (\d+)'
        found = re.search(count.replace("{", r"\{").replace("}", r"\}"), (await http.get("/metrics")).text)
        return int(found[1]) if found else 0

    before = await over()
    with socket.create_connection(program.address) as listener:
        listener.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: api\r\n\r\n".encode())
        assert listener.recv(65536)
    while await over() == before:
        pass


async def test_many_listeners_hear_the_same(http: httpx.AsyncClient, job: str, worker: Worker) -> None:
    async with (
        http.stream("GET", f"/v1/jobs/{job}/events") as first,
        http.stream("GET", f"/v1/jobs/{job}/events") as second,
    ):
        listeners = [Listener(first), Listener(second)]
        for listener in listeners:
            await listener.message()
        await worker.ports.store.change(DEFAULT_TENANT, job, lifecycle.cancel)
        heard = [await listener.rest() for listener in listeners]
    assert heard[0] == heard[1]
    assert [(message.name, message.job["state"]) for message in heard[0]] == [("state", "cancelled")]
