"""What the embedded queue costs over bare SQLite, and how soon a message is picked up.

**Rate.** The queue is filled with no-op jobs and emptied again, one job per call or ten: send, receive, ack. Beside
it, in turn and in the same process, runs a queue that is written on Python's `sqlite3` alone: insert, lease by an
update that returns the rows, delete where the receipt still fits, each call one transaction. It has the same pragmas
(WAL, `synchronous = NORMAL`, page size), the same bodies and as many checkpoints, but no pools, priorities,
deduplication, dead letters, typed messages or event loop: a floor, and stricter than what one would write for
oneself. A second peer keeps the columns and indexes of `SqliteQueue`, which pools, priorities and deduplication need;
the distance to the first is what those promises cost in SQLite, the distance from us to it what Python and asyncio
cost.

**Pickup.** One process waits in `receive`; another sends a message at random moments. The time runs from the call of
`send`, whose commit is therefore part of it, to the return of `receive`, on the clock that both processes share.
Beside it, in turn and between the same two processes, a byte goes through a pipe: the quickest that one process can
wake another. SQLite cannot wake anybody, so the receiver looks every 5 ms; a median of half of that is what this
design can do.
"""

from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.queue.pickup import latencies
from antiphon_cli.bench.queue.rate import rates
from antiphon_cli.bench.report import Figure
from antiphon_cli.bench.sampling import Tell


def measure(effort: Effort, tell: Tell) -> list[Figure]:
    """Raises BenchError."""
    return [*rates(effort, tell), *latencies(effort, tell)]
