"""Slots with their real child processes: what dies or hangs in there never takes the worker along."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.hooks import Hooks
from antiphon.retry import StageFailure
from antiphon_speech.audio import AudioLimits
from antiphon_speech.engines import EngineSettings
from antiphon_speech.options import AnalysisOptions
from antiphon_worker.child import StageDone, StageProgress, StageTask
from antiphon_worker.slots import EnginesMissing, Slot, Slots

CLIPS = Path(__file__).parents[3] / "tests" / "data" / "clips"


class Heard(Hooks):
    """Remembers why slots were restarted."""

    def __init__(self) -> None:
        self.restarts: list[str] = []

    def slot_restarted(self, reason: str) -> None:
        self.restarts.append(reason)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def slot(heard: Heard) -> AsyncIterator[Slot]:
    async with Slots(1, EngineSettings(), heard) as slots:
        await slots.warm()
        yield await slots.borrow()


def task(stage: str, clip: str = "librivox_0880", attempt: str = "job/1") -> StageTask:
    return StageTask(attempt, stage, CLIPS / f"{clip}.wav", AnalysisOptions(), AudioLimits(), {}, {})


def transcribing(slot: Slot, recording: Path) -> tuple[asyncio.Task[StageDone | StageFailure], asyncio.Event]:
    """A transcription, and what is set once it has come somewhere and has more to do."""
    begun = asyncio.Event()
    long = StageTask("job/1", "transcribe", recording, AnalysisOptions(), AudioLimits(), {}, {})
    return asyncio.create_task(slot.run(long, lambda _: begun.set())), begun


def ignore(_: StageProgress) -> None:
    """Nobody watches."""


def child_of(process: int) -> int:
    """The slot's child of this process."""
    children = [
        int(child)
        for thread in Path(f"/proc/{process}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    return next(child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes())


async def test_a_slot_runs_stage_after_stage_of_an_attempt_and_tells_progress(slot: Slot) -> None:
    told: list[StageProgress] = []
    decoded = await slot.run(task("decode"), told.append)
    assert isinstance(decoded, StageDone)
    assert decoded.produced[0].name == "audio.json"
    done = await slot.run(task("transcribe"), told.append)
    assert isinstance(done, StageDone)
    assert b"young man" in done.produced[0].data
    assert done.seconds > 0
    assert {(report.attempt, report.stage) for report in told} == {("job/1", "transcribe")}
    assert 0 < max(report.share for report in told) <= 1


async def test_a_failure_comes_out_as_data(slot: Slot, tmp_path: Path, heard: Heard) -> None:
    fake = tmp_path / "fake.wav"
    fake.write_bytes(b"RIFF nothing of the kind")
    failed = await slot.run(StageTask("job/1", "decode", fake, AnalysisOptions(), AudioLimits(), {}, {}), ignore)
    assert isinstance(failed, StageFailure)
    assert (failed.code, failed.retryable) == ("audio_undecodable", False)
    assert heard.restarts == []


async def test_a_child_that_dies_fails_the_stage_and_the_next_one_runs_in_a_new_child(
    slot: Slot, heard: Heard, minutes: Path
) -> None:
    running, begun = transcribing(slot, minutes)
    await begun.wait()
    os.kill(child_of(os.getpid()), signal.SIGKILL)
    failed = await running
    assert isinstance(failed, StageFailure)
    assert (failed.code, failed.retryable) == ("slot_crashed", True)
    assert "signal 9" in failed.message
    assert heard.restarts == ["crash"]
    assert isinstance(await slot.run(task("decode", attempt="job/2"), ignore), StageDone)


async def test_a_child_that_dies_idle_is_replaced_at_the_next_stage(slot: Slot) -> None:
    first = child_of(os.getpid())
    os.kill(first, signal.SIGKILL)
    done = await slot.run(task("decode"), ignore)
    if isinstance(done, StageFailure):  # it was given the stage before its death was noticed
        assert done == StageFailure("slot_crashed", done.message, retryable=True)
        done = await slot.run(task("decode", attempt="job/2"), ignore)
    assert isinstance(done, StageDone)
    assert child_of(os.getpid()) != first


async def test_a_cancelled_stage_ends_its_child(slot: Slot, heard: Heard, minutes: Path) -> None:
    running, begun = transcribing(slot, minutes)
    await begun.wait()
    first = child_of(os.getpid())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert heard.restarts == ["cancel"]
    assert isinstance(await slot.run(task("decode", attempt="job/2"), ignore), StageDone)
    assert child_of(os.getpid()) != first


async def test_a_worker_without_its_model_says_so_and_ends(heard: Heard) -> None:
    async with Slots(1, EngineSettings(model="/no/such/model"), heard) as slots:
        with pytest.raises(EnginesMissing, match="/no/such/model"):
            await slots.warm()
        assert not slots.ready
