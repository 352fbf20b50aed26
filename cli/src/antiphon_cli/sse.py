"""Server-Sent Events as they come in (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)  # a \r that ends a chunk may be half of a \r\n


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """`id` is the last one that the stream gave, as the standard has it; None before the first."""

    event: str
    data: str
    id: str | None


def events(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """The events of a stream; one that is cut off is not told."""
    event, data, last_id = "", list[str](), None
    for line in _lines(chunks):
        if not line:
            if data:
                yield ServerSentEvent(event or "message", "\n".join(data), last_id)
            event, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                event = value
            case "data":
                data.append(value)
            case "id" if "\0" not in value:
                last_id = value or None


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Not str.splitlines, nor httpx's iter_lines: they also break at characters that JSON text may hold, as U+2028."""
    pending = b""
    for chunk in chunks:
        *whole, pending = _LINE_END.split(pending + chunk)
        for line in whole:
            yield line.decode()
