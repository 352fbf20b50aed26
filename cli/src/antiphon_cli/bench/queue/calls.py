"""How many calls to SQS a job takes, since calls are what SQS costs, in money and in time. moto stands for SQS."""

from functools import partial

from antiphon_cli.bench import servers
from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.programs import Peer, stand
from antiphon_cli.bench.report import Against, Figure, Target
from antiphon_cli.bench.sampling import Tell, in_turn, median

ROUNDS = 3
JOBS = {10: 300, 1: 60}
"""By how many go at once."""
LOOP = "antiphon_cli.bench.queue.sqs_loop"
AT_MOST = Target("value", "<=", 0.35)


def calls(effort: Effort, tell: Tell) -> Figure:
    """Calls per no-op job: sent, received and acked in tens, and one by one. Raises NotInstalled."""
    with servers.aws() as endpoint, stand() as here, here.talk_to(LOOP, endpoint) as loop:
        sides = {size: partial(_per_job, loop, effort.of(jobs, 50), size) for size, jobs in JOBS.items()}
        found = in_turn(sides, effort.rounds(ROUNDS), lambda what: tell(f"SQS, {what}"))
    return Figure(
        "calls to SQS per no-op job, in tens",
        "calls",
        median(found[10]),
        Against("one by one", median(found[1])),
        AT_MOST,
    )


def _per_job(loop: Peer, jobs: int, size: int) -> float:
    loop.say(f"{jobs} {size}")
    return int(loop.hear()) / jobs
