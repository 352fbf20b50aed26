"""How every object below a prefix goes: listed by the page, and deleted by the page.

In a bucket that keeps versions, what is deleted stays as an older version until a lifecycle rule removes it; the
examination says so (https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html).
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from antiphon import aws
from antiphon.blobs.s3_bucket import Bucket
from antiphon.errors import Unavailable

PAGE = 1000
"""As many as S3 lists or deletes at once (https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html)."""


async def delete(bucket: Bucket, name: str) -> int:
    """Delete the object `name`, and those that continue it after a slash; how many there were.

    Raises Unavailable if some could not be deleted, once the others are.
    """
    deleted = 0
    refused: list[str] = []
    with aws.translated(str(bucket)):
        async with aclosing(_pages(bucket, name)) as pages:
            async for names in pages:
                answer = await bucket.client.delete_objects(
                    Bucket=bucket.name, Delete={"Objects": [{"Key": each} for each in names], "Quiet": True}
                )
                errors = answer.get("Errors", [])
                deleted += len(names) - len(errors)
                refused += [f"{error.get('Key')}: {error.get('Code')}: {error.get('Message')}" for error in errors]
    if refused:
        raise Unavailable(f"{bucket} has not deleted {len(refused)} of {deleted + len(refused)} objects: {refused[0]}")
    return deleted


async def _pages(bucket: Bucket, name: str) -> AsyncGenerator[list[str], None]:
    # names come in the order of their bytes, so that the object itself comes before all that continue it
    first = await bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=name, MaxKeys=1)
    if [each["Key"] for each in first.get("Contents", [])] == [name]:
        yield [name]
    paginator = bucket.client.get_paginator("list_objects_v2")
    async for page in paginator.paginate(Bucket=bucket.name, Prefix=f"{name}/", PaginationConfig={"PageSize": PAGE}):
        names = [each["Key"] for each in page.get("Contents", [])]
        if names:
            yield names
