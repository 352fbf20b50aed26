"""The port `Blobs`. What is promised here, `tests/contract/test_blobs.py` asks of every adapter."""

import abc
import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from antiphon.resource import Resource


@dataclass(frozen=True, slots=True)
class Blob:
    """What is known of a blob once it is safe."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class UploadLink:
    """Where somebody else may PUT a blob, and the headers that this request must carry."""

    url: str
    headers: Mapping[str, str]


class Blobs(Resource):
    """Keeps bytes under keys such as `default/0190.../source`: whole or not at all, and never changed.

    A key is segments of `[A-Za-z0-9._-]` with `/` between them; no segment is `.` or `..`. Other keys raise ValueError
    (`check_key`). Callers let no key continue another one: where `a` is a blob they put no `a/b`. A backend may refuse
    that with ValueError, as files must, or keep both, as S3 does, which could not refuse it without a second request
    for every put; in either case what was there stays whole.
    """

    @abc.abstractmethod
    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Store `chunks` under `key`; when this returns they survive a power cut.

        What was there is replaced in one step. If `chunks` raises, nothing is left behind and the error goes on.
        """

    @abc.abstractmethod
    async def size(self, key: str) -> int:
        """Bytes under `key`. Raises BlobNotFound."""

    @abc.abstractmethod
    def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end` (not included), in chunks. Raises BlobNotFound.

        Bounds beyond the end are those of the end. A blob that is replaced or deleted meanwhile is read to its end;
        if the backend goes away before that, Unavailable is raised: what ends without an error is whole.
        """

    @abc.abstractmethod
    def local(self, key: str, scratch: Path) -> AbstractAsyncContextManager[Path]:
        """A file with these bytes, to be read and not written, made in `scratch` where the backend has none.

        Raises BlobNotFound.
        """

    @abc.abstractmethod
    async def delete_prefix(self, prefix: str) -> int:
        """Remove every blob whose key starts with the segments of `prefix`; how many there were."""

    @abc.abstractmethod
    async def move(self, key: str, to: str) -> None:
        """Give the blob under `key` the key `to`, and replace what was there. Raises BlobNotFound.

        Afterwards `to` holds it and `key` nothing. A crash, or an error, on the way may leave both, never neither.
        """

    async def link(
        self, key: str, *, seconds: int, media_type: str | None = None, filename: str | None = None
    ) -> str | None:
        """A URL by which whoever has it may GET the blob for `seconds`; None where the backend serves no URLs.

        It answers with `media_type` and, if `filename` is given, as an attachment of that name. Whether there is a
        blob shows only when the URL is used. Raises ValueError for `seconds` that are not 1 to MAX_LINK_SECONDS.
        """

    async def upload_link(self, key: str, *, seconds: int, size: int, sha256: str | None = None) -> UploadLink | None:
        """A URL to which whoever has it may, for `seconds`, PUT a blob of exactly `size` bytes; None as for `link`.

        With `sha256` (hexadecimal), of exactly these bytes. Raises ValueError as `link` does, and for a `size` that
        the backend does not take in one request.
        """


MAX_LINK_SECONDS = 7 * 24 * 3600
"""The longest that a signature of S3 may hold."""
MAX_KEY = 1024
MAX_SEGMENT = 200
_SEGMENT = re.compile(rf"(?!\.\.?\Z)[A-Za-z0-9._-]{{1,{MAX_SEGMENT}}}")


def check_key(key: str) -> None:
    """Raise ValueError unless `key`, or a prefix of segments, can name a blob in every backend.

    At most 1024 characters, which S3 takes, in segments of at most 200, which file systems take.
    """
    if len(key) > MAX_KEY or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise ValueError(f"{key[:MAX_KEY]!r} is not the key of a blob")


async def put_bytes(blobs: Blobs, key: str, data: bytes) -> Blob:
    """Store `data`, which is in memory already."""

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return await blobs.put(key, chunks())


async def read_all(blobs: Blobs, key: str, limit: int) -> bytes:
    """A whole blob in memory. Raises BlobNotFound, and ValueError if it has more than `limit` bytes."""
    content = b"".join([chunk async for chunk in blobs.read(key, end=limit + 1)])
    if len(content) > limit:
        raise ValueError(f"the blob {key!r} has more than {limit} bytes")
    return content
