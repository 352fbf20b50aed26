"""How an object gets another name: S3 copies it on its side, and then the old one goes.

One request copies at most 5 GiB (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html) and takes as long
as it takes, so what is longer than PART is copied in parts, side by side. A copy is encrypted as the request says and
not as the original was, so we say it.
"""

from functools import partial
from typing import TYPE_CHECKING

from antiphon import aws
from antiphon.blobs.s3_address import METHODS, Encryption
from antiphon.blobs.s3_bucket import Bucket
from antiphon.blobs.s3_multipart import uploading
from antiphon.blobs.s3_reading import head

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef, HeadObjectOutputTypeDef

PART = 512 * 1024 * 1024


async def move(bucket: Bucket, name: str, to: str) -> None:
    """Copy the object and delete it under its old name. Raises BlobNotFound, Unavailable."""
    known = await head(bucket, name)
    if name == to:
        return
    if known["ContentLength"] <= PART:
        await _copy(bucket, name, to, known)
    else:
        await _copy_parts(bucket, name, to, known)
    with aws.translated(str(bucket)):
        await bucket.client.delete_object(Bucket=bucket.name, Key=name)


async def _copy(bucket: Bucket, name: str, to: str, known: "HeadObjectOutputTypeDef") -> None:
    with aws.translated(str(bucket)):
        await bucket.client.copy_object(
            Bucket=bucket.name,
            Key=to,
            CopySource={"Bucket": bucket.name, "Key": name},
            CopySourceIfMatch=known["ETag"],
            **_encryption(bucket, known),
        )


async def _copy_parts(bucket: Bucket, name: str, to: str, known: "HeadObjectOutputTypeDef") -> None:
    size = known["ContentLength"]
    async with uploading(bucket, to, _encryption(bucket, known)) as upload:
        for start in range(0, size, PART):
            span = f"bytes={start}-{min(start + PART, size) - 1}"
            await upload.add(partial(_copy_part, bucket, name, to, span, known["ETag"]))
        await upload.complete()


async def _copy_part(
    bucket: Bucket, name: str, to: str, span: str, etag: str, upload: str, number: int
) -> "CompletedPartTypeDef":
    copied = await bucket.client.upload_part_copy(
        Bucket=bucket.name,
        Key=to,
        UploadId=upload,
        PartNumber=number,
        CopySource={"Bucket": bucket.name, "Key": name},
        CopySourceRange=span,
        CopySourceIfMatch=etag,
    )
    result = copied["CopyPartResult"]
    completed: CompletedPartTypeDef = {"PartNumber": number, "ETag": result["ETag"]}
    if "ChecksumCRC32" in result:
        completed["ChecksumCRC32"] = result["ChecksumCRC32"]
    return completed


def _encryption(bucket: Bucket, known: "HeadObjectOutputTypeDef") -> Encryption:
    """As our setting says, else as the original was."""
    if bucket.address.encryption:
        return bucket.address.encryption
    method = METHODS.get(known.get("ServerSideEncryption", ""))
    if method is None:
        return Encryption()
    key = known.get("SSEKMSKeyId")
    return Encryption(ServerSideEncryption=method) | (Encryption(SSEKMSKeyId=key) if key else Encryption())
