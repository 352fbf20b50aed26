"""The port `Blobs`. What is promised here, `tests/contract/test_blobs.py` asks of every adapter."""

import abc
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

    A key is segments of `[A-Za-z0-9._-]` with `/` between them; no segment is `.` or `..`. Other keys raise ValueError.
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
        """The bytes from `start` up to `end` (not included), in chunks. Raises BlobNotFound."""

    @abc.abstractmethod
    def local(self, key: str, scratch: Path) -> AbstractAsyncContextManager[Path]:
        """A file with these bytes, to be read and not written, made in `scratch` where the backend has none.

        Raises BlobNotFound.
        """

    @abc.abstractmethod
    async def delete_prefix(self, prefix: str) -> int:
        """Remove every blob whose key starts with the segments of `prefix`; how many there were."""
