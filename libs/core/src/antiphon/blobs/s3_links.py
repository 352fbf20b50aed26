"""URLs that carry a signature, so that others reach one object for a time without credentials of their own.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html: a URL ends with the credentials that
signed it, however long it was to hold. Those of a role last some hours.
"""

import base64

from antiphon import aws
from antiphon.blobs.base import MAX_LINK_SECONDS, UploadLink
from antiphon.blobs.s3_bucket import Bucket
from antiphon.disposition import attachment

MAX_PUT = 5 * 1024**3
"""Bytes that S3 takes in one request (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""


async def link(bucket: Bucket, name: str, seconds: int, media_type: str | None, filename: str | None) -> str:
    """Raises ValueError, Unavailable."""
    request = {"Bucket": bucket.name, "Key": name}
    if media_type is not None:
        request["ResponseContentType"] = media_type
    if filename is not None:
        request["ResponseContentDisposition"] = attachment(filename)
    with aws.translated(str(bucket)):
        return await bucket.client.generate_presigned_url("get_object", Params=request, ExpiresIn=_checked(seconds))


async def upload_link(bucket: Bucket, name: str, seconds: int, size: int, sha256: str | None) -> UploadLink:
    """Raises ValueError, Unavailable.

    The signature covers the length, the sum and the encryption: a request with others is refused.
    """
    if not 0 <= size <= MAX_PUT:
        raise ValueError(f"a link takes a blob of at most {MAX_PUT} bytes, not of {size}")
    request: dict[str, object] = {
        "Bucket": bucket.name,
        "Key": name,
        "ContentLength": size,
        **bucket.address.encryption,
    }
    headers = {}
    if sha256 is not None:
        sum_ = base64.b64encode(bytes.fromhex(sha256)).decode()
        request["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = sum_
    if "ServerSideEncryption" in bucket.address.encryption:
        headers["x-amz-server-side-encryption"] = bucket.address.encryption["ServerSideEncryption"]
    if "SSEKMSKeyId" in bucket.address.encryption:
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = bucket.address.encryption["SSEKMSKeyId"]
    with aws.translated(str(bucket)):
        url = await bucket.client.generate_presigned_url("put_object", Params=request, ExpiresIn=_checked(seconds))
    return UploadLink(url, headers)


def _checked(seconds: int) -> int:
    if not 1 <= seconds <= MAX_LINK_SECONDS:
        raise ValueError(f"a link holds for 1 to {MAX_LINK_SECONDS} seconds, not for {seconds}")
    return seconds
