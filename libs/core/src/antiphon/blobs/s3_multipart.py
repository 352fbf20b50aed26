"""Objects that are made of parts: all of them together, or nothing.

S3 shows an object only once its upload is completed, and keeps (and bills) the parts until then or until the upload is
aborted (https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html). So whatever goes wrong, and whoever
cancels, the upload is aborted. A program that is killed leaves its parts; a lifecycle rule of the bucket removes them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, TypedDict

import structlog
from botocore.exceptions import ClientError

from antiphon import aws
from antiphon.blobs.s3_address import Encryption
from antiphon.blobs.s3_bucket import Bucket
from antiphon.errors import Unavailable

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef, CreateMultipartUploadOutputTypeDef

    SendPart = Callable[[str, int], Awaitable[CompletedPartTypeDef]]
    """Sends the part of a number to the upload of an id."""


class Summed(TypedDict, total=False):
    """The sum that S3 compares a whole object with."""

    ChecksumType: Literal["FULL_OBJECT"]
    ChecksumCRC32: str


log = structlog.get_logger(__name__)

IN_FLIGHT = 3
"""Parts of one upload that are under way at the same time."""
ABORT_SECONDS = 10.0
"""How long an upload that failed may hold up its caller, before its parts are left to the bucket's lifecycle rule."""


class Upload:
    """An upload that has begun. Its parts are sent side by side."""

    def __init__(self, bucket: Bucket, name: str, begun: "CreateMultipartUploadOutputTypeDef") -> None:
        self._bucket = bucket
        self._name = name
        self._id = begun["UploadId"]
        self._knows_sums = begun.get("ChecksumType") == "FULL_OBJECT"
        self._sending: set[asyncio.Task[None]] = set()
        self._sent: dict[int, CompletedPartTypeDef] = {}
        self._count = 0

    async def add(self, send: "SendPart") -> None:
        """Begin to send the next part once fewer than IN_FLIGHT are under way. Raises what one failed with."""
        while len(self._sending) >= IN_FLIGHT:
            await self._wait()
        self._count += 1
        self._sending.add(asyncio.create_task(self._send(send, self._count)))

    async def complete(self, crc32: str | None = None) -> None:
        """Make the object once all parts are sent. S3 compares it with its `crc32`, if that is given."""
        while self._sending:
            await self._wait()
        parts = [self._sent[number] for number in sorted(self._sent)]
        summed: Summed = {"ChecksumType": "FULL_OBJECT", "ChecksumCRC32": crc32} if crc32 and self._knows_sums else {}
        with aws.translated(str(self._bucket)):
            await self._bucket.client.complete_multipart_upload(
                Bucket=self._bucket.name, Key=self._name, UploadId=self._id, MultipartUpload={"Parts": parts}, **summed
            )

    async def abort(self) -> None:
        """Remove the parts, or leave them to the bucket's lifecycle rule: what went wrong before matters more."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                await self._bucket.client.abort_multipart_upload(
                    Bucket=self._bucket.name, Key=self._name, UploadId=self._id
                )
        except aws.ServiceErrors as error:
            if isinstance(error, ClientError) and aws.code(error) == "NoSuchUpload":
                return  # it was completed after all
            log.warning(
                "parts of an upload may be left, which a lifecycle rule of the bucket should remove",
                key=self._name,
                upload=self._id,
                error=str(aws.explained(str(self._bucket), error)),
            )

    async def _send(self, send: "SendPart", number: int) -> None:
        with aws.translated(str(self._bucket)):
            self._sent[number] = await send(self._id, number)

    async def _wait(self) -> None:
        done, _ = await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
            self._sending.discard(task)


@asynccontextmanager
async def uploading(bucket: Bucket, name: str, encryption: Encryption) -> AsyncIterator[Upload]:
    """An upload to be completed inside; it is aborted unless the inside ends well."""
    beginning = asyncio.create_task(_begin(bucket, name, encryption))
    try:
        yield await asyncio.shield(beginning)
    except BaseException:
        abort = asyncio.create_task(_abort(beginning))
        bucket.aborts.add(abort)
        abort.add_done_callback(bucket.aborts.discard)
        await asyncio.shield(abort)  # and if we are cancelled once more, it goes on without us
        raise


async def _begin(bucket: Bucket, name: str, encryption: Encryption) -> Upload:
    with aws.translated(str(bucket)):
        if bucket.sums:
            begun = await bucket.client.create_multipart_upload(
                Bucket=bucket.name, Key=name, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT", **encryption
            )
        else:
            begun = await bucket.client.create_multipart_upload(Bucket=bucket.name, Key=name, **encryption)
    return Upload(bucket, name, begun)


async def _abort(beginning: asyncio.Task[Upload]) -> None:
    try:
        async with asyncio.timeout(ABORT_SECONDS):
            upload = await beginning  # only its answer tells the id
    except (Unavailable, TimeoutError):
        return  # there is no upload
    await upload.abort()
