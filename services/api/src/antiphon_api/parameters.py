"""Query parameters that need more than a plain type."""

import base64
import binascii
import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from antiphon.ids import is_id

# pydantic alone would also take bare numbers, and guess whether they are seconds or milliseconds
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII)


def cursor_after(job: str) -> str:
    """The cursor for the page that follows `job`. Opaque, so that what it holds may change."""
    return base64.urlsafe_b64encode(job.encode()).decode()


def _last_job(cursor: str) -> str:
    try:
        job = base64.urlsafe_b64decode(cursor).decode()
    except (binascii.Error, ValueError):
        job = ""
    if not is_id(job):
        raise ValueError("take the cursor from `next_cursor` of the page before")
    return job


def _spelt_out(text: object) -> object:
    if isinstance(text, str) and not _RFC3339.fullmatch(text):
        raise ValueError("write the time as RFC 3339 has it, with its offset: 2026-01-31T12:00:00Z")
    return text


Cursor = Annotated[str, AfterValidator(_last_job)]
Moment = Annotated[AwareDatetime, BeforeValidator(_spelt_out)]


def seconds(moment: datetime | None) -> float | None:
    """A time as the core keeps it."""
    return None if moment is None else moment.timestamp()
