"""What the whole platform adds to the transcription itself.

A real API and a real worker, warm, work on a temporary directory. The client submits a recording with the pipeline
`transcribe`, waits on the event stream for the terminal event, and fetches the result; the time runs from the first
byte sent to the last one received. Beside it, in turn, a warm process calls `WhisperModel.transcribe` of
faster-whisper on the same file, with its decoding and until the last segment: the same model, int8, threads,
niceness, beam 1, voice activity detection, word times, thresholds and seed. Both must have heard the same words, or
the bench fails. So the difference is all that a job costs besides: HTTP, store, queue, two hops between processes,
and what is made safe on disk.

`the stages alone` is `antiphon analyze`: what a worker's slot does for the job, in one process, without queue or
store. The lines `of which` say where the time of the short job goes; they add up to the whole but for medians. Of
those, the time from one program's clock to another's rests on one machine having one clock.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.installation import Installation
from antiphon_cli.bench.programs import Peer, stand
from antiphon_cli.bench.recordings import HASTY, LONG, SHORT, recording, seconds
from antiphon_cli.bench.report import Against, BenchError, Figure, Target
from antiphon_cli.bench.sampling import Tell, in_turn, median, milliseconds
from antiphon_cli.bench.speech.journey import STEPS, Journey, travel
from antiphon_cli.bench.wire import Connection

LONG_ROUNDS = 11
SHORT_ROUNDS = 25
OVERHEAD = Target("ratio", "<", 1.10)
ADDED = Target("value", "<", 60.0)
PEER = "antiphon_cli.bench.speech.peer"
DIRECT = "faster-whisper called directly"

Sides = Mapping[str, Callable[[Path], Journey]]
Found = Mapping[str, Sequence[Journey]]


def measure(effort: Effort, tell: Tell) -> list[Figure]:
    """Raises BenchError."""
    with stand() as here, ExitStack() as cleanup:
        long = recording(HASTY if effort.quick else LONG, here.directory / "long.wav")
        short = recording(SHORT, here.directory / "short.wav")
        tell("starting the API, a worker and the peers")
        direct = cleanup.enter_context(here.talk_to(PEER, "direct"))
        stages = cleanup.enter_context(here.talk_to(PEER, "stages"))
        installation = Installation(here)
        _, address = installation.start_api()
        installation.start_worker()
        connection = cleanup.enter_context(closing(Connection(address)))
        for peer in (direct, stages):
            _ready(peer)
        sides: Sides = {
            "platform": partial(_through_the_platform, connection),
            "direct": partial(_through, direct),
            "stages": partial(_through, stages),
        }
        names = {clip: f"{seconds(clip):.0f} s clip" for clip in (long, short)}
        rounds = {long: effort.rounds(LONG_ROUNDS, quick=1), short: effort.rounds(SHORT_ROUNDS, quick=1)}
        found = {clip: _measured(sides, clip, rounds[clip], partial(_tell_of, names[clip], tell)) for clip in names}
    return [
        *_figures(names[long], found[long], whole=OVERHEAD, added=None),
        *_figures(names[short], found[short], whole=None, added=ADDED),
        *_steps(names[short], found[short]),
    ]


def _tell_of(clip: str, tell: Tell, what: str) -> None:
    tell(f"{clip}, {what}")


def _measured(sides: Sides, clip: Path, rounds: int, tell: Tell) -> Found:
    """Every side's runs, after one that warms it up and shows that all hear the same."""
    words = {name: run(clip).text for name, run in sides.items()}
    if not words["direct"] or len(set(words.values())) > 1:
        raise BenchError(f"the sides do not hear the same words, so that their times say nothing: {words}")
    return in_turn({name: partial(run, clip) for name, run in sides.items()}, rounds, tell)


def _through_the_platform(connection: Connection, clip: Path) -> Journey:
    return travel(connection, clip.read_bytes())


def _through(peer: Peer, clip: Path) -> Journey:
    peer.say(str(clip))
    heard = json.loads(peer.hear())
    return Journey(heard["text"], {"all": heard["seconds"]})


def _ready(peer: Peer) -> None:
    if peer.hear() != "ready":
        raise BenchError("a peer of the speech bench did not start")


def _figures(clip: str, found: Found, *, whole: Target | None, added: Target | None) -> list[Figure]:
    platform, direct, stages = (_taken(found[side]) for side in ("platform", "direct", "stages"))
    differences = [ours - theirs for ours, theirs in zip(platform, direct, strict=True)]
    against = Against(DIRECT, median(direct))
    return [
        Figure(f"{clip}, submitted to fetched", "ms", median(platform), against, whole),
        Figure(f"{clip}, added by the platform (run by run)", "ms", median(differences), against, added),
        Figure(f"{clip}, the stages alone", "ms", median(stages), against),
    ]


def _steps(clip: str, found: Found) -> list[Figure]:
    against = Against(DIRECT, median(_taken(found["direct"])))
    return [
        Figure(
            f"{clip}, of which: {step}",
            "ms",
            median(milliseconds([journey.steps[step] for journey in found["platform"]])),
            against,
        )
        for step in STEPS
    ]


def _taken(journeys: Sequence[Journey]) -> list[float]:
    return milliseconds([journey.seconds for journey in journeys])
