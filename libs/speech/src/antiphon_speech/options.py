"""What a caller may ask of the analysis, and the plan of stages that follows from it.

Needs pydantic alone, so that the API may validate a request without loading an engine.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from antiphon_speech.errors import NotAvailable
from antiphon_speech.languages import LANGUAGES


class Stage(StrEnum):
    """One step of a job, in the order in which they run."""

    DECODE = "decode"
    TRANSCRIBE = "transcribe"
    ALIGN = "align"
    PITCH = "pitch"
    SCORE = "score"
    SENTIMENT = "sentiment"
    RENDER = "render"


Lane = Literal["cpu", "gpu", "any"]


@dataclass(frozen=True, slots=True)
class StageSpec:
    """Which hardware a stage wants (`any` joins its neighbour), and which stages must have run before it."""

    lane: Lane
    needs: tuple[Stage, ...] = ()
    needs_reference: bool = False


STAGES: dict[Stage, StageSpec] = {
    Stage.DECODE: StageSpec("any"),
    Stage.TRANSCRIBE: StageSpec("gpu", (Stage.DECODE,)),
    Stage.ALIGN: StageSpec("cpu", (Stage.DECODE,), needs_reference=True),
    Stage.PITCH: StageSpec("cpu", (Stage.DECODE,)),
    Stage.SCORE: StageSpec("cpu", (Stage.ALIGN,), needs_reference=True),
    Stage.SENTIMENT: StageSpec("any", (Stage.TRANSCRIBE,)),
    Stage.RENDER: StageSpec("any", (Stage.DECODE,)),
}

AVAILABLE = frozenset({Stage.DECODE, Stage.TRANSCRIBE, Stage.PITCH, Stage.SENTIMENT, Stage.RENDER})
"""The stages that this version can run."""

_PRESETS: dict[str, tuple[Stage, ...]] = {
    "transcribe": (Stage.TRANSCRIBE,),
    "full": tuple(s for s in STAGES if s in AVAILABLE and not STAGES[s].needs_reference),
    "pronunciation": (Stage.TRANSCRIBE, Stage.ALIGN, Stage.PITCH, Stage.SCORE),
}

Preset = Literal["transcribe", "full", "pronunciation"]


def plan(pipeline: Preset | Iterable[Stage]) -> tuple[Stage, ...]:
    """The stages that `pipeline` comes to: prerequisites and `decode` and `render` added, in running order.

    Raises NotAvailable for a stage that this version cannot run.
    """
    wanted = set(_PRESETS[pipeline] if isinstance(pipeline, str) else pipeline) | {Stage.DECODE, Stage.RENDER}
    pending = list(wanted)
    while pending:
        for needed in STAGES[pending.pop()].needs:
            if needed not in wanted:
                wanted.add(needed)
                pending.append(needed)
    for stage in STAGES:
        if stage in wanted - AVAILABLE:
            raise NotAvailable(
                "pipeline", f"the stage {stage.value!r}", [known for known in STAGES if known in AVAILABLE]
            )
    return tuple(stage for stage in STAGES if stage in wanted)


def _known_language(code: str) -> str:
    if code not in LANGUAGES:
        raise ValueError(f"{code!r} is not a language that Whisper knows; use an ISO 639-1 code such as 'en' or 'de'")
    return code


LanguageCode = Annotated[str, Field(min_length=2, max_length=3), AfterValidator(_known_language)]


class AnalysisOptions(BaseModel):
    """How a recording is to be analysed. Frozen, and canonical once dumped: equal requests dump to equal JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    pipeline: Preset | Annotated[list[Stage], Field(min_length=1, max_length=len(Stage))] = Field(
        default="full",
        description="`transcribe`, `full` (every available stage that needs no reference), `pronunciation`, or a list "
        "of stages. `decode`, `render` and the stages that others need are implied.",
        examples=["full", ["transcribe", "pitch"]],
    )
    language: LanguageCode | None = Field(
        default=None, description="ISO 639-1 code of the language spoken; found out when absent.", examples=["en"]
    )
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Name of the transcription model; the pool's own when absent.", examples=["tiny.en"]
    )
    beam_size: int = Field(default=1, ge=1, le=10, description="Beams of the search; 1 is greedy and fastest.")
    vad: bool = Field(default=True, description="Skip what holds no speech before transcribing.")
    initial_prompt: Annotated[str, Field(max_length=1000)] | None = Field(
        default=None, description="Words to expect: names, terms, style."
    )
