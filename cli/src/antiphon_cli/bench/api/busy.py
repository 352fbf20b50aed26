"""Latencies of the API and of the worker's health while the worker computes on the other core."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from antiphon.pools import Pool
from antiphon_cli.bench.api.decoding import Decoding
from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.installation import Installation
from antiphon_cli.bench.programs import stand
from antiphon_cli.bench.recordings import LONG, recording
from antiphon_cli.bench.report import Against, Figure, Measured, Target
from antiphon_cli.bench.sampling import Tell, in_turn, milliseconds, paced, tail
from antiphon_cli.bench.wire import Address, Connection, Form

UPLOAD = 500_000
"""Bytes."""
ROUNDS = 16
UPLOADS = 25
UPLOAD_RATE = 15.0
"""Requests a second, on one connection: a steady load, far from what the API can take."""
LOOKS = 25
LOOK_RATE = 50.0

NOBODY = Pool(name="nobody", model="nobody")
"""Takes the uploads' jobs: no worker serves it, so that the one that there is goes on with its long recording."""

UPLOAD_TARGET = Target("value", "<", 25.0)
HEALTH_TARGET = Target("value", "<", 50.0)
FLOOR = "antiphon_cli.bench.api.floor"
STREAMED = "Starlette that streams the body to a file and syncs it"
ANSWERED = "Starlette that only answers"

Calls = dict[str, Callable[[], object]]
Rounds = list[list[float]]


@dataclass(frozen=True, slots=True)
class Scene:
    """Who answers where, and a worker that computes."""

    api: Connection
    worker: Connection
    floor: Connection
    decoding: Decoding
    recording: bytes


def latencies(effort: Effort, tell: Tell) -> list[Figure]:
    """Submission of 500 KB, and health: p50 and p99."""
    tell("starting the API, a worker that computes, and the floor")
    with _set() as scene:
        uploads = _in_blocks(scene, _uploads(scene), effort.rounds(ROUNDS), effort.of(UPLOADS, 5), UPLOAD_RATE, tell)
        looks = _in_blocks(scene, _looks(scene), effort.rounds(ROUNDS), effort.of(LOOKS, 5), LOOK_RATE, tell)
    return [
        *_percentiles("POST /v1/jobs, 500 KB", uploads["api"], STREAMED, uploads["floor"], UPLOAD_TARGET),
        *_percentiles("GET /healthz of the API", looks["api"], ANSWERED, looks["floor"], HEALTH_TARGET),
        *_percentiles("GET /healthz of the worker", looks["worker"], ANSWERED, looks["floor"], HEALTH_TARGET),
    ]


@contextmanager
def _set() -> Iterator[Scene]:
    with stand() as here, ExitStack() as cleanup:
        uploads = here.directory / "floor"
        uploads.mkdir()
        floor = here.start("floor", FLOOR, str(uploads), str(here.lifeline))
        installation = Installation(here, pools=(Pool(), NOBODY))
        _, api = installation.start_api()
        worker = installation.start_worker()

        def connected(address: Address) -> Connection:
            return cleanup.enter_context(closing(Connection(address)))

        decoding = Decoding(connected(api), here.directory)
        decoding.begin()
        yield Scene(
            api=connected(api),
            worker=connected(worker),
            floor=connected(Address.of(floor.wait_for("listening")["address"])),
            decoding=decoding,
            recording=_of_size(UPLOAD, here.directory / "upload.wav"),
        )


def _uploads(scene: Scene) -> Calls:
    """The same bytes to both, made before the clock runs."""
    form = Form.of({"pipeline": "transcribe", "model": NOBODY.model})
    body, headers = form.around(scene.recording), form.headers(len(scene.recording))
    return {
        "api": partial(scene.api.post, "/v1/jobs", body, headers),
        "floor": partial(scene.floor.post, "/upload", body, headers),
    }


def _looks(scene: Scene) -> Calls:
    return {
        name: partial(connection.get, "/healthz")
        for name, connection in (("api", scene.api), ("worker", scene.worker), ("floor", scene.floor))
    }


def _in_blocks(scene: Scene, calls: Calls, rounds: int, count: int, rate: float, tell: Tell) -> dict[str, Rounds]:
    """Blocks of `count` calls of each in turn: what the API still does after an answer is its own to bear."""

    def block(call: Callable[[], object]) -> list[float]:
        scene.decoding.top_up()
        call()  # opens the connection
        taken = paced(call, count, rate)
        scene.decoding.require_busy()
        return milliseconds(taken)

    return in_turn({name: partial(block, call) for name, call in calls.items()}, rounds, tell)


def _percentiles(name: str, ours: Rounds, floor: str, theirs: Rounds, target: Target) -> list[Figure]:
    def figure(percent: float, judged: Target | None) -> Figure:
        beside: Measured = tail(theirs, percent)
        return Figure(f"{name}, p{percent:g}", "ms", tail(ours, percent), Against(floor, beside), judged)

    return [figure(50, None), figure(99, target)]


def _of_size(size: int, target: Path) -> bytes:
    """A recording of exactly so many bytes."""
    return recording(LONG, target).read_bytes()[:size]
