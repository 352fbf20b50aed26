"""No-op jobs through Antiphon and through its peers, on one Redis, in turn."""

from functools import partial

from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.queue.peers.systems import OURS, OURS_ONE_BY_ONE, PEERS, Entrant
from antiphon_cli.bench.queue.race import Course, run
from antiphon_cli.bench.report import Against, Figure, LeftOut, Measured, Target
from antiphon_cli.bench.sampling import Tell, in_turn, median

ROUNDS = 3
JOBS = 10_000
SECONDS = 4.0
"""Of one run at most: some peers would need half a minute."""
AS_THE_BEST = Target("ratio", ">=", 1.0)


def standings(effort: Effort, tell: Tell, url: str) -> list[Figure | LeftOut]:
    """Jobs a second of two worker processes beside every peer, and of one beside the best."""
    left_out = [
        LeftOut(f"no-op jobs through {peer.name}", f"not installed: {', '.join(peer.missing)}")
        for peer in PEERS
        if peer.missing
    ]
    peers = [peer for peer in PEERS if not peer.missing]
    if not peers:
        return [*left_out]
    two = _rates(effort, tell, url, 2, (OURS, OURS_ONE_BY_ONE, *peers))
    best = max(peers, key=lambda peer: two[peer].value)
    one = _rates(effort, tell, url, 1, (OURS, best))
    beside_best = Against(f"the best peer, {best.title}", two[best])
    name = "no-op jobs on Redis, 2 processes"
    return [
        Figure(name, "jobs/s", two[OURS], beside_best, AS_THE_BEST),
        *(Figure(name, "jobs/s", two[OURS], Against(peer.title, two[peer])) for peer in peers),
        Figure(f"{name}, acked one by one", "jobs/s", two[OURS_ONE_BY_ONE], beside_best),
        Figure("no-op jobs on Redis, 1 process", "jobs/s", one[OURS], Against(best.title, one[best])),
        *left_out,
    ]


def _rates(
    effort: Effort, tell: Tell, url: str, processes: int, entrants: tuple[Entrant, ...]
) -> dict[Entrant, Measured]:
    course = Course(effort.of(JOBS, 200), processes, SECONDS)
    found = in_turn(
        {entrant: partial(run, entrant, url, course) for entrant in entrants},
        effort.rounds(ROUNDS, quick=1),
        lambda what: tell(f"Redis, {processes} of each system, {what}"),
    )
    return {entrant: median([finish.rate for finish in finishes]) for entrant, finishes in found.items()}
