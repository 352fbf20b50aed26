"""The receiving process of the pickup bench: `python -m antiphon_cli.bench.queue.receiver QUEUE-URL`.

It waits in `receive` and on its standard input at once, and says when something came by which way. Times are those of
CLOCK_MONOTONIC, which all processes of a machine share (clock_gettime(2)).
"""

import asyncio
import os
import sys
import time

from antiphon.queue import open_queue


async def receive(url: str) -> None:
    """Answer every message with `queue NANOSECONDS`, every byte on standard input with `pipe NANOSECONDS`."""
    over = asyncio.Event()

    def wake() -> None:
        byte = os.read(sys.stdin.fileno(), 1)
        at = time.monotonic_ns()
        if byte:
            print(f"pipe {at}", flush=True)
        else:
            over.set()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), wake)
    async with open_queue(url) as queue:
        print("ready", flush=True)
        while not over.is_set():
            received = await queue.receive(1, wait=20.0, lease=60.0)
            at = time.monotonic_ns()
            await queue.ack(received)
            for _ in received:
                print(f"queue {at}", flush=True)


if __name__ == "__main__":
    asyncio.run(receive(sys.argv[1]))
