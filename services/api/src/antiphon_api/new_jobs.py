"""What a new job is, whichever way its recording comes in."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from antiphon import routing
from antiphon.jobs import Job, Source, State
from antiphon.pools import Pool
from antiphon.retention import RetentionClass
from antiphon_api.options import JobOptions


@dataclass(frozen=True, slots=True)
class Terms:
    """What this installation takes, and for how many seconds it keeps the jobs of each class once they have ended."""

    max_bytes: int
    retention: Mapping[RetentionClass, int]


def new_job(job_id: str, tenant: str, source: Source, options: JobOptions, pools: Iterable[Pool], terms: Terms) -> Job:
    """A job of `options`, for whichever of `pools` can do it. Raises NoPool."""
    now = time.time()  # the store puts its own time in; only an expiry depends on this clock
    return Job(
        id=job_id,
        tenant=tenant,
        state=State.QUEUED,
        priority=options.rank(),
        source=source,
        options=options.analysis(),
        legs=routing.legs(options.stages(), options.model, pools),
        created_at=now,
        metadata=options.metadata,
        expires_at=None if options.expires_in is None else now + options.expires_in,
        retention=options.retention_seconds(terms.retention),
    )
