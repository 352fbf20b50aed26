"""From errors to problem documents (RFC 9457): the one place that knows which error has which HTTP status."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from antiphon.errors import (
    AntiphonError,
    IdempotencyMismatch,
    JobDeleted,
    JobEphemeral,
    JobHeld,
    JobNotFound,
    JobNotTerminal,
    JobSucceeded,
    JobTerminal,
    NoPool,
    PoolNotFound,
    RetentionOver,
    Unavailable,
)
from antiphon_api import validation
from antiphon_api.errors import (
    ArtifactGone,
    ArtifactNotFound,
    BackendsAway,
    BodyTooLarge,
    FieldError,
    FieldsInvalid,
    InternalDisabled,
    LastEventIdInvalid,
    MediaTypeNotSupported,
    MultipartInvalid,
    RangeNotSatisfiable,
    RequestError,
    RequestIncomplete,
    TokenRequired,
)
from antiphon_speech.errors import AudioEmpty, AudioError, AudioTooLarge, NotAvailable, SpeechError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 2
"""Seconds after which a caller may try again when a backend is away."""

Methods = Mapping[str, Iterable[str]]
"""The methods of every route template; Starlette's own 405 names those of one route only."""

log = structlog.get_logger(__name__)

_KNOWN: dict[type[Exception], tuple[int, str]] = {
    RequestError: (400, "The request is not valid"),
    RequestIncomplete: (400, "The request is not complete"),
    MultipartInvalid: (400, "The form cannot be read"),
    LastEventIdInvalid: (400, "The event number is not valid"),
    TokenRequired: (401, "The internal token is missing or wrong"),
    InternalDisabled: (403, "This installation has no internal token"),
    JobNotFound: (404, "There is no such job"),
    PoolNotFound: (404, "There is no such pool"),
    ArtifactNotFound: (404, "There is no such artifact"),
    JobTerminal: (409, "The job has ended"),
    JobSucceeded: (409, "The job has succeeded"),
    JobNotTerminal: (409, "The job has not ended"),
    JobHeld: (409, "The job is under a legal hold"),
    JobEphemeral: (409, "The job is ephemeral"),
    ArtifactGone: (410, "The artifact is gone"),
    JobDeleted: (410, "The job was deleted"),
    RetentionOver: (410, "The job was kept for its time, and erased"),
    AudioTooLarge: (413, "The recording is too large"),
    BodyTooLarge: (413, "The body is too large"),
    MediaTypeNotSupported: (415, "The media type is not supported"),
    RangeNotSatisfiable: (416, "The range cannot be satisfied"),
    FieldsInvalid: (422, "Fields are not valid"),
    IdempotencyMismatch: (422, "The idempotency key was used for another request"),
    NotAvailable: (422, "This installation lacks what is asked for"),
    NoPool: (422, "This installation lacks what is asked for"),
    AudioEmpty: (422, "The recording is empty"),
    AudioError: (422, "The recording cannot be analysed"),
    SpeechError: (422, "The recording cannot be analysed"),
    Unavailable: (503, "A backend does not answer"),
    AntiphonError: (500, "Something went wrong here"),
}

_HTTP: dict[int, tuple[str, str]] = {
    404: ("not_found", "There is nothing here"),
    405: ("method_not_allowed", "The method is not allowed here"),
}

_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_OURS = "it was not the request's fault"
_UNAVAILABLE = "a backend of this installation does not answer; try again in a moment"


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    pointer: str = Field(description="JSON pointer to the field.", examples=["/options/beam_size"])
    message: str = Field(examples=["Input should be less than or equal to 10"])


class Problem(BaseModel):
    """A problem document (RFC 9457). `code` is stable; the texts are for people and may change."""

    type: str = Field(description="Identifies the kind of problem.", examples=["/problems/job_not_found"])
    title: str = Field(examples=["There is no such job"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(examples=["there is no job 01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11"])
    code: str = Field(description="Stable and short, for programs.", examples=["job_not_found"])
    instance: str | None = Field(default=None, description="Names this occurrence, to be found in the logs.")
    errors: list[FieldProblem] | None = Field(default=None, description="The fields that are wrong.")


def response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(
        problem.model_dump(exclude_none=True), problem.status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def problem_of(error: AntiphonError | SpeechError) -> Problem:
    """The problem document for an error that is raised on purpose."""
    status, title = status_of(type(error))
    if status >= 500 and not isinstance(error, BackendsAway):
        # its sentence is for the operator: it may name hosts and paths
        return _problem(status, error.code, title, _UNAVAILABLE if status == 503 else _OURS)
    return _problem(status, error.code, title, str(error), _fields(error))


def unexpected() -> Problem:
    """For an error that nobody foresaw. Tells nothing of it, only under which name it is logged."""
    problem = _problem(500, AntiphonError.code, _KNOWN[AntiphonError][1], _OURS)
    return problem.model_copy(update={"instance": uuid.uuid4().urn})


def responses(*errors: type[AntiphonError | SpeechError]) -> dict[int | str, dict[str, Any]]:
    """The error responses of an operation that may raise these, for OpenAPI, with an example of each."""
    by_status: dict[int, list[type[AntiphonError | SpeechError]]] = defaultdict(list)
    for error in errors:
        by_status[status_of(error)[0]].append(error)
    described: dict[int | str, dict[str, Any]] = {
        status: _response(status, kinds) for status, kinds in sorted(by_status.items())
    }
    return {**described, "default": {"description": "Anything else.", "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}}


def install(app: FastAPI, methods: Methods) -> None:
    """Answer every error of `app` with a problem document."""

    async def ours(_: Request, error: Exception) -> Response:
        assert isinstance(error, AntiphonError | SpeechError)  # noqa: S101 - Starlette's type is too wide
        problem = problem_of(error)
        if problem.status >= 500:
            log.warning("a request failed", code=error.code, error=str(error))
        return response(problem, _headers(error))

    async def of_fields(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
        return response(problem_of(FieldsInvalid(validation.of_request(error.errors()))))

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - as above
        code, title = _HTTP.get(error.status_code, ("request_invalid", "The request is not valid"))
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(methods[request.scope["route"].path]))
        return response(_problem(error.status_code, code, title, str(error.detail)), headers)

    async def of_leaver(_: Request, __: Exception) -> Response:
        return response(problem_of(RequestIncomplete()))

    app.add_exception_handler(AntiphonError, ours)
    app.add_exception_handler(SpeechError, ours)
    app.add_exception_handler(RequestValidationError, of_fields)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(ClientDisconnect, of_leaver)


def status_of(kind: type[Exception]) -> tuple[int, str]:
    """The HTTP status and the title of an error that is raised on purpose."""
    return next(_KNOWN[base] for base in kind.__mro__ if base in _KNOWN)


def _problem(status: int, code: str, title: str, detail: str, errors: Iterable[FieldError] = ()) -> Problem:
    fields = [FieldProblem(pointer=error.pointer, message=error.message) for error in errors]
    return Problem(
        type=f"/problems/{code}", title=title, status=status, detail=detail, code=code, errors=fields or None
    )


def _fields(error: AntiphonError | SpeechError) -> tuple[FieldError, ...]:
    match error:
        case FieldsInvalid():
            return error.errors
        case NotAvailable():
            return (FieldError(f"/options/{error.field}", str(error)),)
    return ()


def _headers(error: Exception) -> dict[str, str]:
    match error:
        case Unavailable():
            return {"Retry-After": str(RETRY_AFTER)}
        case RangeNotSatisfiable():
            return {"Content-Range": f"bytes */{error.size}"}
        case TokenRequired():
            # https://www.rfc-editor.org/rfc/rfc6750#section-3
            return {"WWW-Authenticate": 'Bearer realm="antiphon"' + ', error="invalid_token"' * error.given}
    return {}


def _response(status: int, kinds: Iterable[type[AntiphonError | SpeechError]]) -> dict[str, Any]:
    examples = {}
    for kind in kinds:
        title = status_of(kind)[1]
        problem = _problem(status, kind.code, title, (kind.__doc__ or title).partition("\n")[0])
        examples[kind.__name__] = {"summary": title, "value": problem.model_dump(exclude_none=True)}
    described = "; ".join(dict.fromkeys(status_of(kind)[1] for kind in kinds))
    response: dict[str, Any] = {
        "description": described,
        "content": {MEDIA_TYPE: {"schema": _SCHEMA, "examples": examples}},
    }
    if status == 503:
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return response
