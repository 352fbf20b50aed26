"""What readiness shows of SQS, and how seldom it asks."""

import asyncio
import time
from collections.abc import AsyncIterator
from random import Random

import pytest
from libs.core.tests.sqs import POLL, SOON, new_url
from tests.aws_clock import AwsClock
from tests.aws_faults import Faults, faulty
from tests.contract.conftest import LONG, message

from antiphon.errors import Unavailable
from antiphon.queue import SendOutcome, circuit, sqs_client
from antiphon.queue.circuit import Circuit
from antiphon.queue.sqs import SqsQueue


@pytest.fixture
def clock(clocked_aws_server: str, aws_credentials: None) -> AwsClock:
    return AwsClock(clocked_aws_server)


@pytest.fixture
async def faults(clock: AwsClock) -> AsyncIterator[Faults]:
    async with faulty(clock.endpoint) as faults:
        yield faults


@pytest.fixture
def url(faults: Faults) -> str:
    return new_url(faults.endpoint)


def connect(url: str, clock: AwsClock) -> SqsQueue:
    return SqsQueue(url, clock=clock, random=Random(7), poll=POLL, attempts=2)


@pytest.fixture
async def queue(url: str, clock: AwsClock) -> AsyncIterator[SqsQueue]:
    async with connect(url, clock) as queue:
        await queue.prepare()
        yield queue


async def test_what_keeps_failing_is_unavailable_and_shows_in_readiness(
    queue: SqsQueue, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.ping()
    faults.fail("", "InternalError", status=500)
    for _ in range(2):
        with pytest.raises(
            Unavailable, match=r"^SQS, asked for SendMessage on the queue t\w+-default-normal, answers Int"
        ):
            await queue.send([message()])
    seen = len(faults.seen)
    for _ in range(20):
        with pytest.raises(Unavailable, match=r"InternalError.*asked again every few seconds"):
            await queue.ping()
    assert len(faults.seen) == seen, "readiness does not hammer what fails"
    monkeypatch.setattr(circuit, "REST", 0.0)
    with pytest.raises(Unavailable, match="InternalError"):
        await queue.ping()
    assert set(faults.seen[seen:]) == {"GetQueueUrl"}
    faults.mend()
    await queue.ping()
    seen = len(faults.seen)
    await queue.ping()
    assert len(faults.seen) == seen, "nor what answers"


async def test_readiness_asks_only_what_no_work_has_shown_lately(
    url: str, clock: AwsClock, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs_client, "WELL_FOR", 0.0)
    async with connect(url, clock) as queue:
        await queue.prepare()
        seen = len(faults.seen)
        await queue.ping()
        assert len(faults.seen) == seen + 1
        monkeypatch.setattr(sqs_client, "WELL_FOR", LONG)
        await queue.send([message()])
        seen = len(faults.seen)
        for _ in range(10):
            await queue.ping()
        assert len(faults.seen) == seen


async def test_readiness_names_a_right_that_is_missing(
    url: str, clock: AwsClock, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs_client, "WELL_FOR", 0.0)
    async with connect(url, clock) as queue:
        faults.fail("GetQueueUrl", "AccessDenied", status=403)
        for _ in range(3):
            with pytest.raises(Unavailable, match="the right sqs:GetQueueUrl on the queue"):
                await queue.ping()


async def test_one_asks_on_behalf_of_readiness_at_a_time(queue: SqsQueue, faults: Faults) -> None:
    go = asyncio.Event()
    faults.hang("GetQueueUrl", go)
    asked = faults.seen.count("GetQueueUrl")
    queue._sqs._circuit = Circuit(2, time.monotonic() - circuit.REST - 1, "it broke")
    probing = asyncio.create_task(queue.ping())
    await asyncio.wait_for(faults.arrivals("GetQueueUrl", asked + 1), SOON)
    with pytest.raises(Unavailable, match="it broke"):
        await queue.ping()
    go.set()
    await probing
    await queue.ping()
    assert faults.seen.count("GetQueueUrl") == asked + 1


async def test_a_refusal_in_between_shows_that_sqs_is_well(queue: SqsQueue, faults: Faults) -> None:
    faults.fail("SendMessageBatch", "InternalError", status=500)
    faults.fail("GetQueueAttributes", "AccessDenied", status=403)
    for use in (queue.send([message()]), queue.depth(), queue.send([message()])):
        with pytest.raises(Unavailable):
            await use
    await queue.ping()


async def test_work_that_succeeds_ends_what_readiness_shows(queue: SqsQueue, faults: Faults) -> None:
    faults.fail("SendMessageBatch", "InternalError", status=500, times=4)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await queue.send([message()])
    with pytest.raises(Unavailable):
        await queue.ping()
    assert await queue.send([message()]) == [SendOutcome.SENT]
    await queue.ping()
