"""How fast the API answers while a worker computes on the other core, and what a large upload costs it.

**Submission.** One client sends recordings of 500 KB to `POST /v1/jobs` over one connection, at a steady 15 a second,
far from what the API can take, while the worker transcribes a long recording. The jobs go to a pool that no worker
serves, so that the decoding goes on all the time. A request that its predecessor kept waiting counts from the moment
at which it was due. Beside it, in blocks that take turns, the same bytes go to a minimal Starlette application in a
process of its own, with the same event loop and HTTP parser, that only streams them to a file and syncs it. The API
also parses the form, computes a checksum, syncs the names of the file and its directories, commits the job (synced as
well), tells the queue.

**Health.** `/healthz` of the API and of the worker, beside a route of the minimal application that only answers.

**Memory.** An API without a worker takes uploads of 200 MB, after some small ones. `added memory` is the most that
its process has held (VmHWM) minus what it held before the first of them (VmRSS), the largest of all rounds; beside it
the minimal application takes the same.
"""

from antiphon_cli.bench.api.busy import latencies
from antiphon_cli.bench.api.large import uploads
from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.report import Figure
from antiphon_cli.bench.sampling import Tell


def measure(effort: Effort, tell: Tell) -> list[Figure]:
    """Raises BenchError."""
    return [*latencies(effort, tell), *uploads(effort, tell)]
