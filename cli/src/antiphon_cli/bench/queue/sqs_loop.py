"""The process that works with SQS: `python -m antiphon_cli.bench.queue.sqs_loop ENDPOINT`.

It answers `JOBS SIZE` on standard input: the calls that it took to send, receive and ack so many no-op jobs, so many at
once. It has an environment of its own to itself, so that nobody's credentials are used.
"""

import asyncio
import os
import sys
from urllib.parse import urlencode

from antiphon.ids import new_id
from antiphon.messages import Message
from antiphon.queue.sqs import SqsQueue
from antiphon_cli.bench.tethered import tether

LEASE = 60.0
LONG_POLL = 20.0
NOBODY = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}  # moto does not look at them


async def answer(endpoint: str) -> None:
    async with SqsQueue(f"sqs://?{urlencode({'endpoint': endpoint, 'region': 'eu-central-1'})}") as queue:
        await queue.prepare()
        for line in sys.stdin:
            jobs, size = map(int, line.split())
            before = queue.calls.total()
            await work_off(queue, jobs, size)
            print(queue.calls.total() - before, flush=True)


async def work_off(queue: SqsQueue, jobs: int, size: int) -> None:
    messages = [Message(new_id(), round=1, leg=0) for _ in range(jobs)]
    for start in range(0, jobs, size):
        await queue.send(messages[start : start + size])
    acked = 0
    while acked < jobs:
        acked += sum(await queue.ack(await queue.receive(size, wait=LONG_POLL, lease=LEASE)))


def main(endpoint: str) -> None:
    tether()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(NOBODY)
    asyncio.run(answer(endpoint))


if __name__ == "__main__":
    main(sys.argv[1])
