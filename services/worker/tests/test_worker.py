"""The worker in this process, on real embedded ports and with a real slot: what it does with messages and outcomes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from antiphon import lifecycle
from antiphon.blobs.base import put_bytes, read_all
from antiphon.errors import BlobNotFound, JobDeleted
from antiphon.hooks import Hooks
from antiphon.ids import new_id
from antiphon.jobs import Artifact, Claim, Job, Leg, Priority, Source, State
from antiphon.messages import Message
from antiphon.ports import Ports, open_ports
from antiphon.queue.base import Received
from antiphon.queue.sqlite import SqliteQueue
from antiphon.retry import RetryPolicy
from antiphon.store.base import Store, topic
from antiphon.store.schema import migrate
from antiphon_speech.engines import EngineSettings
from antiphon_speech.results import AudioInfo, Result
from antiphon_worker.settings import WorkerSettings
from antiphon_worker.slots import Slots
from antiphon_worker.worker import Worker

STAGES = ("decode", "pitch", "render")


class Heard(Hooks):
    """Remembers how attempts ended."""

    def __init__(self) -> None:
        self.attempts: list[str] = []

    def attempt(self, job: Job, outcome: str) -> None:
        del job
        self.attempts.append(outcome)


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(data=tmp_path / "files", scratch=tmp_path, retry_base_seconds=0, drain_seconds=5)


@pytest.fixture
async def ports(settings: WorkerSettings) -> AsyncIterator[Ports]:
    await migrate(settings.store())
    async with open_ports(settings) as ports:
        yield ports


@pytest.fixture
def heard() -> Heard:
    return Heard()


@asynccontextmanager
async def working(ports: Ports, settings: WorkerSettings, heard: Heard) -> AsyncIterator[Worker]:
    """A worker that serves while the body runs, and is then drained."""
    async with Slots(1, EngineSettings(), heard) as slots:
        await slots.warm()
        worker = Worker("w1", ports, slots, settings, heard)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run())
            yield worker
            await worker.drain()


async def accept(ports: Ports, recording: bytes, stages: tuple[str, ...] = STAGES, **fields: object) -> Job:
    """A job whose message is in the queue."""
    job_id = new_id()
    blob = await put_bytes(ports.blobs, f"standard/default/{job_id}/source", recording)
    job = Job(
        id=job_id,
        tenant="default",
        state=State.QUEUED,
        priority=Priority.NORMAL,
        source=Source(blob.key, "x.wav", blob.size, blob.sha256),
        options={"pipeline": ["pitch"]},
        legs=(Leg("default", stages),),
        created_at=0.0,
    )
    accepted = await ports.store.accept(replace(job, **fields))  # type: ignore[arg-type]
    await ports.queue.send([Message.of(accepted)])
    return accepted


async def until(ports: Ports, job: Job, *states: State) -> Job:
    """The job once it is in one of these states."""
    async with ports.events.listen(topic(job.id)) as listener:
        while True:
            found = await ports.store.job(job.tenant, job.id)
            if found.state in states:
                return found
            await listener.wait(1.0)


async def until_empty(ports: Ports) -> int:
    """How many dead letters there are once nothing else is in the queue."""
    while True:
        depths = (await ports.queue.depth()).values()
        if sum(depth.alive for depth in depths) == 0:
            return sum(depth.dead for depth in depths)
        await asyncio.sleep(0.01)


async def test_a_job_is_done_acked_and_leaves_no_lease(
    ports: Ports, settings: WorkerSettings, heard: Heard, clips: Path
) -> None:
    job = await accept(ports, (clips / "bobby.wav").read_bytes())
    async with working(ports, settings, heard):
        done = await until(ports, job, State.SUCCEEDED)
        assert await until_empty(ports) == 0
    assert (done.attempt, done.lease, done.progress) == (1, None, 100.0)
    assert done.audio_seconds == pytest.approx(1.19, abs=0.01)
    left = await ports.store.artifacts("default", job.id)
    assert {"audio.json", "pitch.json", "result.json", "pitch.csv"} <= {artifact.name for artifact in left}
    assert all(artifact.key.startswith(f"{job.blob_prefix}/1/") for artifact in left)
    assert heard.attempts == ["done"]


async def test_stages_that_an_earlier_attempt_finished_are_not_run_again(
    ports: Ports, settings: WorkerSettings, heard: Heard, clips: Path
) -> None:
    job = await accept(ports, (clips / "bobby.wav").read_bytes())
    info = AudioInfo(duration=1.19, sample_rate=1, channels=1, codec="by hand", container="x", peak=0, rms=0, clipped=0)
    blob = await put_bytes(ports.blobs, f"{job.blob_prefix}/1/audio.json", info.model_dump_json().encode())
    by_hand = Artifact("audio.json", "decode", "application/json", blob.size, blob.sha256, blob.key, 1, seconds=77.0)
    decide = partial(lifecycle.claim, message=Message.of(job), worker="lost", lease=0.0, policy=RetryPolicy())
    claim = Claim.of(await ports.store.change("default", job.id, decide))
    assert claim is not None
    save = partial(lifecycle.save, claim=claim, stage="decode", percent=5.0, artifacts=[by_hand])
    await ports.store.change("default", job.id, save)
    async with working(ports, settings, heard):
        await until(ports, job, State.SUCCEEDED)
    artifacts = {artifact.name: artifact for artifact in await ports.store.artifacts("default", job.id)}
    assert artifacts["audio.json"] == by_hand
    assert artifacts["pitch.json"].fence == 2
    result = Result.model_validate_json(await read_all(ports.blobs, artifacts["result.json"].key, 1 << 20))
    assert (result.audio.codec, result.timings["decode"]) == ("by hand", 77.0)


async def test_what_cannot_heal_fails_at_once_and_becomes_a_dead_letter(
    ports: Ports, settings: WorkerSettings, heard: Heard
) -> None:
    job = await accept(ports, b"a letter to my bank " * 50)
    async with working(ports, settings, heard):
        failed = await until(ports, job, State.FAILED)
        assert await until_empty(ports) == 1
    assert failed.failure is not None
    assert (failed.attempt, failed.failure.code) == (1, "audio_undecodable")
    [dead] = await ports.queue.dead(10)
    assert dead.reason.startswith("audio_undecodable: ")
    assert heard.attempts == ["failed"]


async def test_an_attempt_that_takes_too_long_is_ended_and_tried_again(
    ports: Ports, settings: WorkerSettings, heard: Heard, minutes: Path
) -> None:
    impatient = settings.model_copy(update={"attempt_seconds": 0.5, "attempts": 2})
    options = {"pipeline": "transcribe"}
    job = await accept(ports, minutes.read_bytes(), ("transcribe", "render"), options=options)
    async with working(ports, impatient, heard):
        failed = await until(ports, job, State.FAILED)
    assert failed.failure is not None
    assert (failed.attempt, failed.failure.code) == (2, "attempt_timeout")
    assert heard.attempts == ["retried", "failed"]


async def test_a_message_of_a_job_that_is_over_is_acked_and_gone(
    ports: Ports, settings: WorkerSettings, heard: Heard, clips: Path
) -> None:
    over = await accept(ports, (clips / "bobby.wav").read_bytes())
    await ports.store.change("default", over.id, lifecycle.cancel)
    await ports.queue.send([Message(new_id(), round=1, leg=0)])
    async with working(ports, settings, heard):
        assert await until_empty(ports) == 0
    assert heard.attempts == []


async def test_a_message_whose_job_another_worker_holds_waits_for_its_lease(
    ports: Ports, settings: WorkerSettings, heard: Heard, clips: Path
) -> None:
    job = await accept(ports, (clips / "bobby.wav").read_bytes())
    policy = RetryPolicy()
    decide = partial(lifecycle.claim, message=Message.of(job), worker="another", lease=1.0, policy=policy)
    await ports.store.change("default", job.id, decide)
    async with working(ports, settings, heard):
        done = await until(ports, job, State.SUCCEEDED)
    assert (done.fence, done.attempt) == (2, 2)


async def test_a_dead_letter_that_a_crash_left_out_is_made_up_for(
    ports: Ports, settings: WorkerSettings, heard: Heard, clips: Path
) -> None:
    job = await accept(ports, (clips / "bobby.wav").read_bytes())
    decide = partial(
        lifecycle.claim, message=Message.of(job), worker="another", lease=0.0, policy=RetryPolicy(attempts=0)
    )
    failed = await ports.store.change("default", job.id, decide)
    assert (failed.state, failed.dead_letter) == (State.FAILED, True)
    async with working(ports, settings, heard):
        assert await until_empty(ports) == 1
    assert not (await ports.store.job("default", job.id)).dead_letter


async def test_a_worker_whose_job_was_deleted_leaves_no_blob_of_it(
    ports: Ports, settings: WorkerSettings, heard: Heard, minutes: Path
) -> None:
    job = await accept(ports, minutes.read_bytes(), ("transcribe",), options={"pipeline": "transcribe"})
    async with working(ports, settings, heard):
        await until(ports, job, State.RUNNING)
        await ports.store.change("default", job.id, lifecycle.delete)
        await until_empty(ports)
    assert heard.attempts == ["fence_lost"]
    with pytest.raises(BlobNotFound):
        await ports.blobs.size(job.source.key)


class DeletesFirst(SqliteQueue):
    """A queue at which a job is deleted in the very moment when its message becomes a dead letter."""

    store: Store

    async def dead_letter(self, received: Received, reason: str) -> bool:
        await self.store.change(received.message.tenant, received.message.job, lifecycle.delete)
        return await super().dead_letter(received, reason)


async def test_a_job_that_is_erased_while_its_message_is_buried_takes_no_worker_along(
    ports: Ports, settings: WorkerSettings, heard: Heard, clips: Path
) -> None:
    async with DeletesFirst(settings.data / "queue.db") as queue:
        queue.store = ports.store
        ports = replace(ports, queue=queue)
        job = await accept(ports, b"no audio at all")
        async with working(ports, settings, heard):
            assert await until_empty(ports) == 1
            another = await accept(ports, (clips / "bobby.wav").read_bytes())
            await until(ports, another, State.SUCCEEDED)
    with pytest.raises(JobDeleted):
        await ports.store.job("default", job.id)


async def test_a_recording_that_was_lost_fails_the_job_with_a_sentence(
    ports: Ports, settings: WorkerSettings, heard: Heard, clips: Path
) -> None:
    job = await accept(ports, (clips / "bobby.wav").read_bytes())
    await ports.blobs.delete_prefix(job.blob_prefix)
    async with working(ports, settings, heard):
        failed = await until(ports, job, State.FAILED)
    assert failed.failure is not None
    assert failed.failure.code == "recording_lost"


async def test_a_worker_holds_no_more_messages_than_it_has_slots(
    ports: Ports, settings: WorkerSettings, heard: Heard, minutes: Path
) -> None:
    options = {"pipeline": "transcribe"}
    jobs = [await accept(ports, minutes.read_bytes(), ("transcribe",), options=options) for _ in range(3)]
    async with working(ports, settings.model_copy(update={"drain_seconds": 0}), heard) as worker:
        await until(ports, jobs[0], State.RUNNING)
        depths = (await ports.queue.depth()).values()
        assert (sum(depth.in_flight for depth in depths), sum(depth.available for depth in depths)) == (1, 2)
        assert worker.running == 1
    handed_back = await ports.store.job("default", jobs[0].id)
    assert (handed_back.state, handed_back.attempt, handed_back.lease) == (State.RUNNING, 0, None)
    assert heard.attempts == ["handed_back"]
