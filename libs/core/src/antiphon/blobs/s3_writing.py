"""How bytes come into a bucket: in one request if they fit into one part, else in parts while they stream in.

An upload holds at most IN_FLIGHT parts that are under way and one that fills: 4 x 8 MiB, whatever its length. All parts
but the last have the same size, since some of those who speak as S3 does insist on it
(https://developers.cloudflare.com/r2/objects/multipart-objects/). S3 takes 10,000 parts, so a blob has at most 78 GiB.

Every request carries a checksum that S3 compares with what arrived: a CRC32, and for several parts that of the whole
object too, which S3 keeps and readers compare again
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html). Servers that refuse the headers
of these checksums are served with AWS_REQUEST_CHECKSUM_CALCULATION=when_required; the signature then holds a SHA-256
of each request's body (https://docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html).
"""

import asyncio
import base64
import hashlib
import zlib
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

from antiphon import aws
from antiphon.blobs.s3_bucket import Bucket
from antiphon.blobs.s3_multipart import uploading

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

PART = 8 * 1024 * 1024
"""Bytes of a part; S3 takes no fewer than 5 MiB (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""


class Sums:
    """What is known of the bytes that have passed."""

    def __init__(self) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._crc32 = 0

    def add(self, part: BytesIO) -> None:
        with part.getbuffer() as content:
            self.size += len(content)
            self.sha256.update(content)
            self._crc32 = zlib.crc32(content, self._crc32)

    @property
    def crc32(self) -> str:
        """As S3 writes it."""
        return base64.b64encode(self._crc32.to_bytes(4, "big")).decode()


async def write(bucket: Bucket, name: str, chunks: AsyncIterable[bytes]) -> Sums:
    """Make an object of `chunks`, or nothing. Raises Unavailable, and what `chunks` raises."""
    sums = Sums()
    encryption = bucket.address.encryption
    async with aclosing(filled(chunks, PART)) as parts:
        part = await anext(parts)
        await asyncio.to_thread(sums.add, part)
        if sums.size < PART:
            with aws.translated(str(bucket)):
                await bucket.client.put_object(Bucket=bucket.name, Key=name, Body=part, **encryption)
        else:
            async with uploading(bucket, name, encryption) as upload:
                while part.getbuffer().nbytes:
                    await upload.add(partial(_send, bucket, name, part))
                    part = await anext(parts, BytesIO())
                    await asyncio.to_thread(sums.add, part)
                await upload.complete(sums.crc32)
    return sums


async def _send(bucket: Bucket, name: str, part: BytesIO, upload: str, number: int) -> "CompletedPartTypeDef":
    sent = await bucket.client.upload_part(Bucket=bucket.name, Key=name, UploadId=upload, PartNumber=number, Body=part)
    completed: CompletedPartTypeDef = {"PartNumber": number, "ETag": sent["ETag"]}
    if "ChecksumCRC32" in sent:
        completed["ChecksumCRC32"] = sent["ChecksumCRC32"]
    return completed


async def filled(chunks: AsyncIterable[bytes], size: int) -> AsyncGenerator[BytesIO, None]:
    """`chunks` as parts of `size` bytes; the last one is shorter, and may be empty."""
    part = BytesIO()
    async for chunk in chunks:
        rest = memoryview(chunk)
        while part.tell() + len(rest) >= size:
            cut = size - part.tell()
            part.write(rest[:cut])
            rest = rest[cut:]
            part.seek(0)
            yield part
            part = BytesIO()
        part.write(rest)
    part.seek(0)
    yield part
