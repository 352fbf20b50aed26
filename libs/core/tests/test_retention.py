"""How long jobs are kept, asked of the pure functions. The properties are among those of `test_lifecycle.py`."""

from dataclasses import replace

import pytest
from libs.core.tests.lives import WHY, accepted, claim, held, new_job

from antiphon import lifecycle
from antiphon.errors import JobEphemeral, JobHeld
from antiphon.jobs import Source, State
from antiphon.lifecycle import Change


def test_a_job_is_kept_for_its_time_from_its_end() -> None:
    running = claim(replace(accepted(retention=60.0), leg=1))
    assert running.erase_at is None
    assert lifecycle.erase(running, 10_000.0) == Change(running)
    done = lifecycle.finish_leg(running, 110.0, claim=held(running)).job
    assert done.erase_at == 170.0
    assert lifecycle.erase(done, 169.9) == Change(done)
    assert lifecycle.erase(done, 170.0) == Change(done, erase=True)


def test_a_redrive_begins_the_time_of_keeping_anew() -> None:
    running = claim(accepted(retention=60.0))
    failed = lifecycle.fail(running, 110.0, claim=held(running), failure=WHY).job
    again = lifecycle.redrive(failed, 169.0).job
    assert again.erase_at is None
    assert not lifecycle.erase(again, 1000.0).erase
    assert lifecycle.cancel(again, 200.0).job.erase_at == 260.0


def test_what_is_held_is_erased_neither_by_time_nor_by_anybody() -> None:
    done = replace(accepted(retention=60.0), state=State.SUCCEEDED, finished_at=110.0)
    kept = lifecycle.hold(done, 120.0).job
    assert kept == replace(done, legal_hold=True)
    assert lifecycle.hold(kept, 121.0) == Change(kept)
    assert lifecycle.erase(kept, 10_000.0) == Change(kept)
    with pytest.raises(JobHeld, match="legal-hold"):
        lifecycle.delete(kept, 10_000.0)
    lifted = lifecycle.lift(kept, 10_001.0).job
    assert lifted == done
    assert lifecycle.lift(lifted, 10_002.0) == Change(lifted)
    assert lifecycle.erase(lifted, 10_003.0).erase


def test_a_hold_lasts_through_an_end_and_a_redrive() -> None:
    waiting = lifecycle.hold(accepted(), 101.0).job
    cancelled = lifecycle.cancel(waiting, 102.0).job
    assert lifecycle.redrive(cancelled, 103.0).job.legal_hold


def test_an_ephemeral_job_cannot_be_held_and_any_other_can() -> None:
    tenant, job_id = "ephemeral", new_job().id
    for key, ephemeral in {
        f"ephemeral/{tenant}/{job_id}/source": True,
        f"standard/{tenant}/{job_id}/source": False,
        f"{tenant}/{job_id}/source": False,  # of before there were classes
    }.items():
        job = accepted(tenant=tenant, source=Source(key, "x.wav", 10, "0" * 64))
        assert job.ephemeral is ephemeral
        if ephemeral:
            with pytest.raises(JobEphemeral, match="submit it again"):
                lifecycle.hold(job, 101.0)
        else:
            assert lifecycle.hold(job, 101.0).job.legal_hold


def test_the_blobs_of_a_job_lie_where_its_recording_does() -> None:
    source = Source("standard/default/x/source", "x.wav", 10, "0" * 64)
    assert accepted(source=source).blob_prefix == "standard/default/x"
    assert accepted(source=replace(source, key="default/x/source")).blob_prefix == "default/x"
