"""The worker's settings."""

import os
from pathlib import Path
from tempfile import gettempdir
from typing import Literal

from pydantic import Field

from antiphon.messages import DEFAULT_POOL
from antiphon.ports import PortSettings
from antiphon.telemetry.logs import Level


class WorkerSettings(PortSettings):
    """What a worker serves, and how much of the machine it takes for it."""

    pool: str = Field(default=DEFAULT_POOL, description="The pool whose legs this worker runs.")
    model: str = Field(default="tiny.en", description="Transcription model: a name, or the path of a directory.")
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="Where the models run.")
    compute_type: str | None = Field(default=None, description="CTranslate2 type; int8 on cpu, float16 on cuda.")
    slots: int = Field(default=1, ge=1, le=64, description="How many jobs run at a time, each in a process of its own.")
    threads: int = Field(default=0, ge=0, description="Threads of each slot; 0 leaves one core to everything else.")
    max_audio_seconds: float = Field(default=4 * 3600, gt=0, description="Longest recording that is taken, seconds.")
    max_upload_bytes: int = Field(default=512 << 20, gt=0, description="Largest recording that is taken, bytes.")
    lease_seconds: float = Field(default=30.0, ge=1, description="How long a silent worker keeps its jobs.")
    attempts: int = Field(default=3, ge=1, description="Tries of a leg before its job fails.")
    retry_base_seconds: float = Field(default=2.0, ge=0, description="Longest wait before the second try.")
    attempt_seconds: float = Field(
        default=900.0, gt=0, description="Longest attempt; 4 x the audio where that is more."
    )
    drain_seconds: float = Field(default=90.0, ge=0, description="How long running jobs may finish after SIGTERM.")
    scratch: Path = Field(default_factory=lambda: Path(gettempdir()), description="Directory of temporary files.")
    health_host: str = Field(default="127.0.0.1", description="Address of /healthz, /readyz and /metrics.")
    health_port: int = Field(default=8081, ge=0, le=65535, description="Its port; 0 takes a free one.")
    log_level: Level = Field(default="info", description="Least severity that is logged.")

    def threads_per_slot(self) -> int:
        """The threads asked for, or an equal share of all cores but one."""
        return self.threads or max(1, ((os.cpu_count() or 1) - 1) // self.slots)
