"""What the stages do: one table, used by the slots of a worker and by `antiphon analyze` alike.

Which stages there are, their lanes and needs stand in `antiphon_speech.options`, where the API can read them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from pydantic import BaseModel

from antiphon_speech import pitch as pitch_analysis
from antiphon_speech.audio import Audio, AudioLimits, decode
from antiphon_speech.engines import Engines
from antiphon_speech.formats import FORMATS
from antiphon_speech.options import AnalysisOptions, Stage, plan
from antiphon_speech.results import AudioInfo, Pitch, Result, Sentiment, Transcript

Report = Callable[[float], None]
"""Told how much of a stage is done, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Produced:
    """An artifact before it is stored."""

    name: str
    media_type: str
    data: bytes


@dataclass
class Work:
    """One recording on its way through the stages. What they found stays here for those that come after."""

    source: Path
    options: AnalysisOptions
    limits: AudioLimits
    found: dict[Stage, BaseModel] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)

    @cached_property
    def audio(self) -> Audio:
        """The decoded recording: scratch, made anew where a job is resumed behind `decode`."""
        return decode(self.source, self.limits)

    def restore(self, artifacts: Mapping[str, bytes]) -> None:
        """Take over what the stages of an earlier attempt or leg left, by the names of their artifacts."""
        for stage, row in STAGES.items():
            if row.leaves in artifacts:
                self.found[stage] = row.model.model_validate_json(artifacts[row.leaves])


@dataclass(frozen=True, slots=True)
class AnalysisStage:
    """A stage that finds something out, and leaves it as JSON under the name `leaves`."""

    analyse: Callable[[Work, Engines, Report], BaseModel]
    leaves: str
    model: type[BaseModel]


def _decode(work: Work, _engines: Engines, _report: Report) -> AudioInfo:
    return work.audio.info


def _transcribe(work: Work, engines: Engines, report: Report) -> Transcript:
    return engines.transcriber.transcribe(work.audio.samples, work.options, progress=report)


def _pitch(work: Work, _engines: Engines, _report: Report) -> Pitch:
    return pitch_analysis.pitch(work.audio.samples)


def _sentiment(work: Work, engines: Engines, _report: Report) -> Sentiment:
    transcript = work.found[Stage.TRANSCRIBE]
    assert isinstance(transcript, Transcript)  # noqa: S101 - the plan puts `transcribe` first
    return engines.sentiment.analyse(transcript.text)


STAGES: dict[Stage, AnalysisStage] = {
    Stage.DECODE: AnalysisStage(_decode, "audio.json", AudioInfo),
    Stage.TRANSCRIBE: AnalysisStage(_transcribe, "transcript.json", Transcript),
    Stage.PITCH: AnalysisStage(_pitch, "pitch.json", Pitch),
    Stage.SENTIMENT: AnalysisStage(_sentiment, "sentiment.json", Sentiment),
}


def run(stage: Stage, work: Work, engines: Engines, report: Report) -> list[Produced]:
    """Run one stage; what it leaves. Raises SpeechError."""
    started = time.perf_counter()
    if stage is Stage.RENDER:
        produced = render(work)
    else:
        row = STAGES[stage]
        found = row.analyse(work, engines, report)
        work.found[stage] = found
        produced = [Produced(row.leaves, "application/json", found.model_dump_json().encode())]
    work.timings[stage.value] = round(time.perf_counter() - started, 4)
    return produced


def render(work: Work) -> list[Produced]:
    """The result, in every format that what was found allows."""
    result = assemble(work)
    return [
        Produced(form.name, form.media_type, form.write(result)) for form in FORMATS.values() if form.applies(result)
    ]


def assemble(work: Work) -> Result:
    """What the stages found, as one result."""
    audio = AudioInfo.model_validate(work.found[Stage.DECODE])
    transcript = work.found.get(Stage.TRANSCRIBE)
    said = transcript if isinstance(transcript, Transcript) else None
    pitch = work.found.get(Stage.PITCH)
    sentiment = work.found.get(Stage.SENTIMENT)
    return Result(
        text=said.text if said else None,
        language=said.language if said else None,
        duration=audio.duration,
        segments=said.segments if said else None,
        words=said.words if said else None,
        pitch=pitch if isinstance(pitch, Pitch) else None,
        sentiment=sentiment if isinstance(sentiment, Sentiment) else None,
        model=said.model if said else None,
        audio=audio,
        flags=(*audio.flags, *(said.flags if said else ())),
        timings=dict(work.timings),
    )


def analyse(
    source: Path,
    options: AnalysisOptions,
    engines: Engines,
    *,
    limits: AudioLimits,
    on_progress: Callable[[Stage, float], None],
) -> list[Produced]:
    """Run every stage of `options` in this process, without queue or store; all that they leave. Raises SpeechError."""
    work = Work(source, options, limits)
    produced: list[Produced] = []
    for stage in plan(options.pipeline):
        on_progress(stage, 0.0)
        produced += run(stage, work, engines, partial(on_progress, stage))
        on_progress(stage, 1.0)
    return produced
