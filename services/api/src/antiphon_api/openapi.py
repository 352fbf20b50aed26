"""The description of the API that programs read, made complete."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from antiphon_api.options import JobOptions
from antiphon_api.problems import Problem
from antiphon_api.queue_schemas import PurgeIn, RedriveIn
from antiphon_speech.results import Result

VERSION = "1.0.0"
"""The contract's version, not the program's: what `/v1` promises."""

DESCRIPTION = """\
Takes recorded speech and returns what was said and how: transcript with word times, pitch, sentiment.

Send a recording to `POST /v1/jobs`, follow it through its events (or ask `GET /v1/jobs/{job}`), fetch its result.
Timestamps are RFC 3339 in UTC, times within a recording are seconds from its start, frequencies are Hz.
Every error is a problem document (RFC 9457) whose `code` is stable.
"""

TAGS = [
    {"name": "jobs", "description": "Submit recordings, and see, cancel, redo or delete jobs."},
    {"name": "results", "description": "What the analysis found."},
    {"name": "events", "description": "Follow a job while it runs."},
    {"name": "operations", "description": "How busy the installation is, and whether it is well."},
    {"name": "internal", "description": "For those who run the installation, and hold its internal token."},
]

_REFS = "#/components/schemas/{model}"
# models that no route names in its signature: we read and write them ourselves
_STREAMED = (JobOptions, Problem, PurgeIn, RedriveIn, Result)


def install(app: FastAPI) -> None:
    """Make `app` describe itself with the schemas of what it streams."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def form_body() -> dict[str, Any]:
    """The request body of a submission."""
    form = {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": {
                "type": "string",
                "format": "binary",
                "description": "The recording: wav, mp3, m4a, ogg, opus, webm, flac and what else PyAV reads.",
            },
            "options": {"$ref": _REFS.format(model=JobOptions.__name__)},
        },
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": form,
                "encoding": {"options": {"contentType": "application/json"}},
                "examples": {
                    "everything": {"summary": "All that can be had", "value": {"file": "..."}},
                    "transcript": {
                        "summary": "A transcript of English speech, soon",
                        "value": {
                            "file": "...",
                            "options": {"pipeline": "transcribe", "language": "en", "priority": "high"},
                        },
                    },
                },
            }
        },
    }


def of_events(name: str) -> dict[str, Any]:
    """The content of a response that is a stream of events with a model's JSON as their data."""
    event = {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "id": {"type": "string", "description": "The event's number; progress has none."},
            "event": {"type": "string", "enum": ["state", "progress", "result"]},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": _REFS.format(model=name)},
            },
        },
    }
    return {"text/event-stream": {"itemSchema": event}}


def of_model(name: str) -> dict[str, Any]:
    """The content of a JSON response that is streamed."""
    return {"application/json": {"schema": {"$ref": _REFS.format(model=name)}}}


def _described(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    _, definitions = models_json_schema([(model, "validation") for model in _STREAMED], ref_template=_REFS)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(definitions["$defs"])
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                parameter["schema"] = _without_null(parameter["schema"])
    return document


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` for a parameter, which is there or is not: in a URL or a header there is no null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {**{key: value for key, value in schema.items() if key != "anyOf"}, **choices[0]}
