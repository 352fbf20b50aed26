"""The bucket that blobs are in, and what is wrong when it does not answer."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from antiphon import aws
from antiphon.blobs.s3_address import SETTING, Address
from antiphon.errors import Unavailable

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, and the connection to it."""

    client: "S3Client"
    address: Address
    sums: bool = True
    """Whether it keeps checksums of whole objects (AWS_REQUEST_CHECKSUM_CALCULATION)."""
    aborts: set[asyncio.Task[None]] = field(default_factory=set)
    """Uploads that are still being aborted although their caller has gone."""

    @property
    def name(self) -> str:
        return self.address.bucket

    def key(self, name: str) -> str:
        """The key of the blob that an object is."""
        return name.removeprefix(self.address.prefix)

    def __str__(self) -> str:
        return str(self.address)


async def region_of(bucket: Bucket) -> str:
    """Ask whether it answers; the region where it lies, empty if it does not say. Raises Unavailable, precisely.

    An answer to HEAD says no more than its status, so a refusal is asked for its reason once more.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
    """
    with aws.translated(str(bucket)):
        try:
            head = await bucket.client.head_bucket(Bucket=bucket.name)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            region = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
            if status == 404:
                raise Unavailable(f"{bucket} does not exist; create it, or correct {SETTING}") from error
            if region not in {None, bucket.client.meta.region_name}:
                raise Unavailable(
                    f"{bucket} lies in {region}, not in {bucket.client.meta.region_name}; "
                    f"write region={region} into {SETTING}"
                ) from error
            if status != 403:
                raise
            raise await _refusal(bucket) from error
    return head.get("BucketRegion", "")


async def _refusal(bucket: Bucket) -> Unavailable:
    """Why it answers 403: wrong credentials, or a right that is missing."""
    try:
        await bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=bucket.address.prefix, MaxKeys=1)
    except ClientError as error:
        if aws.code(error) != "AccessDenied":
            return aws.explained(str(bucket), error)
    return Unavailable(
        f"{bucket} is closed to these credentials; they need s3:ListBucket on arn:aws:s3:::{bucket.name}"
    )
