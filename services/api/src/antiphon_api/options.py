"""What a caller may ask for with a job: the options of the analysis, and what becomes of the job itself."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import from_json

from antiphon.jobs import Priority
from antiphon.retention import DAY, LONGEST, SHORTEST, RetentionClass
from antiphon_api import validation
from antiphon_api.errors import FieldsInvalid
from antiphon_speech.errors import NotAvailable
from antiphon_speech.options import STAGES, AnalysisOptions, plan

MAX_OPTIONS_BYTES = 64 * 1024

_LATER = {
    "reference_id": "comparing with a stored reference",
    "script": "comparing with a script",
    "webhook_url": "telling a webhook",
}
"""Options that are part of the contract, and not built yet."""

MetadataKey = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
MetadataValue = Annotated[str, Field(max_length=512)]


class JobOptions(AnalysisOptions):
    """The part `options` of a submission: a JSON object. Every field may be left out."""

    model_config = ConfigDict(strict=True)

    priority: Literal["high", "normal", "low"] = Field(
        default="normal", description="Served by weight 7:2:1, so that `low` waits longer but never for ever."
    )
    expires_in: int | None = Field(
        default=None, ge=1, le=7 * DAY, description="Seconds within which the job must end; it expires otherwise."
    )
    retention: RetentionClass | Annotated[int, Field(ge=SHORTEST, le=LONGEST)] = Field(
        default=RetentionClass.STANDARD,
        description="How long the job is kept once it has ended; then recording, results and history are erased. "
        f"`standard` (usually 30 days), `ephemeral` (usually an hour), or seconds from {SHORTEST} to 10 years. An "
        "ephemeral job cannot be put under a legal hold. The job says in `retained_until` what that comes to.",
        examples=["standard", "ephemeral", 7 * DAY],
    )
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default_factory=dict,
        max_length=16,
        description="Yours to choose; comes back with the job.",
        examples=[{"lesson": "12"}],
    )
    reference_id: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="A stored reference to compare with. Not available yet."
    )
    script: Annotated[str, Field(max_length=20_000)] | None = Field(
        default=None, description="What should have been said, to compare with. Not available yet."
    )
    webhook_url: Annotated[str, Field(max_length=2000)] | None = Field(
        default=None, description="Where to tell that the job has ended. Not available yet."
    )

    @classmethod
    def parse(cls, text: bytes) -> "JobOptions":
        """The options that `text`, a JSON object, spells. Raises FieldsInvalid, NotAvailable."""
        try:
            options = cls.model_validate_json(text)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            broken = any(fault["type"] == "json_invalid" for fault in found)
            document = None if broken else from_json(text)
            raise FieldsInvalid(validation.of_document("options", document, found)) from None
        for field, what in _LATER.items():
            if getattr(options, field) is not None:
                raise NotAvailable(field, what)
        plan(options.pipeline)
        return options

    def stages(self) -> list[tuple[str, str]]:
        """What will run, as `routing.legs` wants it: (name, lane) in running order."""
        return [(stage.value, STAGES[stage].lane) for stage in plan(self.pipeline)]

    def analysis(self) -> dict[str, Any]:
        """What the workers need to know."""
        return self.model_dump(mode="json", include=set(AnalysisOptions.model_fields))

    def rank(self) -> Priority:
        return Priority[self.priority.upper()]

    @property
    def retention_class(self) -> RetentionClass:
        """`standard` where a number of seconds is asked for, since such a job can be held."""
        return self.retention if isinstance(self.retention, RetentionClass) else RetentionClass.STANDARD

    def retention_seconds(self, lengths: Mapping[RetentionClass, int]) -> int:
        """What is asked for, where each class of this installation lasts as `lengths` says."""
        return lengths[self.retention] if isinstance(self.retention, RetentionClass) else self.retention

    def fingerprint(self, sha256: str) -> str:
        """Equal for equal requests with the same file; multipart boundaries and the order of fields do not count."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(f"{sha256}\n{canonical}".encode()).hexdigest()
