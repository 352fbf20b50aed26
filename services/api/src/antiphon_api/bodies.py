"""Bodies that are small JSON objects, read once it is clear that the caller may ask at all.

FastAPI itself reads a body, however long it is, before it asks any dependency.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from antiphon_api import validation
from antiphon_api.errors import BodyTooLarge, FieldsInvalid, MediaTypeNotSupported

MAX_BYTES = 256 * 1024

M = TypeVar("M", bound=BaseModel)


def reader(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads a `model`; no body is as good as `{}`.

    Raises BodyTooLarge, MediaTypeNotSupported, FieldsInvalid.
    """

    async def read(request: Request) -> M:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BYTES:
                raise BodyTooLarge(MAX_BYTES)
        if body and request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise MediaTypeNotSupported("send a JSON object, with the Content-Type application/json")
        return _parsed(model, bytes(body) or b"{}")

    return read


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The request body of an operation that uses `reader(model)`, for OpenAPI."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"required": False, "content": {"application/json": {"schema": schema}}}


def _parsed(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        broken = any(fault["type"] == "json_invalid" for fault in found)
        raise FieldsInvalid(validation.of_document("body", None if broken else from_json(body), found)) from None
