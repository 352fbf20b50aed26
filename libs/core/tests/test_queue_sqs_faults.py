"""SQS that breaks, throttles, refuses, forgets, or is away: a recovery, or one clear sentence; no message is lost."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest
from libs.core.tests.sqs import POLL, SOON, new_url, raw
from tests.aws_clock import AwsClock
from tests.aws_faults import Faults, faulty
from tests.contract.conftest import LONG, drain, jobs, message, messages

from antiphon.errors import SettingsError, Unavailable
from antiphon.jobs import Priority
from antiphon.queue import Queue, SendOutcome
from antiphon.queue.sqs import SqsQueue
from antiphon.queue.sqs_queues import dead

SENT, FAILED = SendOutcome.SENT, SendOutcome.FAILED


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


def connect(url: str, clock: AwsClock, attempts: int = 2) -> SqsQueue:
    return SqsQueue(url, clock=clock, random=Random(7), poll=POLL, attempts=attempts)


@pytest.fixture
async def queue(url: str, clock: AwsClock) -> AsyncIterator[SqsQueue]:
    async with connect(url, clock) as queue:
        await queue.prepare()
        yield queue


async def started(queue: SqsQueue) -> None:
    async with queue:
        pass


def failing(*ids: str, sender: bool) -> Callable[[bytes], bytes]:
    """An edit of a batch's answer: these entries have failed, by a fault of the sender or of SQS."""

    def change(body: bytes) -> bytes:
        answer: dict[str, Any] = json.loads(body)
        answer["Successful"] = [each for each in answer["Successful"] if each["Id"] not in ids]
        answer["Failed"] = [{"Id": id_, "SenderFault": sender, "Code": "Told", "Message": "so"} for id_ in ids]
        return json.dumps(answer).encode()

    return change


# whole calls that fail


async def test_what_fails_once_is_tried_again(queue: SqsQueue, faults: Faults) -> None:
    for operation in ("SendMessageBatch", "ReceiveMessage", "ChangeMessageVisibilityBatch", "DeleteMessageBatch"):
        faults.fail(operation, "InternalError", status=500, times=1)
    assert await queue.send([message()]) == [SENT]
    received = await queue.receive(1, wait=LONG, lease=LONG)
    assert await queue.extend(received, LONG) == [True]
    assert await queue.ack(received) == [True]
    await queue.ping()


async def test_what_is_throttled_is_tried_again_and_then_unavailable(queue: SqsQueue, faults: Faults) -> None:
    faults.fail("SendMessageBatch", "RequestThrottled", status=403, times=3)
    with pytest.raises(Unavailable, match="RequestThrottled"):
        await queue.send([message()])
    assert await queue.send([message()]) == [SENT]


async def test_a_network_that_is_away_is_unavailable_and_comes_back(queue: SqsQueue, faults: Faults) -> None:
    await queue.send([message("before")])
    received = await queue.receive(1, wait=LONG, lease=LONG)
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.wait_for(faults.arrivals("ReceiveMessage", 4), SOON)
    faults.drop()
    with pytest.raises(Unavailable, match="does not answer"):
        await asyncio.wait_for(waiting, SOON)
    for use in (queue.send([message("lost")]), queue.ack(received), queue.dead(1), queue.ping()):
        with pytest.raises(Unavailable, match=r"SQS"):
            await use
    faults.mend()
    assert await queue.ack(received) == [True]
    assert await queue.send([message("after")]) == [SENT]
    assert jobs(await queue.receive(10, wait=LONG, lease=LONG)) == ["after"]


async def test_sqs_that_is_away_at_the_start_is_named_without_what_nobody_should_see(
    url: str, faults: Faults, clock: AwsClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults.drop()
    with pytest.raises(Unavailable, match=r"SQS.*does not answer.*127\.0\.0\.1"):
        await started(connect(url, clock, attempts=1))
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://somebody:secret@127.0.0.1:9")
    with pytest.raises(Unavailable, match="does not answer") as raised:
        await started(connect("sqs://", clock, attempts=1))
    assert "secret" not in str(raised.value)


async def test_an_endpoint_of_the_environment_that_is_none_is_a_wrong_setting(
    aws_credentials: None, clock: AwsClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "localhost:9324")
    with pytest.raises(SettingsError, match="configuration is wrong"):
        await started(connect("sqs://", clock))


async def test_without_credentials_it_says_where_they_could_be(
    url: str, clock: AwsClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Unavailable, match=r"Unable to locate credentials.*AWS_PROFILE"):
        await started(connect(url, clock))


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidClientTokenId", "ExpiredTokenException"])
async def test_what_sqs_says_of_credentials_is_not_repeated(code: str, queue: SqsQueue, faults: Faults) -> None:
    faults.fail("SendMessageBatch", code, status=403, message="you signed x-amz-security-token:SECRET")
    with pytest.raises(Unavailable, match=rf"does not take our credentials \({code}\)") as raised:
        await queue.send([message()])
    assert "SECRET" not in str(raised.value)
    assert raised.value.__cause__ is None, "nor in a traceback"
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("operation", "right", "use"),
    [
        ("SendMessageBatch", "SendMessage", lambda queue: queue.send([message()])),
        ("ReceiveMessage", "ReceiveMessage", lambda queue: queue.receive(1, wait=0, lease=LONG)),
        ("GetQueueAttributes", "GetQueueAttributes", lambda queue: queue.depth()),
        ("GetQueueUrl", "GetQueueUrl", lambda queue: queue.prepare("gpu")),
        ("CreateQueue", "CreateQueue", lambda queue: queue.prepare("gpu")),
    ],
)
async def test_a_right_that_is_missing_is_named_with_its_queue(
    operation: str, right: str, use: Callable[[Queue], Any], queue: SqsQueue, faults: Faults
) -> None:
    faults.fail(operation, "AccessDenied", status=403, message="User arn:aws:sts::1:assumed-role/x is not authorized")
    faults.seen.clear()
    with pytest.raises(Unavailable, match=rf"the right sqs:{right} on the queue t\w+-(default|gpu)-\w+.* is missing"):
        await use(queue)
    assert faults.seen.count(operation) <= 6, "what is refused is not tried again"
    await queue.ping()  # SQS is well


async def test_a_queue_that_another_program_makes_meanwhile_in_its_own_way_is_used(
    url: str, clock: AwsClock, faults: Faults
) -> None:
    async with connect(url, clock) as queue, raw(url) as (client, sqs):
        name = sqs.settings.name("default", Priority.NORMAL)
        await sqs.url(dead(name))
        await client.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": "60"})
        faults.fail("GetQueueUrl", "QueueDoesNotExist", times=1)
        assert await queue.send([message()]) == [SENT]
        assert faults.seen.count("CreateQueue") == 3


# entries that fail


async def test_an_entry_that_sqs_refuses_fails_alone_and_says_why(
    queue: SqsQueue, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    faults.edit("SendMessageBatch", failing("1", sender=True))
    faults.seen.clear()
    assert await queue.send(messages(3)) == [SENT, FAILED, SENT]
    assert faults.seen.count("SendMessageBatch") == 1
    assert "an entry of SendMessage on" in caplog.text
    assert "Told so" in caplog.text


async def test_an_entry_that_fails_by_sqs_own_fault_is_tried_again_alone(queue: SqsQueue, faults: Faults) -> None:
    entries = []

    def note(body: bytes) -> bytes:
        answer = json.loads(body)
        entries.append(len(answer.get("Successful", [])))
        return failing("1", sender=False)(body) if len(entries) == 1 else body

    faults.edit("SendMessageBatch", note)
    assert await queue.send(messages(3)) == [SENT, SENT, SENT]
    assert entries == [3, 1]


class Hasty(Random):
    """Draws no pause at all, and notes how long it could have been."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        self.pauses.append(b - a)
        return 0.0


async def test_an_entry_that_keeps_failing_is_given_up(url: str, clock: AwsClock, faults: Faults) -> None:
    faults.edit("SendMessageBatch", failing("0", sender=False))
    random = Hasty()
    async with SqsQueue(url, clock=clock, random=random) as queue:
        assert await queue.send(messages(2)) == [FAILED, SENT]
    assert faults.seen.count("SendMessageBatch") == 4
    assert random.pauses == [0.2, 0.4, 0.8]


async def test_acks_and_extensions_have_an_outcome_per_entry(queue: SqsQueue, faults: Faults) -> None:
    await queue.send(messages(3))
    received = await drain(queue)
    faults.edit("ChangeMessageVisibilityBatch", failing("2", sender=True), times=1)
    assert await queue.extend(received, LONG) == [True, True, False]
    faults.edit("DeleteMessageBatch", failing("0", "2", sender=False), times=1)
    assert await queue.ack(received) == [True, True, True]
    assert faults.seen.count("DeleteMessageBatch") == 2


async def test_a_receipt_that_sqs_does_not_know_is_no_error(queue: SqsQueue, clock: AwsClock) -> None:
    await queue.send(messages(2))
    stale, good = await queue.receive(2, wait=LONG, lease=LONG)
    assert await queue.ack([stale]) == [True]
    clock.advance(2 * LONG)
    assert await queue.extend([stale], LONG) == [False]
    assert await queue.release([stale, good]) == [False, True]
    assert await queue.ack([stale, good]) == [True, True], "SQS takes a second delete for a first"


# answers that are lost, and steps that are interrupted


async def test_a_receive_whose_answer_is_lost_brings_the_message_after_its_lease(
    url: str, queue: SqsQueue, clock: AwsClock, faults: Faults
) -> None:
    await queue.send([message()])
    async with connect(url, clock, attempts=1) as once:
        faults.lose("ReceiveMessage", times=1)
        with pytest.raises(Unavailable):
            await once.receive(1, wait=0, lease=LONG, priorities=[Priority.NORMAL])
    assert await queue.receive(1, wait=0, lease=LONG) == []
    clock.advance(LONG * 1.5)
    [received] = await queue.receive(1, wait=LONG, lease=LONG)
    assert received.deliveries == 2


async def put(url: str, *bodies: str) -> None:
    async with raw(url) as (client, sqs):
        for body in bodies:
            there = await sqs.url(sqs.settings.name("default", Priority.NORMAL))
            await client.send_message(QueueUrl=there, MessageBody=body)


async def test_what_cannot_be_buried_now_keeps_nobody_from_the_rest(
    url: str, queue: SqsQueue, clock: AwsClock, faults: Faults
) -> None:
    await put(url, "rubbish", message("good").encode())
    faults.fail("SendMessageBatch", "InternalError", status=500)
    assert jobs(await queue.receive(10, wait=0, lease=LONG)) == ["good"]
    clock.advance(LONG * 1.5)
    with pytest.raises(Unavailable):
        await queue.receive(1, wait=0, lease=LONG)
    faults.mend()
    clock.advance(LONG * 1.5)
    assert jobs(await queue.receive(10, wait=0, lease=LONG)) == ["good"]
    assert [letter.body for letter in await queue.dead(10)] == ["rubbish"]


async def test_a_receive_cancelled_while_it_buries_takes_nothing_with_it(
    url: str, queue: SqsQueue, clock: AwsClock, faults: Faults
) -> None:
    await put(url, "rubbish", message("good").encode())
    go = asyncio.Event()
    faults.hang("SendMessageBatch", go)
    receiving = asyncio.create_task(queue.receive(10, wait=LONG, lease=3600))
    await asyncio.wait_for(faults.arrivals("SendMessageBatch", 1), SOON)
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    go.set()
    async with connect(url, clock) as other:
        assert jobs(await asyncio.wait_for(other.receive(1, wait=LONG, lease=LONG), SOON)) == ["good"]


async def test_a_burial_that_is_interrupted_loses_nothing(queue: SqsQueue, faults: Faults, clock: AwsClock) -> None:
    await queue.send([message()])
    [received] = await queue.receive(1, wait=LONG, lease=LONG)
    faults.fail("DeleteMessageBatch", "InternalError", status=500)
    with pytest.raises(Unavailable):
        await queue.dead_letter(received, "failed")
    faults.mend()
    clock.advance(LONG * 1.5)
    [again] = await queue.receive(1, wait=LONG, lease=LONG)
    assert await queue.dead_letter(again, "failed")
    assert {letter.body for letter in await queue.dead(10)} == {message().encode()}


async def test_a_look_at_dead_letters_that_breaks_gives_them_back(
    url: str, queue: SqsQueue, clock: AwsClock, faults: Faults
) -> None:
    await queue.send(messages(12))
    for received in await drain(queue):
        await queue.dead_letter(received, "failed")
    looked = faults.seen.count("ReceiveMessage")
    faults.fail("ReceiveMessage", "AccessDenied", status=403)
    faults.edit("ReceiveMessage", bytes, times=3)  # as it is: one per priority, then no more
    with pytest.raises(Unavailable):
        await queue.dead(100)
    assert faults.seen.count("ReceiveMessage") > looked + 3
    faults.mend()
    async with raw(url) as (_, sqs):
        normal = dead(sqs.settings.name("default", Priority.NORMAL))
        counts = await sqs.attributes(normal, "ApproximateNumberOfMessages")
    assert counts == {"ApproximateNumberOfMessages": "12"}


async def test_closing_does_not_wait_for_a_connection_that_is_lost(url: str, clock: AwsClock, faults: Faults) -> None:
    queue = connect(url, clock)
    await queue.open()
    await queue.prepare()
    never = asyncio.Event()
    faults.hang("ReceiveMessage", never)
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.wait_for(faults.arrivals("ReceiveMessage", 1), SOON)
    started = time.monotonic()
    await asyncio.wait_for(queue.close(), SOON)
    assert time.monotonic() - started < SOON
    assert await waiting == []
