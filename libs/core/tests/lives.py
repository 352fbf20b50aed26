"""Jobs in the stations of their life, by the pure functions of the life cycle."""

from dataclasses import replace

from antiphon import lifecycle
from antiphon.jobs import Claim, Failure, Job, Leg, Priority, Source, State
from antiphon.messages import Message
from antiphon.retry import RetryPolicy

POLICY = RetryPolicy(attempts=3)
LEASE = 30.0
WHY = Failure("audio_undecodable", "the file is not audio")


def new_job(**fields: object) -> Job:
    job = Job(
        id="0190f8a0-0000-7000-8000-000000000001",
        tenant="default",
        state=State.QUEUED,
        priority=Priority.NORMAL,
        source=Source("standard/default/x/source", "x.wav", 10, "0" * 64),
        options={},
        legs=(Leg("gpu", ("decode", "transcribe")), Leg("cpu", ("pitch", "render"))),
        created_at=0.0,
    )
    return replace(job, **fields)  # type: ignore[arg-type]


def accepted(**fields: object) -> Job:
    return lifecycle.accept(new_job(**fields), 100.0).job


def claim(job: Job, now: float = 101.0, worker: str = "w1") -> Job:
    return lifecycle.claim(job, now, message=Message.of(job), worker=worker, lease=LEASE, policy=POLICY).job


def held(job: Job) -> Claim:
    found = Claim.of(job)
    assert found is not None
    return found
