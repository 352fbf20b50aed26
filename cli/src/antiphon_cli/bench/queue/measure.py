"""What the queue costs over bare SQLite, how it stands beside others on Redis, and how soon a message is picked up.

**Rate, SQLite.** The queue is filled with no-op jobs and emptied again, one job per call or ten: send, receive, ack.
Beside it, in turn and in the same process, runs a queue that is written on Python's `sqlite3` alone: insert, lease by
an update that returns the rows, delete where the receipt still fits, each call one transaction. It has the same pragmas
(WAL, `synchronous = NORMAL`, page size), the same bodies and as many checkpoints, but no pools, priorities,
deduplication, dead letters, typed messages or event loop: a floor, and stricter than what one would write for
oneself. A second peer keeps the columns and indexes of `SqliteQueue`, which pools, priorities and deduplication need;
the distance to the first is what those promises cost in SQLite, the distance from us to it what Python and asyncio
cost.

**Pickup.** One process waits in `receive`; another sends a message at random moments. The time runs from the call of
`send`, whose commit is therefore part of it, to the return of `receive`, on the clock that both processes share.
Beside it, in turn and between the same two processes, a byte goes through a pipe: the quickest that one process can
wake another. SQLite cannot wake anybody, so the receiver looks every 5 ms; a median of half of that is what this
design can do. Redis wakes the receiver.

**Rate, Redis.** 10,000 no-op jobs wait on one Redis, which keeps nothing on disk, and worker processes work them off,
with the queue alone: receive, call the handler, ack. Beside Antiphon, in turn and on the same server, do so the worker
processes of other systems, each with the settings at which it was fastest here, of those that its documentation
recommends: taskiq with its Redis streams, 100 at once, uvloop; dramatiq with 8 threads and 100 messages prefetched; SAQ
with 100 at once, uvloop; Celery with the pool `solo` and 128 prefetched; RQ with `SimpleWorker`. None stores results.
Antiphon receives up to 100 messages, runs a task for each, and acks them together; in the line `acked one by one` each
task acks its own, as the others do, and as the jobs of a worker do, which end at different times. All jobs are queued
before the clock runs, and the processes, new in each round, have handled others and wait. The handler counts in shared
memory. Who is not done after 4 s is judged by what was done by then.

**Calls to SQS** are what it costs. They are counted in the same loop, against an emulator, whose times would mean
nothing.

**The full platform** takes no-op jobs all the way: accepted, relayed to the queue, received, claimed, finished, acked,
with every change told to listeners. Submitters, relay and worker share one process; one job at a time, and 32. Beside
it, in turn and on the same database, its bare driver (`sqlite3`, `asyncpg`) does only what a job cannot do without:
three transactions, for accept, claim and commit, each synced, with the rows of job, event and promise, but no queue,
no relay, no listeners, no library in between. Transactions are counted apart, without the relay's: three a job one by
one, fewer where SQLite commits together what is ready together. PostgreSQL shares syncs between connections by itself.
"""

from collections.abc import Sequence

from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.queue.calls import calls
from antiphon_cli.bench.queue.pickup import latencies, redis_latencies
from antiphon_cli.bench.queue.platform import platforms
from antiphon_cli.bench.queue.rate import rates
from antiphon_cli.bench.queue.standings import standings
from antiphon_cli.bench.report import Figure, LeftOut
from antiphon_cli.bench.sampling import Tell
from antiphon_cli.bench.servers import NotInstalled, redis_or_own


def measure(effort: Effort, tell: Tell) -> list[Figure | LeftOut]:
    """Raises BenchError."""
    on_redis = measure_on_redis(effort, tell)  # first: who gave a server that will not do hears so at once
    return [
        *rates(effort, tell),
        *latencies(effort, tell),
        *on_redis,
        measure_on_sqs(effort, tell),
        *platforms(effort, tell),
    ]


def measure_on_redis(effort: Effort, tell: Tell) -> Sequence[Figure | LeftOut]:
    try:
        with redis_or_own(effort.redis_url) as url:
            return [*redis_latencies(effort, tell, url), *standings(effort, tell, url)]
    except NotInstalled as error:
        return [LeftOut("Redis", str(error))]


def measure_on_sqs(effort: Effort, tell: Tell) -> Figure | LeftOut:
    try:
        return calls(effort, tell)
    except NotInstalled as error:
        return LeftOut("calls to SQS", str(error))
