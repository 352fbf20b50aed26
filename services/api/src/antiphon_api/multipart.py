"""Reads a multipart form while it arrives, one part after another, holding no more than what one read brought."""

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from antiphon_api.errors import MediaTypeNotSupported, MultipartInvalid

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_BOUNDARY = 70
"""Characters that a boundary may have (RFC 2046, section 5.1.1)."""


@dataclass(frozen=True, slots=True)
class PartBegins:
    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class PartEnds:
    pass


@dataclass(frozen=True, slots=True)
class FormEnds:
    pass


Token: TypeAlias = PartBegins | bytes | PartEnds | FormEnds


def boundary_of(content_type: str | None) -> bytes:
    """The boundary that a Content-Type header names. Raises MediaTypeNotSupported, MultipartInvalid."""
    kind, parameters = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise MediaTypeNotSupported("a job is submitted as multipart/form-data, with the recording in the part `file`")
    boundary = parameters.get(b"boundary", b"")
    if not 1 <= len(boundary) <= MAX_BOUNDARY:
        raise MultipartInvalid(f"the Content-Type must name a boundary of 1 to {MAX_BOUNDARY} characters")
    return boundary


class Part:
    """One part. Its bytes come by iterating, once; they are over before the next part comes."""

    def __init__(self, begins: PartBegins, tokens: "_Tokens") -> None:
        self.name = begins.name
        self.filename = begins.filename
        self._tokens = tokens

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(token := await self._tokens.next(), bytes):
            yield token

    async def skip(self) -> None:
        """Leave it alone, and go on behind it."""
        async for _ in self:
            pass

    async def text(self, limit: int) -> bytes | None:
        """All of it, for a part that is small by nature; None if it holds more than `limit` bytes."""
        collected = bytearray()
        async for chunk in self:
            collected += chunk
            if len(collected) > limit:
                return None
        return bytes(collected)


async def parts(body: AsyncIterable[bytes], boundary: bytes) -> AsyncIterator[Part]:
    """The parts of the form in `body`, each to be read to its end before the next is asked for.

    Raises MultipartInvalid where it is malformed, or ends too early.
    """
    tokens = _Tokens(body, boundary)
    while isinstance(token := await tokens.next(), PartBegins):
        yield Part(token, tokens)
    await tokens.skip_epilogue()


class _Tokens:
    """Turns the parser's callbacks into tokens that can be awaited: what it pushes, we pull."""

    def __init__(self, body: AsyncIterable[bytes], boundary: bytes) -> None:
        self._body = aiter(body)
        self._found: deque[Token] = deque()
        self._field = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": lambda data, start, end: self._found.append(data[start:end]),
            "on_part_end": lambda: self._found.append(PartEnds()),
            "on_end": lambda: self._found.append(FormEnds()),
        }
        self._parser = MultipartParser(boundary, callbacks)

    async def next(self) -> Token:
        while not self._found:
            chunk = await anext(self._body, None)
            if chunk is None:
                raise MultipartInvalid("the form ends before its last boundary")
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise MultipartInvalid(f"the form is malformed: {error}") from None
        return self._found.popleft()

    async def skip_epilogue(self) -> None:
        async for _ in self._body:
            pass

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _on_headers_finished(self) -> None:
        disposition, parameters = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in parameters:
            raise MultipartInvalid("a part of the form has no name")
        filename = parameters.get(b"filename")
        self._found.append(
            PartBegins(
                parameters[b"name"].decode(errors="replace"),
                None if filename is None else filename.decode(errors="replace"),
            )
        )
