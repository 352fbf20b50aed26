"""What `antiphon doctor` says of SQS, and that asking leaves no trace."""

import json
from collections.abc import AsyncIterator, Sequence

import pytest
from libs.core.tests.sqs import POLL, new_url, raw
from tests.aws_clock import AwsClock
from tests.aws_faults import Faults, faulty
from tests.contract.conftest import LONG, message

from antiphon.errors import Unavailable
from antiphon.jobs import Priority
from antiphon.queue import Depth
from antiphon.queue.sqs import SqsQueue
from antiphon.queue.sqs_queues import dead
from antiphon.resource import Finding, Verdict

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL


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


@pytest.fixture
async def queue(url: str, clock: AwsClock) -> AsyncIterator[SqsQueue]:
    async with SqsQueue(url, clock=clock, poll=POLL, attempts=1) as queue:
        yield queue


EXCESS = ("DeleteQueue", "PurgeQueue", "SetQueueAttributes", "AddPermission")


def deny(faults: Faults, *operations: str) -> None:
    for operation in operations:
        faults.fail(operation, "AccessDenied", status=403)


def told(findings: Sequence[Finding], verdict: Verdict) -> list[str]:
    return [each.finding for each in findings if each.verdict is verdict]


async def test_queues_as_we_make_them_and_rights_as_we_need_them_are_well(queue: SqsQueue, faults: Faults) -> None:
    await queue.prepare()
    deny(faults, *EXCESS)
    findings = await queue.examine()
    assert {each.verdict for each in findings} == {OK}
    assert "6 of 6 queues are there; the first use of another makes it" in told(findings, OK)
    assert "may not delete, purge or change queues" in told(findings, OK)
    assert sum("holds the rights that the work needs" in each for each in told(findings, OK)) == 2


async def test_what_is_not_made_yet_is_well_where_we_make_it(queue: SqsQueue) -> None:
    [finding] = await queue.examine()
    assert (finding.verdict, finding.finding) == (OK, "0 of 6 queues are there; the first use of another makes it")


async def test_what_is_missing_fails_where_we_do_not_make_it(url: str, clock: AwsClock) -> None:
    async with SqsQueue(f"{url}&create=false", clock=clock) as careful:
        findings = await careful.examine()
    assert sum(each.startswith("there is no queue ") for each in told(findings, FAIL)) == 6
    assert told(findings, WARN) == ["may make queues (sqs:CreateQueue), which create=false does not need"]


async def test_asking_leaves_no_trace(url: str, queue: SqsQueue) -> None:
    await queue.prepare("gpu")
    await queue.send([message("gpu", pool="gpu")])
    await queue.prepare()
    await queue.send([message("dead"), message("waits")])
    [received] = await queue.receive(1, wait=LONG, lease=LONG)
    await queue.dead_letter(received, "failed")
    before, gpu = await queue.depth(), await queue.depth("gpu")
    findings = await queue.examine()
    assert "12 of 12 queues are there; the first use of another makes it" in told(findings, OK), "those in use too"
    assert (await queue.depth(), await queue.depth("gpu")) == (before, gpu)
    assert before[Priority.NORMAL] == Depth(available=1, dead=1)
    assert gpu[Priority.NORMAL] == Depth(available=1)
    for pool in ("default", "gpu"):
        [received] = await queue.receive(10, wait=LONG, lease=LONG, pool=pool)
        assert received.deliveries == 1
    async with raw(url) as (client, sqs):
        found = await client.list_queues(QueueNamePrefix=sqs.settings.prefix)
    assert len(found["QueueUrls"]) == 12


@pytest.mark.parametrize("right", EXCESS)
async def test_a_right_that_nothing_needs_is_named(right: str, queue: SqsQueue, faults: Faults) -> None:
    await queue.prepare()
    deny(faults, *(each for each in EXCESS if each != right))
    assert told(await queue.examine(), WARN) == [f"has rights that nothing needs: sqs:{right}"]


@pytest.mark.parametrize("right", ["SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"])
async def test_a_right_that_the_work_needs_and_that_is_missing_fails(
    right: str, queue: SqsQueue, faults: Faults
) -> None:
    await queue.prepare()
    deny(faults, right)
    failed = told(await queue.examine(), FAIL)
    assert len(failed) == 2, "on a queue, and on one of dead letters"
    assert all(f"are missing: sqs:{right}" in each for each in failed)


async def test_who_receives_nothing_may_be_the_api(queue: SqsQueue, faults: Faults) -> None:
    await queue.prepare()
    deny(faults, *EXCESS)
    for operation in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"):
        faults.fail(operation, "AccessDenied", status=403)
    findings = await queue.examine()
    [warned] = [each for each in findings if each.verdict is WARN]
    assert "may not receive from" in warned.finding
    assert warned.advice.startswith("Right for the API alone; a worker needs sqs:ReceiveMessage")
    [failed] = told(findings, FAIL)
    assert "-dead are missing" in failed


async def test_a_right_to_look_that_is_missing_fails_by_name(queue: SqsQueue, faults: Faults) -> None:
    await queue.prepare()
    deny(faults, "GetQueueAttributes")
    failed = told(await queue.examine(), FAIL)
    assert len(failed) == 6
    assert all("the right sqs:GetQueueAttributes on the queue" in each for each in failed)


async def test_a_right_to_make_queues_that_is_missing_fails(queue: SqsQueue, faults: Faults) -> None:
    deny(faults, "CreateQueue")
    findings = await queue.examine()
    assert told(findings, FAIL) == ["may not make queues that are missing (sqs:CreateQueue)"]


async def test_a_queue_that_somebody_made_otherwise_is_described(url: str, queue: SqsQueue) -> None:
    async with raw(url) as (client, sqs):
        name = sqs.settings.name("default", Priority.LOW)
        await client.create_queue(QueueName=dead(name), Attributes={"SqsManagedSseEnabled": "false"})
        arn = (await sqs.attributes(dead(name), "QueueArn") or {})["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
        await client.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})
    warned = [each for each in await queue.examine() if each.verdict is WARN and each.finding.startswith("the queue")]
    assert [each.finding for each in warned] == [
        f"the queue {name} keeps messages for 4 days only, not 7",
        f"the queue {name} gives messages up after 3 receives, not 100",
        f"the queue {dead(name)} keeps messages for 4 days only, not 14",
        f"the queue {dead(name)} is not encrypted at rest",
    ]
    assert all(each.advice for each in warned)


async def test_an_examination_of_what_is_away_is_unavailable(queue: SqsQueue, faults: Faults) -> None:
    faults.drop()
    with pytest.raises(Unavailable):
        await queue.examine()
