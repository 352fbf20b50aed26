"""What the analysis returns. Times are seconds from the start of the recording, frequencies Hz.

Needs pydantic alone, so that the API may describe a result without loading an engine.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AudioInfo(_Frozen):
    """What `decode` found in the file."""

    duration: float = Field(description="Length in seconds, counted in decoded samples and not taken from the header.")
    sample_rate: int = Field(description="Sample rate of the file in Hz; the analysis runs at 16000.")
    channels: int
    codec: str
    container: str
    peak: float = Field(description="Largest absolute sample; full scale is 1, which float samples may pass.")
    rms: float = Field(description="Root mean square of the samples, full scale is 1.")
    clipped: float = Field(description="Share of the samples at full scale, 0 to 1.")
    flags: tuple[Literal["silent", "clipped", "repaired", "truncated"], ...] = Field(
        default=(),
        description="`silent`: nothing above the noise floor of 16-bit audio; `clipped`: more than 1 % at full scale; "
        "`repaired`: samples that were not finite were set to 0; `truncated`: the file ends before its header says, or "
        "parts of it cannot be decoded.",
    )


class Word(_Frozen):
    word: str
    start: float
    end: float
    probability: float


class Segment(_Frozen):
    start: float
    end: float
    text: str


class Transcript(_Frozen):
    """What was said."""

    text: str
    language: str = Field(
        description="ISO 639 code; `und` (undetermined) where no speech was heard and none was named."
    )
    language_probability: float
    duration: float
    segments: tuple[Segment, ...]
    words: tuple[Word, ...]
    model: str
    flags: tuple[Literal["no_speech"], ...] = Field(
        default=(), description="`no_speech`: no speech was heard, so the text is empty."
    )


class Pitch(_Frozen):
    """The fundamental frequency, one value every `step` seconds from `start` on; null where unvoiced."""

    start: float
    step: float
    floor: float = Field(description="Lowest frequency searched, Hz.")
    ceiling: float = Field(description="Highest frequency searched, Hz.")
    median: float | None = Field(description="Median of the voiced frames, Hz; null if there are none.")
    minimum: float | None
    maximum: float | None
    deviation: float | None = Field(description="Standard deviation over the voiced frames, semitones.")
    voiced_share: float = Field(description="Share of voiced frames, 0 to 1.")
    frequency: tuple[float | None, ...] = Field(description="F0 in Hz.")
    semitones: tuple[float | None, ...] = Field(description="F0 in semitones relative to the speaker's median.")
    voiced: tuple[bool, ...]


class Sentiment(_Frozen):
    label: Literal["positive", "neutral", "negative"]
    score: float = Field(ge=-1, le=1, description="From -1, most negative, to 1, most positive.")
    engine: str


class Result(_Frozen):
    """A job's result: the parts that its pipeline made, null for the others."""

    text: str | None = None
    language: str | None = None
    duration: float
    segments: tuple[Segment, ...] | None = None
    words: tuple[Word, ...] | None = None
    pitch: Pitch | None = None
    sentiment: Sentiment | None = None
    alignment: None = Field(default=None, description="Made by the stage `align`, which this version lacks.")
    pronunciation: None = Field(default=None, description="Made by the stage `score`, which this version lacks.")
    model: str | None = None
    audio: AudioInfo
    flags: tuple[str, ...] = Field(default=(), description="The flags of the recording and of the transcript.")
    timings: dict[str, float] = Field(default_factory=dict, description="Seconds that each stage took.")
