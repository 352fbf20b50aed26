"""An upload of 200 MB: what it adds to the API's memory, and how fast it goes."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from antiphon_cli.bench.api.busy import FLOOR, NOBODY, STREAMED
from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.installation import Installation
from antiphon_cli.bench.programs import Program, stand
from antiphon_cli.bench.report import Against, Figure, Target
from antiphon_cli.bench.sampling import Tell, in_turn, largest, median
from antiphon_cli.bench.wire import Address, Connection, Form

ROUNDS = 3
PIECE = bytes(range(256)) * 256
"""64 KiB, the size in which a client reads a file."""
PIECES = 3052
"""Make 200 MB."""
SMALL = 8
"""Pieces of the uploads before: what the first one loads once and for all is not an upload's memory."""
WARM_UP = 20
GROWTH = Target("value", "<", 20.0)


Send = Callable[[int], float]
"""Uploads so many pieces, and leaves nothing of them behind; the seconds until they were answered."""
FORM = Form.of({"pipeline": "transcribe", "model": NOBODY.model})


@dataclass(frozen=True, slots=True)
class Upload:
    """What one cost: MB a second, and MB of memory over what the process held before the first."""

    rate: float
    growth: float


def uploads(effort: Effort, tell: Tell) -> list[Figure]:
    """Memory and rate, of the API and of the floor."""
    pieces = effort.of(PIECES, PIECES // 10)
    size = f"{pieces * len(PIECE) / 1e6:.0f} MB"
    with stand() as here, ExitStack() as cleanup:
        directory = here.directory / "floor"
        directory.mkdir()
        floor = here.start("floor", FLOOR, str(directory), str(here.lifeline))
        api, address = Installation(here, pools=(NOBODY,)).start_api()
        there = Address.of(floor.wait_for("listening")["address"])
        to_api = cleanup.enter_context(closing(Connection(address)))
        to_floor = cleanup.enter_context(closing(Connection(there)))
        found = in_turn(
            {
                "api": _measured(api, partial(_to_api, to_api), pieces),
                "floor": _measured(floor, partial(_to_floor, to_floor, directory), pieces),
            },
            effort.rounds(ROUNDS, quick=1),
            lambda what: tell(f"upload of {size}, {what}"),
        )
    growth = {side: largest([upload.growth for upload in uploads]) for side, uploads in found.items()}
    rate = {side: median([upload.rate for upload in uploads]) for side, uploads in found.items()}
    return [
        Figure(f"upload of {size}, added memory", "MB", growth["api"], Against(STREAMED, growth["floor"]), GROWTH),
        Figure(f"upload of {size}", "MB/s", rate["api"], Against(STREAMED, rate["floor"])),
    ]


def _measured(program: Program, send: Send, pieces: int) -> Callable[[], Upload]:
    """Warm the program up; what a large upload then costs it, each time it is called."""
    for _ in range(WARM_UP):
        send(SMALL)
    before = program.memory("VmRSS")

    def upload() -> Upload:
        seconds = send(pieces)
        return Upload(pieces * len(PIECE) / 1e6 / seconds, program.memory("VmHWM") - before)

    return upload


def _to_api(connection: Connection, pieces: int) -> float:
    started = time.perf_counter()
    answer = connection.post("/v1/jobs", _body(pieces), FORM.headers(pieces * len(PIECE)))
    seconds = time.perf_counter() - started
    connection.delete(f"/v1/jobs/{json.loads(answer)['id']}")
    return seconds


def _to_floor(connection: Connection, directory: Path, pieces: int) -> float:
    started = time.perf_counter()
    connection.post("/upload", _body(pieces), FORM.headers(pieces * len(PIECE)))
    seconds = time.perf_counter() - started
    for file in directory.iterdir():
        file.unlink()
    return seconds


def _body(pieces: int) -> Iterator[bytes]:
    yield FORM.head
    for _ in range(pieces):
        yield PIECE
    yield FORM.tail
