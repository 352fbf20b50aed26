"""From what pydantic says of wrong input to fields and sentences. Input is never echoed: it may hold a secret."""

from collections.abc import Iterable
from typing import Any

from antiphon_api.errors import FieldError

MAX_ERRORS = 20
MAX_SEGMENT = 100
"""How many errors are told, and how much of a field's name, which is the caller's to choose."""


def of_request(errors: Iterable[Any]) -> list[FieldError]:
    """The errors of parameters, whose places FastAPI names: `("query", "limit")`."""
    return _merged((_pointer(error["loc"]), error["msg"]) for error in errors)


def of_document(root: str, document: object, errors: Iterable[Any]) -> list[FieldError]:
    """The errors of a JSON document that hangs below `root`.

    Where a field may be one of several types, pydantic tells what each type dislikes, and puts the type's name into the
    place of the error. Such names lead nowhere in the document, and are left out of the pointer.
    """
    return _merged((_pointer((root, *_within(document, error))), error["msg"]) for error in errors)


def _within(document: object, error: Any) -> list[str | int]:
    """The steps of the error's place that lead somewhere, and the field that is missing, if that is the error."""
    path: list[str | int] = []
    current: Any = document
    for step in error["loc"]:
        if _has(current, step):
            current = current[step]
            path.append(step)
    if error["type"] == "missing":
        path.append(error["loc"][-1])
    return path


def _has(document: object, step: str | int) -> bool:
    if isinstance(document, list):
        return isinstance(step, int) and step < len(document)
    return isinstance(document, dict) and step in document


def _pointer(place: Iterable[str | int]) -> str:
    """RFC 6901."""
    steps = (str(step)[:MAX_SEGMENT] for step in place)
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _merged(errors: Iterable[tuple[str, str]]) -> list[FieldError]:
    """One error per field, and none for a field that has a wrong part: it says the same, less precisely."""
    messages: dict[str, list[str]] = {}
    for pointer, message in errors:
        said = messages.setdefault(pointer, [])
        if message not in said:
            said.append(message)
    precise = [
        FieldError(pointer, "; or: ".join(said))
        for pointer, said in messages.items()
        if not any(other.startswith(f"{pointer}/") for other in messages)
    ]
    return precise[:MAX_ERRORS]
