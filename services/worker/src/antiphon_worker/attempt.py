"""One try of one leg: runs the stages that are missing, and saves what each leaves before the next one starts."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from antiphon import lifecycle
from antiphon.blobs.base import Blobs, put_bytes, read_all
from antiphon.errors import BlobNotFound, Unavailable
from antiphon.hooks import Hooks
from antiphon.jobs import Artifact, Claim, Job
from antiphon.ports import Ports
from antiphon.retry import StageFailure
from antiphon_speech.audio import AudioLimits
from antiphon_speech.options import AnalysisOptions
from antiphon_speech.results import AudioInfo
from antiphon_worker.child import StageProgress, StageTask
from antiphon_worker.progress import percent
from antiphon_worker.settings import WorkerSettings
from antiphon_worker.slots import Slot
from antiphon_worker.stages import STAGES, Produced

MAX_ARTIFACT_BYTES = 256 << 20
PROGRESS_SECONDS = 1.0


class StageFailed(Exception):
    """A stage ended with a failure; the rest of the leg is not run."""

    def __init__(self, failure: StageFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Attempt:
    """Runs what is missing of `job`'s present leg in `slot`, under `claim`."""

    def __init__(
        self, ports: Ports, slot: Slot, job: Job, claim: Claim, settings: WorkerSettings, hooks: Hooks
    ) -> None:
        self._ports = ports
        self._slot = slot
        self._job = job
        self._claim = claim
        self._settings = settings
        self._hooks = hooks
        self._planned = [stage for leg in job.legs for stage in leg.stages]
        self._percent = job.progress
        self._stage: str | None = job.stage
        self._progressed = asyncio.Event()

    async def run(self, scratch: Path) -> Sequence[Artifact]:
        """Run the leg's missing stages; files in `scratch` may be left behind.

        Returns what the last of them left: safe, and still to be entered, in one commit with the end of the leg.
        Raises StageFailed; FenceLost, as soon as a commit is refused; Unavailable.
        """
        job = self._job
        saved = await self._ports.store.artifacts(job.tenant, job.id)
        missing = [stage for stage in job.legs[job.leg].stages if stage not in {artifact.stage for artifact in saved}]
        reporter = asyncio.create_task(self._report())
        try:
            async with asyncio.timeout(self._time_limit(job.audio_seconds)) as limit:
                return await self._run_stages(missing, saved, scratch, limit)
        except TimeoutError:
            raise StageFailed(
                StageFailure("attempt_timeout", "the analysis took too long and was ended", retryable=True)
            ) from None
        except BlobNotFound as error:
            raise StageFailed(StageFailure("recording_lost", str(error), retryable=False)) from None
        finally:
            reporter.cancel()

    async def _run_stages(
        self, missing: Sequence[str], saved: Sequence[Artifact], scratch: Path, limit: asyncio.Timeout
    ) -> Sequence[Artifact]:
        job = self._job
        begun = asyncio.get_running_loop().time()
        artifacts: Sequence[Artifact] = ()
        earlier = await _contents(self._ports.blobs, saved)
        timings = {artifact.stage: artifact.seconds for artifact in saved}
        async with self._ports.blobs.local(job.source.key, scratch) as source:
            for stage, following in zip(missing, [*missing[1:], None], strict=True):
                task = StageTask(
                    attempt=f"{job.id}/{self._claim.fence}",
                    stage=stage,
                    source=source,
                    options=AnalysisOptions.model_validate(job.options),
                    limits=AudioLimits(self._settings.max_audio_seconds, self._settings.max_upload_bytes),
                    earlier=earlier,
                    timings=timings,
                )
                with self._hooks.stage(job, stage):
                    done = await self._slot.run(task, self._hear)
                    if isinstance(done, StageFailure):
                        raise StageFailed(done)
                artifacts = await asyncio.gather(
                    *(self._store_blob(stage, item, done.seconds) for item in done.produced)
                )
                if following is None:
                    break
                audio_seconds = next((_duration(item) for item in done.produced if item.name == _AUDIO), None)
                await self._save(stage, following, artifacts, audio_seconds)
                if audio_seconds is not None:
                    limit.reschedule(begun + self._time_limit(audio_seconds))
        return artifacts

    async def _save(
        self, stage: str, following: str, artifacts: Sequence[Artifact], audio_seconds: float | None
    ) -> None:
        """Enter what a stage left, so that no later attempt runs it again."""
        self._percent = percent(self._planned, stage, 1.0)
        await self._ports.store.change(
            self._job.tenant,
            self._job.id,
            partial(
                lifecycle.save,
                claim=self._claim,
                stage=following,
                percent=self._percent,
                artifacts=artifacts,
                audio_seconds=audio_seconds,
            ),
        )

    async def _store_blob(self, stage: str, item: Produced, seconds: float) -> Artifact:
        key = f"{self._job.blob_prefix}/{self._claim.fence}/{item.name}"
        blob = await put_bytes(self._ports.blobs, key, item.data)
        return Artifact(item.name, stage, item.media_type, blob.size, blob.sha256, blob.key, self._claim.fence, seconds)

    def _hear(self, report: StageProgress) -> None:
        if report.attempt == f"{self._job.id}/{self._claim.fence}":
            self._stage = report.stage
            self._percent = percent(self._planned, report.stage, report.share)
            self._progressed.set()

    async def _report(self) -> None:
        """Write progress, at most once a second. It is told and not promised, so a store that is away is left alone."""
        while True:
            await self._progressed.wait()
            self._progressed.clear()
            change = partial(lifecycle.progress, claim=self._claim, stage=self._stage or "", percent=self._percent)
            try:
                await self._ports.store.change(self._job.tenant, self._job.id, change)
            except Unavailable:
                self._progressed.set()
            await asyncio.sleep(PROGRESS_SECONDS)

    def _time_limit(self, audio_seconds: float | None) -> float:
        return max(self._settings.attempt_seconds, 4 * (audio_seconds or 0.0))


_AUDIO = "audio.json"
_RESTORED = frozenset(row.leaves for row in STAGES.values())


def _duration(item: Produced) -> float:
    return AudioInfo.model_validate_json(item.data).duration


async def _contents(blobs: Blobs, saved: Sequence[Artifact]) -> dict[str, bytes]:
    """What later stages need of earlier ones, by name."""
    wanted = [artifact for artifact in saved if artifact.name in _RESTORED]
    contents = await asyncio.gather(*(read_all(blobs, artifact.key, MAX_ARTIFACT_BYTES) for artifact in wanted))
    return {artifact.name: data for artifact, data in zip(wanted, contents, strict=True)}
