"""Blobs as objects of Amazon S3, or of what speaks as it does.

`s3://bucket/optional/prefix`, with these parameters:

- `region`: where the bucket lies; else AWS_REGION, or that of the profile
- `endpoint`: such as http://minio:9000; else AWS_ENDPOINT_URL_S3, or Amazon's. The bucket is then named in the path
- `sse`: `AES256` or `aws:kms`, for everything that is written; else the bucket's default encryption
- `sse_key`: the id of the key, with `sse=aws:kms`

Credentials come from Amazon's standard chain. S3 shows an object at once, whole, to everybody
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel), so a put needs no second name.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from aiobotocore.config import AioConfig

from antiphon import aws
from antiphon.blobs import s3_deleting, s3_examining, s3_links, s3_moving, s3_reading, s3_writing
from antiphon.blobs.base import Blob, Blobs, UploadLink, check_key
from antiphon.blobs.s3_address import SETTING, read_address
from antiphon.blobs.s3_bucket import Bucket, region_of
from antiphon.blobs.s3_reading import PIECE
from antiphon.errors import Unavailable
from antiphon.resource import Finding

READ_SECONDS = 60.0
"""How long a connection may be silent in the middle of an answer."""
ATTEMPTS = 4
"""How often one request is tried."""
CONNECTIONS = 200
"""At the same time; a reader holds one until it has read to the end."""
PING_SECONDS = 5.0
"""How long the answer to a ping holds, so that readiness is not a request each time."""


class S3Blobs(Blobs):
    """Objects below the prefix of the URL, each under the key of its blob."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = read_address(url)
        self._session = aws.session(SETTING, self._address.region)
        self._clock = clock
        self._stack = AsyncExitStack()
        self._connected: Bucket | None = None
        self._pinging = asyncio.Lock()
        self._next_ping = 0.0
        self._away: str | None = None

    async def open(self) -> None:
        ours = AioConfig(
            signature_version="s3v4",  # for links; requests have it anyway
            # S3 throttles by the prefix, so that an adaptive rate of the whole client would slow down what is well:
            # https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        config = aws.config(connections=CONNECTIONS, read_seconds=READ_SECONDS).merge(ours)
        with aws.translated(str(self._address)):
            client = await self._stack.enter_async_context(
                self._session.create_client("s3", endpoint_url=self._address.endpoint, config=config)
            )
        sums = self._session.get_config_variable("request_checksum_calculation") != "when_required"
        self._connected = Bucket(client, self._address, sums)
        self._next_ping = self._clock()
        await self.ping()

    async def close(self) -> None:
        bucket, self._connected = self._connected, None
        if bucket is not None and bucket.aborts:
            await asyncio.wait(bucket.aborts)
        await self._stack.aclose()

    async def ping(self) -> None:
        bucket = self._bucket()
        async with self._pinging:
            if self._clock() >= self._next_ping:
                try:
                    await region_of(bucket)
                    self._away = None
                except Unavailable as error:
                    self._away = str(error)
                self._next_ping = self._clock() + PING_SECONDS
        if self._away is not None:
            raise Unavailable(self._away)

    async def examine(self) -> list[Finding]:
        return await s3_examining.examine(self._bucket())

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        sums = await s3_writing.write(self._bucket(), self._name(key), chunks)
        return Blob(key, sums.size, sums.sha256.hexdigest())

    async def size(self, key: str) -> int:
        return (await s3_reading.head(self._bucket(), self._name(key)))["ContentLength"]

    async def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        if start < 0 or (end is not None and end < 0):
            raise ValueError(f"a blob has no bytes from {start} to {end}")
        if end is not None and start >= end:
            await self.size(key)  # of what is not there, nothing can be read either
            return
        async with aclosing(s3_reading.read(self._bucket(), self._name(key), start, end)) as pieces:
            async for piece in pieces:
                yield piece

    @asynccontextmanager
    async def local(self, key: str, scratch: Path) -> AsyncIterator[Path]:
        check_key(key)
        path = scratch / f"{secrets.token_hex(8)}-{key.rpartition('/')[2]}"
        try:
            await self._download(key, path)
            yield path
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def delete_prefix(self, prefix: str) -> int:
        return await s3_deleting.delete(self._bucket(), self._name(prefix))

    async def move(self, key: str, to: str) -> None:
        await s3_moving.move(self._bucket(), self._name(key), self._name(to))

    async def link(self, key: str, *, seconds: int, media_type: str | None = None, filename: str | None = None) -> str:
        return await s3_links.link(self._bucket(), self._name(key), seconds, media_type, filename)

    async def upload_link(self, key: str, *, seconds: int, size: int, sha256: str | None = None) -> UploadLink:
        return await s3_links.upload_link(self._bucket(), self._name(key), seconds, size, sha256)

    async def _download(self, key: str, path: Path) -> None:
        with _new_file(path) as file:
            async with aclosing(s3_writing.filled(self.read(key), PIECE)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece.getbuffer())

    def _bucket(self) -> Bucket:
        if self._connected is None:
            raise Unavailable(f"the blobs in {self._address} are closed")
        return self._connected

    def _name(self, key: str) -> str:
        """The object's. Raises ValueError."""
        name = self._address.prefix + key
        check_key(name)
        return name


def _new_file(path: Path) -> BinaryIO:
    """For this user's eyes only."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
