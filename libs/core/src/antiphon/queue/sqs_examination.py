"""Whether SQS lets us do what the work needs, and no more; for `antiphon doctor`.

A right shows in how SQS refuses a call that cannot succeed: AccessDenied says that the right is missing, anything else
that it is there. So no message is sent, received, counted or hidden, and no queue is made or changed: rights that we
need are tried with a value that SQS does not take, rights that we should not have on a queue that does not exist.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Mapping, Sequence

from antiphon.messages import DEFAULT_POOL
from antiphon.queue.sqs_calls import together
from antiphon.queue.sqs_client import Refused, SqsClient
from antiphon.queue.sqs_queues import dead, faults, is_dead
from antiphon.resource import Finding, Verdict

NO_RECEIPT = "antiphon-doctor"
WORK = {"ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"}
"""What only workers do with a queue that is no dead-letter queue."""
REVOKE = "Take it from the policy of our role."


async def examine(sqs: SqsClient) -> list[Finding]:
    """The queues of the pool `default` and of those that were used so far. Raises Unavailable."""
    living = {*sqs.settings.names(DEFAULT_POOL), *(name for name in sqs.known if not is_dead(name))}
    names = [queue for name in sorted(living) for queue in (name, dead(name))]
    findings = [finding for some in await together(*(_queue(sqs, name) for name in names)) for finding in some]
    findings += await _making(sqs)
    there = [name for name in names if name in sqs.known]
    others = "; the first use of another makes it" if sqs.settings.create else ""
    findings.append(Finding(Verdict.OK, f"{len(there)} of {len(names)} queues are there{others}"))
    if there:
        # one of each kind: what we may do is said by a pattern of names
        kinds = {is_dead(name): name for name in there}
        findings += await together(*(_rights(sqs, name) for name in kinds.values()), _excess(sqs, there[0]))
    return findings


async def _queue(sqs: SqsClient, name: str) -> list[Finding]:
    try:
        found = await sqs.attributes(name, "All")
        wanted = None if is_dead(name) else await sqs.attributes(dead(name), "QueueArn")
    except Refused as refused:
        return [Finding(Verdict.FAIL, str(refused), "Allow sqs:GetQueueUrl and sqs:GetQueueAttributes on our queues.")]
    if found is None:
        if sqs.settings.create:
            return []
        return [Finding(Verdict.FAIL, f"there is no queue {name}", "Make it, since the URL says create=false.")]
    wrong = faults(name, found, (wanted or {}).get("QueueArn"))
    advice = "Change its attributes, or delete it while it is empty: its next use makes it again."
    return [Finding(Verdict.WARN, f"the queue {name} {fault}", advice) for fault in wrong]


async def _rights(sqs: SqsClient, name: str) -> Finding:
    """Those that the work needs on a queue."""
    url = await sqs.url(name)
    client = sqs.client
    probes: Mapping[str, Awaitable[object]] = {
        "SendMessage": client.send_message(QueueUrl=url, MessageBody="-", DelaySeconds=901),
        "ReceiveMessage": client.receive_message(QueueUrl=url, MaxNumberOfMessages=11, VisibilityTimeout=0),
        "DeleteMessage": client.delete_message(QueueUrl=url, ReceiptHandle=NO_RECEIPT),
        "ChangeMessageVisibility": client.change_message_visibility(
            QueueUrl=url, ReceiptHandle=NO_RECEIPT, VisibilityTimeout=0
        ),
    }
    missing = [right for right, refused in (await _refusals(sqs, name, probes)).items() if refused and refused.denied]
    if not missing:
        return Finding(Verdict.OK, f"holds the rights that the work needs on {name}")
    if set(missing) == WORK and not is_dead(name):
        advice = f"Right for the API alone; a worker needs {_named(missing)}."
        return Finding(Verdict.WARN, f"may not receive from {name}", advice)
    return Finding(Verdict.FAIL, f"rights on {name} are missing: {_named(missing)}", "Allow them in our role's policy.")


async def _making(sqs: SqsClient) -> list[Finding]:
    name = _no_queue(sqs)
    attempt = sqs.client.create_queue(QueueName=name, Attributes={"MaximumMessageSize": "1"})
    refused = (await _refusals(sqs, name, {"CreateQueue": attempt}))["CreateQueue"]
    allowed = refused is None or not refused.denied
    if sqs.settings.create and not allowed:
        advice = "Allow it, or make the queues first and say create=false."
        return [Finding(Verdict.FAIL, "may not make queues that are missing (sqs:CreateQueue)", advice)]
    if allowed and not sqs.settings.create:
        return [Finding(Verdict.WARN, "may make queues (sqs:CreateQueue), which create=false does not need", REVOKE)]
    return []


async def _excess(sqs: SqsClient, existing: str) -> Finding:
    """Rights that nothing of ours needs, and that could lose or give away what is queued."""
    name = _no_queue(sqs)
    url = f"{(await sqs.url(existing)).rpartition('/')[0]}/{name}"
    client = sqs.client
    probes: Mapping[str, Awaitable[object]] = {
        "DeleteQueue": client.delete_queue(QueueUrl=url),
        "PurgeQueue": client.purge_queue(QueueUrl=url),
        "SetQueueAttributes": client.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "30"}),
        "AddPermission": client.add_permission(
            QueueUrl=url, Label="doctor", AWSAccountIds=["111122223333"], Actions=["GetQueueUrl"]
        ),
    }
    held = [right for right, refused in (await _refusals(sqs, name, probes)).items() if refused and refused.missing]
    if not held:
        return Finding(Verdict.OK, "may not delete, purge or change queues")
    return Finding(Verdict.WARN, f"has rights that nothing needs: {_named(held)}", REVOKE)


async def _refusals(sqs: SqsClient, name: str, probes: Mapping[str, Awaitable[object]]) -> dict[str, Refused | None]:
    """How SQS refuses each probe, by the right that it tries; None where it does not."""

    async def refusal(right: str, probe: Awaitable[object]) -> Refused | None:
        try:
            await sqs.ask(probe, right, name)
        except Refused as refused:
            return refused
        return None

    return dict(zip(probes, await asyncio.gather(*(refusal(*probe) for probe in probes.items())), strict=True))


def _no_queue(sqs: SqsClient) -> str:
    """The name of a queue that would be ours, and is not there."""
    return f"{sqs.settings.prefix}-doctor-{secrets.token_hex(8)}"


def _named(rights: Sequence[str]) -> str:
    return ", ".join(f"sqs:{right}" for right in rights)
