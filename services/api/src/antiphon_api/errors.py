"""What can be wrong with a request, beyond what the core and the analysis say. `problems.py` knows their statuses."""

from collections.abc import Sequence
from dataclasses import dataclass

from antiphon.errors import AntiphonError, Unavailable


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field, named by a JSON pointer such as `/options/beam_size` or `/query/limit`."""

    pointer: str
    message: str


class RequestError(AntiphonError):
    """The request cannot be served, today or tomorrow."""

    code = "request_invalid"


class RequestIncomplete(RequestError):
    """The client left before its request was complete; nobody will read the answer."""

    code = "request_incomplete"

    def __init__(self) -> None:
        super().__init__("the request ended before it was complete")


class FieldsInvalid(RequestError):
    """Fields of the request are not what they may be."""

    code = "validation"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.pointer}: {error.message}" for error in errors[:3]))
        self.errors = tuple(errors)


class MultipartInvalid(RequestError):
    """The body is not the multipart form that it says it is."""

    code = "multipart_invalid"


class MediaTypeNotSupported(RequestError):
    """The body is of a type that the operation does not read."""

    code = "media_type_not_supported"


class BodyTooLarge(RequestError):
    """The body is longer than any that makes sense here."""

    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is too large; at most {limit} bytes are read")


class LastEventIdInvalid(RequestError):
    """Last-Event-ID is not the number of an event."""

    code = "last_event_id_invalid"

    def __init__(self) -> None:
        super().__init__("Last-Event-ID takes the number of an event, which is the `id` that came with it")


class ArtifactNotFound(RequestError):
    """The job left no artifact of this name."""

    code = "artifact_not_found"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"the job left no such artifact; it has: {', '.join(names) or 'none'}")


class ArtifactGone(RequestError):
    """The artifact's bytes are no longer there."""

    code = "artifact_gone"

    def __init__(self, name: str) -> None:
        super().__init__(f"the bytes of {name!r} are no longer there")


class RangeNotSatisfiable(RequestError):
    """The range starts behind the last byte."""

    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"the range starts behind the end; there are {size} bytes")
        self.size = size


class TokenRequired(RequestError):
    """Only holders of the installation's internal token may ask this, and the request does not carry it."""

    code = "token_required"

    def __init__(self, *, given: bool) -> None:
        what = "the token is not this installation's" if given else "this takes the installation's internal token"
        super().__init__(f"{what}; send `Authorization: Bearer` with the value of ANTIPHON_INTERNAL_TOKEN")
        self.given = given


class InternalDisabled(RequestError):
    """Nobody may ask this, since this installation has no internal token."""

    code = "internal_disabled"

    def __init__(self) -> None:
        super().__init__("this installation has no internal token; set ANTIPHON_INTERNAL_TOKEN where its API runs")


class BackendsAway(Unavailable):
    """A backend that this process needs does not answer."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"away: {', '.join(names)}")
        self.names = tuple(names)
