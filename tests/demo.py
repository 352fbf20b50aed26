"""The main job on a real recording, from end to end: what `make demo` shows.

Starts `antiphon up` on a free port with a directory of its own, sends a recording over HTTP, follows its progress,
shows what was found, writes every artifact to ./demo-output/, and stops. Ends with 1 unless the words are right.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from antiphon_cli.artifacts import ARTIFACTS, RESULT, write
from antiphon_cli.client import Client
from antiphon_cli.errors import CommandError
from antiphon_cli.progress import progress
from antiphon_speech.results import Pitch, Result, Sentiment, Word

CLIPS = Path(__file__).parent / "data" / "clips"
CLIP = CLIPS / "librivox_0870.wav"
OUTPUT = Path("demo-output")
ANTIPHON = Path(sys.executable).with_name("antiphon")

START_SECONDS = 60
STOP_SECONDS = 30
TIMELINE = 44
SEMITONES = 6.0
"""How far the contour is drawn above and below the median."""
SPARKS = "▁▂▃▄▅▆▇█"

console = Console(highlight=False)


class DemoFailed(Exception):
    """Something is not as it should be."""


def main() -> int:
    began = time.monotonic()
    try:
        with TemporaryDirectory(prefix="antiphon-demo-") as data, all_in_one(Path(data)) as url:
            console.print(f"[bold]antiphon up[/] answers at {url} after {time.monotonic() - began:.1f} s")
            artifacts = analyse(url)
        result = Result.model_validate_json(artifacts[RESULT])
        show(result)
        files = save(artifacts)
        check(result)
    except (DemoFailed, CommandError) as error:
        console.print(Text(f"✗ {error}", "bold red"))
        return 1
    console.print(f"[green]✓[/] Every word is right. {len(files)} files are in [bold]{OUTPUT}/[/]:")
    for file in files:
        console.print(f"  {file}  [dim]{file.stat().st_size} bytes[/]")
    console.print(f"[dim]All in all {time.monotonic() - began:.1f} s.[/]")
    return 0


@contextmanager
def all_in_one(data: Path) -> Iterator[str]:
    """`antiphon up`, as a user starts it; its address. Stopped as a user stops it, by Ctrl-C."""
    command = [str(ANTIPHON), "up", "--port", "0", "--data", str(data), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield address(process)
        except BaseException:
            for log in sorted(data.glob("logs/*.log")):
                console.print(Panel(Text(log.read_text()[-2000:]), title=log.name, border_style="red"))
            raise
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
    if process.returncode != 0:
        raise DemoFailed(f"antiphon up ended with exit code {process.returncode}")


def address(process: subprocess.Popen[str]) -> str:
    """The address, once everything is ready."""
    assert process.stdout is not None
    patience = threading.Timer(START_SECONDS, process.terminate)
    patience.start()
    try:
        for line in process.stdout:
            happening = json.loads(line)
            if happening["event"] == "ready":
                return str(happening["url"])
    finally:
        patience.cancel()
    raise DemoFailed("antiphon up did not become ready")


def analyse(url: str) -> dict[str, bytes]:
    """Send the clip, follow its job by Server-Sent Events, and fetch all that it left."""
    with Client(url) as client, progress(quiet=False) as shown:
        began = time.monotonic()
        job = client.submit(CLIP, {"language": "en"})
        for update in client.follow(job.id):
            present = update.job
            if not present.terminal:
                shown.at(CLIP.name, present.stage or present.state, present.progress)
        if present.state != "succeeded":
            reason = f"{present.error.message} ({present.error.code})" if present.error else "no reason was given"
            raise DemoFailed(f"the job {present.state}: {reason}")
        shown.end(CLIP.name, f"{present.audio_seconds:.1f} s of speech in {time.monotonic() - began:.1f} s", good=True)
        return {name: client.artifact(job.id, name) for name in ARTIFACTS.values()}


def show(result: Result) -> None:
    assert result.words is not None
    assert result.pitch is not None
    assert result.sentiment is not None
    heading = f"{result.language}, {result.model}"
    console.print(Panel(Text(result.text or "", "bold"), title="transcript", subtitle=heading))
    console.print(Panel(words_table(result.words, result.duration), title="words"))
    console.print(
        Panel(
            Group(pitch_summary(result.pitch, result.duration), sentiment_summary(result.sentiment)),
            title="pitch and sentiment",
        )
    )
    console.print(Panel(timings_table(result.timings), title="seconds per stage"))


def words_table(words: tuple[Word, ...], duration: float) -> Table:
    """Each word with its times, and its place in the recording."""
    table = Table("word", box=None, pad_edge=False, header_style="dim")
    for header in ("start", "end", "sure"):
        table.add_column(header, justify="right")
    table.add_column("", no_wrap=True)
    for word in words:
        first = min(TIMELINE - 1, int(word.start / duration * TIMELINE))
        length = max(1, min(TIMELINE, round(word.end / duration * TIMELINE)) - first)
        place = Text.assemble(("·" * first, "dim"), ("━" * length, "cyan"), ("·" * (TIMELINE - first - length), "dim"))
        sure = Text(f"{word.probability:.0%}", "green" if word.probability > 0.8 else "yellow")
        table.add_row(word.word.strip(), f"{word.start:.2f}", f"{word.end:.2f}", sure, place)
    return table


def pitch_summary(pitch: Pitch, duration: float) -> Group:
    """The contour in semitones around the speaker's median, one mark per slice of time, and its figures."""
    per_slice = max(1, len(pitch.semitones) // 72)
    slices = [pitch.semitones[at : at + per_slice] for at in range(0, len(pitch.semitones), per_slice)]
    means = [sum(voiced) / len(voiced) if (voiced := [s for s in part if s is not None]) else None for part in slices]
    marks = "".join(" " if mean is None else spark(mean / SEMITONES) for mean in means)
    return Group(
        Text(marks, "magenta", no_wrap=True),
        f"median {pitch.median or 0:.0f} Hz, from {pitch.minimum or 0:.0f} to {pitch.maximum or 0:.0f} Hz, "
        f"deviation {pitch.deviation or 0:.1f} semitones, {pitch.voiced_share:.0%} of {duration:.1f} s voiced",
    )


def spark(share: float) -> str:
    """A mark as high as `share`, from -1, lowest, to 1, highest."""
    return SPARKS[round((min(1.0, max(-1.0, share)) + 1.0) / 2.0 * (len(SPARKS) - 1))]


def sentiment_summary(sentiment: Sentiment) -> Text:
    colour = {"positive": "green", "neutral": "yellow", "negative": "red"}[sentiment.label]
    return Text.assemble(
        "\nsentiment ", (sentiment.label, colour), f" {sentiment.score:+.2f} of -1 to +1 ({sentiment.engine})"
    )


def timings_table(timings: dict[str, float]) -> Table:
    longest = max(timings.values())
    table = Table("", "", "", box=None, show_header=False, pad_edge=False)
    for stage, seconds in timings.items():
        table.add_row(stage, f"{seconds:7.3f}", Text("█" * max(1, round(seconds / longest * TIMELINE)), "blue"))
    return table


def save(artifacts: dict[str, bytes]) -> list[Path]:
    """Write them into a fresh directory."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    return write(artifacts, CLIP.name, OUTPUT)


def check(result: Result) -> None:
    """Raise DemoFailed unless the words are those of the manifest."""
    [clip] = [each for each in json.loads((CLIPS / "manifest.json").read_text()) if each["id"] == CLIP.stem]
    heard, said = plain_words(result.text or ""), plain_words(clip["text"])
    if heard != said:
        raise DemoFailed(f"the words are not right: heard {' '.join(heard)!r}, but what was said is {' '.join(said)!r}")


def plain_words(text: str) -> list[str]:
    """Without case, punctuation and abbreviation."""
    return ["mister" if word == "mr" else word for word in re.findall(r"[a-z']+", text.lower())]


if __name__ == "__main__":
    sys.exit(main())
