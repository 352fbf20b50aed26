"""How bytes come out of a bucket: in one request, and in a few more if the connection breaks.

Objects are never changed, only replaced: S3 sends the one that a request began with to its end
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel). What is missing after a break is
asked for on condition that the object is still that one. The checksum that S3 keeps of a whole object is compared by
botocore at its end (https://docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html).
"""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from aiohttp import ClientError as TransportError
from botocore.exceptions import ClientError, FlexibleChecksumError

from antiphon import aws
from antiphon.blobs.s3_bucket import Bucket
from antiphon.errors import BlobNotFound, Unavailable

if TYPE_CHECKING:
    from aiobotocore.response import StreamingBody
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

PIECE = 1024 * 1024
RESUMES = 5
"""How often one reader asks again for what is missing."""
BROKEN = (TransportError, *aws.ServiceErrors)


class _Broken(Exception):
    """The connection ended before the object did."""


async def head(bucket: Bucket, name: str) -> "HeadObjectOutputTypeDef":
    """What is known of an object. Raises BlobNotFound, Unavailable."""
    with aws.translated(str(bucket)):
        try:
            return await bucket.client.head_object(Bucket=bucket.name, Key=name)
        except ClientError as error:
            if aws.code(error) != "404":
                raise
            await bucket.client.head_bucket(Bucket=bucket.name)  # where there is no bucket, the answer is the same
            raise BlobNotFound(bucket.key(name)) from None


async def read(bucket: Bucket, name: str, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
    """The bytes from `start` up to `end`, which is behind it. Raises BlobNotFound, Unavailable."""
    response = await _first(bucket, name, start, end)
    if response is None:
        return
    position, end, etag = start, start + response["ContentLength"], response["ETag"]
    resumes = 0
    while True:
        try:
            async with response["Body"] as body:
                while chunk := await _piece(bucket, name, body):
                    position += len(chunk)
                    yield chunk
            broken = _Broken("it ended early")
        except _Broken as error:
            broken = error
        if position == end:
            return
        resumes += 1
        if resumes > RESUMES:
            raise Unavailable(f"{bucket} breaks off {name} again and again: {broken}") from broken
        response = await _rest(bucket, name, position, end, etag)


async def _first(bucket: Bucket, name: str, start: int, end: int | None) -> "GetObjectOutputTypeDef | None":
    """The answer with these bytes; None if `start` is at the end or behind it."""
    with aws.translated(str(bucket)):
        try:
            if start == 0 and end is None:
                return await bucket.client.get_object(Bucket=bucket.name, Key=name)
            response = await bucket.client.get_object(Bucket=bucket.name, Key=name, Range=_range(start, end))
        except ClientError as error:
            if aws.code(error) == "InvalidRange":
                return None
            if aws.code(error) == "NoSuchKey":
                raise BlobNotFound(bucket.key(name)) from None
            raise
    return _checked(bucket, response, start)


async def _rest(bucket: Bucket, name: str, start: int, end: int, etag: str) -> "GetObjectOutputTypeDef":
    """The answer with the bytes that are missing of the object that we began with."""
    with aws.translated(f"{bucket}, while {name} was read on after a broken connection,"):
        response = await bucket.client.get_object(Bucket=bucket.name, Key=name, Range=_range(start, end), IfMatch=etag)
    return _checked(bucket, response, start)


def _range(start: int, end: int | None) -> str:
    """RFC 9110, section 14.1.2: the last byte is included."""
    return f"bytes={start}-" + ("" if end is None else f"{end - 1}")


def _checked(bucket: Bucket, response: "GetObjectOutputTypeDef", start: int) -> "GetObjectOutputTypeDef":
    if not response.get("ContentRange", "").startswith(f"bytes {start}-"):
        raise Unavailable(f"{bucket} does not answer with the range that it was asked for; it must know HTTP ranges")
    return response


async def _piece(bucket: Bucket, name: str, body: "StreamingBody") -> bytes:
    """What comes next, at most PIECE bytes; nothing at the end."""
    try:
        return await body.read(PIECE)
    except FlexibleChecksumError as error:
        raise Unavailable(f"{bucket} has sent {name} damaged: {error}") from error
    except BROKEN as error:
        raise _Broken(str(error)) from error
