"""How long a message lies before a process that waits for it has it."""

import asyncio
import time
from random import Random

from antiphon.ids import new_id
from antiphon.messages import Message
from antiphon.queue import open_queue
from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.programs import Peer, stand
from antiphon_cli.bench.report import Against, BenchError, Figure, Target
from antiphon_cli.bench.sampling import Tell, tail

ROUNDS = 10
MESSAGES = 40
"""Per round and way."""
IDLE = (0.010, 0.040)
"""Seconds between two messages, drawn anew each time: a rhythm could fall in with the receiver's looks."""
PERCENTS = (50.0, 95.0, 99.0)


def latencies(effort: Effort, tell: Tell) -> list[Figure]:
    """Through a file: p50, p95 and p99 from the call of `send` to the return of `receive` in another process."""
    with stand() as here:
        return _figures("pickup by a waiting process", 10.0, effort, tell, f"sqlite:///{here.directory / 'queue.db'}")


def redis_latencies(effort: Effort, tell: Tell, url: str) -> list[Figure]:
    """The same through the Redis at `url`."""
    return _figures("pickup by a waiting process on Redis", 2.0, effort, tell, url)


def _figures(name: str, bound: float, effort: Effort, tell: Tell, url: str) -> list[Figure]:
    queue, pipe = asyncio.run(_measured(effort, lambda what: tell(f"{name}, {what}"), url))
    return [
        Figure(
            f"{name}, p{percent:g}",
            "ms",
            tail(queue, percent),
            Against("a byte through a pipe", tail(pipe, percent)),
            Target("value", "<", bound) if percent == 95.0 else None,
        )
        for percent in PERCENTS
    ]


async def _measured(effort: Effort, tell: Tell, url: str) -> tuple[list[list[float]], list[list[float]]]:
    rounds, messages = effort.rounds(ROUNDS), effort.of(MESSAGES, 10)
    random = Random(0)
    through_queue: list[list[float]] = []
    through_pipe: list[list[float]] = []
    with stand() as here:
        async with open_queue(url) as queue:
            with here.talk_to("antiphon_cli.bench.queue.receiver", url) as receiver:
                _require(receiver.hear() == "ready")
                for number in range(1, rounds + 1):
                    tell(f"round {number} of {rounds}")
                    ways: dict[str, list[float]] = {"queue": [], "pipe": []}
                    for _ in range(messages):
                        for way, taken in ways.items():
                            await asyncio.sleep(random.uniform(*IDLE))
                            sent = time.monotonic_ns()
                            if way == "queue":
                                await queue.send([Message(new_id(), round=1, leg=0)])
                            else:
                                receiver.say("")  # the line break is the byte
                            taken.append((_heard(receiver, way) - sent) / 1e6)
                    through_queue.append(ways["queue"])
                    through_pipe.append(ways["pipe"])
    return through_queue, through_pipe


def _heard(receiver: Peer, way: str) -> int:
    """When the receiver had what was just sent to it."""
    came_by, at = receiver.hear().split()
    _require(came_by == way)
    return int(at)


def _require(as_expected: object) -> None:
    if not as_expected:
        raise BenchError("the receiving process heard something else than what was sent to it")
