"""An API on real embedded backends, a worker that does by hand what workers do, and the API as a program of its own."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from antiphon import lifecycle
from antiphon.blobs import put_bytes
from antiphon.jobs import DEFAULT_TENANT, Artifact, Claim, Failure, Job
from antiphon.messages import Message
from antiphon.pools import Pool
from antiphon.ports import Ports, open_ports
from antiphon.retry import RetryPolicy
from antiphon.store.schema import migrate
from antiphon.telemetry.metrics import Metrics
from antiphon_api.app import create_app
from antiphon_api.settings import ApiSettings

Submit = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database with the pool `default`, to be copied: migrating takes longer than most tests."""
    data = tmp_path_factory.mktemp("empty")

    async def make() -> None:
        settings = ApiSettings(data=data)
        await migrate(settings.store())
        async with open_ports(settings) as ports:
            await ports.store.put_pool(Pool())

    asyncio.run(make())
    return data / "store.db"


@pytest.fixture
def settings(tmp_path: Path, empty_store: Path) -> ApiSettings:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(empty_store, data / "store.db")
    return ApiSettings(data=data, max_upload_bytes=1_000_000)


@pytest.fixture
async def ports(settings: ApiSettings) -> AsyncIterator[Ports]:
    async with open_ports(settings) as ports:
        yield ports


@pytest.fixture
def app(ports: Ports, settings: ApiSettings) -> FastAPI:
    metrics = Metrics()
    return create_app(ports, settings, metrics, metrics.registry)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        yield client


@pytest.fixture
def submit(client: httpx.AsyncClient) -> Submit:
    """Submit a recording as most clients do."""

    async def submit(
        content: bytes = b"some audio", options: object = None, *, name: str = "clip.wav", **headers: str
    ) -> httpx.Response:
        parts: dict[str, Any] = {"file": (name, content)}
        if options is not None:
            parts["options"] = (None, options if isinstance(options, bytes | str) else json.dumps(options))
        return await client.post(
            "/v1/jobs", files=parts, headers={key.replace("_", "-"): value for key, value in headers.items()}
        )

    return submit


@dataclass
class Worker:
    """Takes jobs through their life as a worker does, by the decisions of the core."""

    ports: Ports
    name: str = "a worker"
    claims: dict[str, Claim] = field(default_factory=dict)

    async def claim(self, job_id: str) -> Job:
        job = await self.ports.store.job(DEFAULT_TENANT, job_id)
        claimed = await self._change(
            job_id, lifecycle.claim, message=Message.of(job), worker=self.name, lease=30.0, policy=RetryPolicy()
        )
        claim = Claim.of(claimed)
        assert claim is not None
        self.claims[job_id] = claim
        return claimed

    async def progress(self, job_id: str, percent: float, stage: str = "transcribe") -> Job:
        return await self._change(job_id, lifecycle.progress, claim=self.claims[job_id], stage=stage, percent=percent)

    async def save(self, job_id: str, name: str, content: bytes, media_type: str = "text/plain") -> Artifact:
        claim = self.claims[job_id]
        job = await self.ports.store.job(claim.tenant, job_id)
        blob = await put_bytes(self.ports.blobs, f"{job.blob_prefix}/{claim.fence}/{len(content)}", content)
        artifact = Artifact(name, "render", media_type, blob.size, blob.sha256, blob.key, claim.fence)
        await self._change(
            job_id, lifecycle.save, claim=claim, stage="render", percent=90.0, artifacts=[artifact], audio_seconds=1.5
        )
        return artifact

    async def finish(self, job_id: str) -> Job:
        return await self._change(job_id, lifecycle.finish_leg, claim=self.claims[job_id])

    async def fail(self, job_id: str, code: str = "audio_undecodable") -> Job:
        failure = Failure(code, "the bytes are not audio")
        return await self._change(job_id, lifecycle.fail, claim=self.claims[job_id], failure=failure)

    async def succeed(self, job_id: str, **artifacts: bytes) -> Job:
        """The whole of it; artifacts are given by name, with `_` for `.`."""
        await self.claim(job_id)
        for name, content in artifacts.items():
            await self.save(job_id, name.replace("_", "."), content, "application/json")
        return await self.finish(job_id)

    async def _change(self, job_id: str, decide: Callable[..., lifecycle.Change], **arguments: Any) -> Job:
        return await self.ports.store.change(DEFAULT_TENANT, job_id, lambda job, now: decide(job, now, **arguments))


@pytest.fixture
def worker(ports: Ports) -> Worker:
    return Worker(ports)


@dataclass
class Program:
    """The API as a program of its own, on a socket that the test listens on."""

    process: subprocess.Popen[str]
    url: str
    address: tuple[str, int]

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(10)


Start = Callable[..., Program]


@pytest.fixture(scope="session")
def launch() -> Iterator[Start]:
    """Start the API on given data. It can be asked as soon as this returns, since its socket listens already."""
    started: list[subprocess.Popen[str]] = []

    def launch(
        settings: ApiSettings, *arguments: str, descriptors: tuple[int, ...] = (), **environment: str
    ) -> Program:
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
            process = subprocess.Popen(
                [sys.executable, "-m", "antiphon_api", "--fd", str(listening.fileno()), *arguments],
                env={**os.environ, "ANTIPHON_DATA": str(settings.data), **environment},
                pass_fds=[listening.fileno(), *descriptors],
                stderr=subprocess.PIPE,
                text=True,
            )
            started.append(process)
            host, port = listening.getsockname()
        return Program(process, f"http://{host}:{port}", (host, port))

    yield launch
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def start(launch: Start, settings: ApiSettings) -> Start:
    return partial(launch, settings)


@pytest.fixture
def program(start: Start) -> Program:
    return start()


def blobs_of(settings: ApiSettings) -> list[str]:
    """Every file that the blob store holds, the unfinished ones too."""
    root = settings.data / "blobs"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def blobs(settings: ApiSettings) -> Callable[[], list[str]]:
    return lambda: blobs_of(settings)
