"""Conditional requests and byte ranges (RFC 9110, sections 13 and 14), as far as immutable files need them. Pure."""

import re
from dataclasses import dataclass

from antiphon_api.errors import RangeNotSatisfiable

_ONE_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to `end`, which is not included, of `size` in all."""

    start: int
    end: int
    size: int

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller already has what `etag` names. The comparison is weak, as section 13.1.2 says."""
    if if_none_match is None:
        return False
    held = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in held or etag in held


def requested(header: str | None, if_range: str | None, etag: str, size: int) -> Span | None:
    """The part that is asked for; None for all of it. Raises RangeNotSatisfiable.

    What we do not understand, or several ranges at once, may be ignored (section 14.2), and so it is. A range that
    depends on another version of the file than ours must be ignored (section 13.1.5).
    """
    match = _ONE_RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), size if last is None else min(size, int(last) + 1)
        if last is not None and int(last) < start:
            return None  # not a range at all, so it is ignored
    if start >= end:
        raise RangeNotSatisfiable(size)
    return Span(start, end, size)
