"""The port `Blobs`. What is promised here, `tests/contract/test_blobs.py` asks of every adapter."""

import abc
import re
from collections.abc import AsyncIterable, AsyncIterator
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


class Blobs(Resource):
    """Keeps bytes under keys such as `default/0190.../source`: whole or not at all, and never changed.

    A key is segments of `[A-Za-z0-9._-]` with `/` between them; no segment is `.` or `..`. Other keys raise ValueError
    (`check_key`). No key continues another one: where `a` is a blob, `a/b` is none.
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

        Bounds beyond the end are those of the end. A blob that is replaced or deleted meanwhile is read to its end.
        """

    @abc.abstractmethod
    def local(self, key: str, scratch: Path) -> AbstractAsyncContextManager[Path]:
        """A file with these bytes, to be read and not written, made in `scratch` where the backend has none.

        Raises BlobNotFound.
        """

    @abc.abstractmethod
    async def delete_prefix(self, prefix: str) -> int:
        """Remove every blob whose key starts with the segments of `prefix`; how many there were."""


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
