"""How a job may change, asked of the pure functions: tables of cases, and properties over random lives."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libs.core.tests.lives import LEASE, POLICY, WHY, accepted, claim, held, new_job

from antiphon import lifecycle
from antiphon.errors import (
    AntiphonError,
    FenceLost,
    JobNotTerminal,
    JobSucceeded,
    JobTerminal,
    LeaseHeld,
    StaleMessage,
)
from antiphon.jobs import Artifact, Claim, Event, Job, State
from antiphon.lifecycle import Change
from antiphon.messages import Message


def test_an_accepted_job_is_queued_told_and_sent() -> None:
    change = lifecycle.accept(new_job(), 100.0)
    assert (change.job.state, change.job.created_at, change.job.due_at) == (State.QUEUED, 100.0, 100.0)
    assert change.event is not None
    assert (change.event.number, change.event.state) == (1, State.QUEUED)
    assert change.send == Message(change.job.id, round=1, leg=0, pool="gpu")


def test_a_claim_moves_fence_and_attempt_and_starts_the_lease() -> None:
    running = claim(accepted())
    assert (running.state, running.fence, running.attempt, running.started_at) == (State.RUNNING, 1, 1, 101.0)
    assert running.lease is not None
    assert (running.lease.worker, running.lease.until) == ("w1", 131.0)


def test_a_claim_is_refused_while_a_lease_runs_and_says_for_how_long() -> None:
    running = claim(accepted(), now=101.0)
    with pytest.raises(LeaseHeld) as refused:
        claim(running, now=111.0, worker="w2")
    assert refused.value.remaining == 20.0
    assert claim(running, now=131.0, worker="w2").fence == 2


@pytest.mark.parametrize(("round_", "leg"), [(2, 0), (1, 1), (0, 0)])
def test_a_message_of_another_round_or_leg_is_stale(round_: int, leg: int) -> None:
    job = accepted()
    message = replace(Message.of(job), round=round_, leg=leg)
    with pytest.raises(StaleMessage):
        lifecycle.claim(job, 101.0, message=message, worker="w1", lease=LEASE, policy=POLICY)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED, State.EXPIRED, State.FAILED])
def test_a_message_of_a_job_that_has_ended_is_stale(state: State) -> None:
    with pytest.raises(StaleMessage):
        claim(replace(accepted(), state=state))


def test_a_failed_job_is_claimed_once_more_only_to_bury_its_message() -> None:
    running = claim(accepted())
    failed = lifecycle.fail(running, 110.0, claim=held(running), failure=WHY).job
    assert failed.dead_letter
    again = lifecycle.claim(failed, 111.0, message=Message.of(failed), worker="w2", lease=LEASE, policy=POLICY)
    assert again == Change(failed)
    buried = lifecycle.buried(failed, 112.0, message=Message.of(failed)).job
    assert not buried.dead_letter
    with pytest.raises(StaleMessage):
        claim(buried, now=113.0)


def test_burying_a_message_of_an_earlier_round_leaves_the_job_alone() -> None:
    failed = replace(accepted(), round=2, state=State.FAILED, dead_letter=True)
    assert lifecycle.buried(failed, 1.0, message=replace(Message.of(failed), round=1)).job == failed


def test_a_crash_uses_up_an_attempt_and_the_last_one_fails_the_job() -> None:
    job = accepted()
    now = 101.0
    for attempt in (1, 2, 3):
        job = claim(job, now=now)
        assert job.attempt == attempt
        now += LEASE
    ended = claim(job, now=now)
    assert (ended.state, ended.failure, ended.lease, ended.dead_letter) == (
        State.FAILED,
        lifecycle.WORKER_LOST,
        None,
        True,
    )


def test_a_hand_back_gives_the_attempt_back() -> None:
    running = claim(accepted())
    back = lifecycle.hand_back(running, 110.0, claim=held(running)).job
    assert (back.attempt, back.lease, back.state, back.due_at) == (0, None, State.RUNNING, 110.0)
    assert claim(back, now=110.0).attempt == 1


def test_a_retry_waits_and_keeps_the_attempt_used() -> None:
    running = claim(accepted())
    waiting = lifecycle.retry(running, 110.0, claim=held(running), after=7.0).job
    assert (waiting.attempt, waiting.lease, waiting.due_at) == (1, None, 117.0)


def test_the_next_leg_starts_fresh_in_its_own_pool() -> None:
    running = claim(accepted())
    change = lifecycle.finish_leg(running, 110.0, claim=held(running))
    assert (change.job.leg, change.job.attempt, change.job.lease, change.job.pool) == (1, 0, None, "cpu")
    assert change.send == Message(running.id, round=1, leg=1, pool="cpu")
    assert change.event is None


def test_what_the_last_stage_left_is_entered_with_the_end_of_its_leg() -> None:
    left = [Artifact("result.json", "render", "application/json", 2, "0" * 64, "k", 1)]
    for leg in (0, 1):
        running = claim(replace(accepted(), leg=leg))
        assert lifecycle.finish_leg(running, 110.0, claim=held(running), artifacts=left).artifacts == tuple(left)


def test_the_last_leg_ends_in_success() -> None:
    running = claim(replace(accepted(), leg=1))
    change = lifecycle.finish_leg(running, 110.0, claim=held(running))
    assert (change.job.state, change.job.progress, change.job.finished_at) == (State.SUCCEEDED, 100.0, 110.0)
    assert change.send is None


def test_an_older_fence_commits_nothing() -> None:
    first = claim(accepted())
    second = claim(first, now=200.0, worker="w2")
    old = held(first)
    refused: list[Callable[[], Change]] = [
        partial(lifecycle.beat, second, 201.0, claim=old, lease=LEASE),
        partial(lifecycle.progress, second, 201.0, claim=old, stage="decode", percent=1.0),
        partial(lifecycle.save, second, 201.0, claim=old, stage="decode", percent=1.0, artifacts=()),
        partial(lifecycle.finish_leg, second, 201.0, claim=old),
        partial(lifecycle.retry, second, 201.0, claim=old, after=0.0),
        partial(lifecycle.fail, second, 201.0, claim=old, failure=WHY),
        partial(lifecycle.hand_back, second, 201.0, claim=old),
    ]
    for commit in refused:
        with pytest.raises(FenceLost):
            commit()


def test_a_cancelled_job_stays_cancelled_and_its_worker_loses_the_fence() -> None:
    running = claim(accepted())
    cancelled = lifecycle.cancel(running, 105.0).job
    assert (cancelled.state, cancelled.lease, cancelled.finished_at) == (State.CANCELLED, None, 105.0)
    assert cancelled.fence == running.fence + 1
    assert lifecycle.cancel(cancelled, 106.0) == Change(cancelled)
    with pytest.raises(FenceLost):
        lifecycle.finish_leg(cancelled, 107.0, claim=held(running))


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.EXPIRED])
def test_what_ended_otherwise_cannot_be_cancelled(state: State) -> None:
    with pytest.raises(JobTerminal) as refused:
        lifecycle.cancel(replace(accepted(), state=state), 105.0)
    assert refused.value.code == f"job_{state}"


def test_a_job_whose_time_is_over_expires_at_its_claim_or_under_the_sweeper() -> None:
    job = accepted(expires_at=150.0)
    assert lifecycle.expire(job, 149.9) == Change(job)
    assert lifecycle.expire(job, 150.0).job.state is State.EXPIRED
    assert claim(job, now=151.0).state is State.EXPIRED
    running = claim(job, now=149.0)
    expired = lifecycle.expire(running, 150.0).job
    assert expired.fence == running.fence + 1
    with pytest.raises(FenceLost):
        lifecycle.finish_leg(expired, 151.0, claim=held(running))


def test_a_redrive_opens_a_round_that_expires_no_more_and_goes_on_where_it_stood() -> None:
    running = claim(replace(accepted(expires_at=105.0), leg=1))
    failed = lifecycle.fail(running, 104.0, claim=held(running), failure=WHY).job
    change = lifecycle.redrive(failed, 200.0)
    again = change.job
    assert (again.state, again.round, again.attempt, again.leg, again.failure) == (State.QUEUED, 2, 0, 1, None)
    assert (again.expires_at, again.started_at, again.finished_at, again.dead_letter) == (None, None, None, False)
    assert change.send == Message(again.id, round=2, leg=1, pool="cpu")


def test_only_what_ended_without_success_is_redriven() -> None:
    with pytest.raises(JobNotTerminal):
        lifecycle.redrive(accepted(), 200.0)
    with pytest.raises(JobSucceeded):
        lifecycle.redrive(replace(accepted(), state=State.SUCCEEDED), 200.0)


def test_a_lost_message_is_sent_again_unless_someone_works_on_the_job() -> None:
    job = accepted()
    assert lifecycle.resend(job, 200.0).send == Message.of(job)
    running = claim(job)
    assert lifecycle.resend(running, 110.0).send is None
    assert lifecycle.resend(running, 132.0).send == Message.of(running)
    assert lifecycle.resend(lifecycle.cancel(job, 110.0).job, 200.0).send is None


def test_an_event_tells_the_job_as_it_stood() -> None:
    job = accepted()
    running = claim(job)
    first = lifecycle.accept(new_job(), 100.0).event
    assert first is not None
    assert first.applied(running) == replace(
        running,
        **{
            name: getattr(job, name)
            for name in ("events", "state", "round", "attempt", "stage", "progress", "started_at", "finished_at")
        },
    )


WORK = ["claim", "beat", "save", "finish", "retry", "fail", "hand_back", "bury"]
ASKED = ["cancel", "expire", "redrive", "resend"]
KEEPING = ["hold", "lift", "erase", "delete"]
OPERATIONS = st.sampled_from(WORK + ASKED + KEEPING)


def apply(name: str, job: Job, now: float, claims: list[Claim], pick: int) -> Change:
    """One step of a random life: `pick` chooses which of all claims ever granted a worker still believes in."""
    mine = claims[pick % len(claims)] if claims else Claim(job.id, job.tenant, 0, "nobody")
    message = Message.of(job)
    steps: dict[str, Callable[[], Change]] = {
        "claim": lambda: lifecycle.claim(job, now, message=message, worker="w", lease=LEASE, policy=POLICY),
        "beat": lambda: lifecycle.beat(job, now, claim=mine, lease=LEASE),
        "save": lambda: lifecycle.save(job, now, claim=mine, stage="decode", percent=5.0, artifacts=()),
        "finish": lambda: lifecycle.finish_leg(job, now, claim=mine),
        "retry": lambda: lifecycle.retry(job, now, claim=mine, after=1.0),
        "fail": lambda: lifecycle.fail(job, now, claim=mine, failure=WHY),
        "hand_back": lambda: lifecycle.hand_back(job, now, claim=mine),
        "cancel": lambda: lifecycle.cancel(job, now),
        "expire": lambda: lifecycle.expire(job, now),
        "redrive": lambda: lifecycle.redrive(job, now),
        "resend": lambda: lifecycle.resend(job, now),
        "bury": lambda: lifecycle.buried(job, now, message=message),
        "hold": lambda: lifecycle.hold(job, now),
        "lift": lambda: lifecycle.lift(job, now),
        "erase": lambda: lifecycle.erase(job, now),
        "delete": lambda: lifecycle.delete(job, now),
    }
    return steps[name]()


@settings(max_examples=400)
@given(
    steps=st.lists(st.tuples(OPERATIONS, st.floats(0, 40), st.integers(0, 9)), max_size=60),
    expires=st.none() | st.floats(100, 400),
    retention=st.floats(0, 100),
)
def test_every_life_keeps_the_invariants(
    steps: list[tuple[str, float, int]], expires: float | None, retention: float
) -> None:
    job = accepted(expires_at=expires, retention=retention)
    now = 100.0
    claims: list[Claim] = []
    history: list[Event] = []
    for name, elapsed, pick in steps:
        now += elapsed
        before = job
        try:
            change = apply(name, job, now, claims, pick)
        except AntiphonError:
            continue  # refused: nothing changes
        job = change.job
        if change.erase:
            assert not before.legal_hold, "nobody erases what is held"
            assert name in ("erase", "delete"), "nothing else erases"
            if name == "erase":
                assert before.finished_at is not None, "time erases only what has ended"
                assert now >= before.finished_at + retention, "and not before its time"
            break
        history += [change.event] if change.event else []
        granted = Claim.of(job)
        if name == "claim" and granted is not None and job.fence > before.fence:
            claims.append(granted)

        assert job.fence >= before.fence, "a fence never falls"
        assert job.round >= before.round, "a round never falls"
        assert 0 <= job.attempt <= POLICY.attempts, "attempts are bounded"
        assert job.lease is None or job.state is State.RUNNING, "only what runs is leased"
        assert (job.finished_at is not None) == job.state.terminal, "what has ended says when"
        assert (job.erase_at is not None) == job.state.terminal, "and until when it is kept"
        assert job.retention == retention, "nothing changes how long that is"
        assert (job.failure is not None) == (job.state in (State.FAILED, State.EXPIRED)), "what failed says why"
        if before.state.terminal and name not in ("redrive", "bury"):
            assert replace(job, legal_hold=before.legal_hold) == before, "nothing follows a terminal state"
        if job.round > before.round:
            assert before.state.terminal, "a round opens only after the last one ended"
    assert [event.number for event in history] == list(range(2, len(history) + 2)), "event numbers have no gaps"
    ended = [event.round for event in history if event.state.terminal]
    assert len(ended) == len(set(ended)), "one terminal event in each round"
    assert job.events == len(history) + 1
