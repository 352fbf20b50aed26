"""Blobs by link: whoever has it may read one blob, or write one, for a time."""

import base64
import hashlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.contract.s3_backend import REGION, s3

from antiphon.blobs import put_bytes, read_all
from antiphon.blobs.base import MAX_LINK_SECONDS
from antiphon.blobs.s3 import S3Blobs
from antiphon.blobs.s3_links import MAX_PUT

LIMIT = 1000
SOON = 30.0
"""Seconds within which any machine answers."""


@pytest.fixture
async def blobs(bucket: str, aws_server: str) -> AsyncIterator[S3Blobs]:
    async with S3Blobs(f"s3://{bucket}/prefix?region={REGION}&endpoint={aws_server}") as blobs:
        yield blobs


async def test_a_link_gives_the_blob_for_a_time_to_whoever_has_it(blobs: S3Blobs) -> None:
    await put_bytes(blobs, "tenant/job/result.json", b'{"text": ""}')
    url = await blobs.link("tenant/job/result.json", seconds=60, media_type="application/json", filename="Übung 1.json")
    async with httpx.AsyncClient(timeout=SOON) as client:
        answer = await client.get(url)
        without = await client.get(url.partition("?")[0])
    assert (answer.status_code, answer.content) == (200, b'{"text": ""}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"_bung 1.json\"; filename*=UTF-8''%C3%9Cbung%201.json"
    )
    assert without.status_code == 403
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["60"]


async def test_a_link_is_signed_in_the_newer_way_in_old_regions_too(bucket: str, aws_server: str) -> None:
    async with S3Blobs(f"s3://{bucket}?region=us-east-1&endpoint={aws_server}") as blobs:
        url = await blobs.link("key", seconds=60)
    assert parse_qs(urlsplit(url).query)["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]


async def test_a_link_says_no_more_than_it_was_told(blobs: S3Blobs) -> None:
    url = await blobs.link("key", seconds=MAX_LINK_SECONDS)
    assert not {name for name in parse_qs(urlsplit(url).query) if name.startswith("response-")}
    async with httpx.AsyncClient(timeout=SOON) as client:
        assert (await client.get(url)).status_code == 404


async def test_a_link_takes_a_blob_of_the_size_the_sum_and_the_encryption_that_it_was_made_for(
    bucket: str, aws_server: str
) -> None:
    content = b"audio"
    async with S3Blobs(f"s3://{bucket}/prefix?region={REGION}&endpoint={aws_server}&sse=aws:kms&sse_key=k1") as blobs:
        link = await blobs.upload_link("source", seconds=60, size=5, sha256=hashlib.sha256(content).hexdigest())
        async with httpx.AsyncClient(timeout=SOON) as client:
            answer = await client.put(link.url, content=content, headers=dict(link.headers))
        assert answer.status_code == 200
        assert await read_all(blobs, "source", LIMIT) == content
    [signed] = parse_qs(urlsplit(link.url).query)["X-Amz-SignedHeaders"]
    assert set(signed.split(";")) == {"host", "content-length", *link.headers}
    assert link.headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
    known = s3(aws_server).head_object(Bucket=bucket, Key="prefix/source")
    assert (known["ServerSideEncryption"], known["SSEKMSKeyId"]) == ("aws:kms", "k1")


async def test_a_link_for_an_upload_asks_for_no_header_that_is_not_needed(blobs: S3Blobs) -> None:
    link = await blobs.upload_link("source", seconds=60, size=3)
    assert link.headers == {}
    async with httpx.AsyncClient(timeout=SOON) as client:
        assert (await client.put(link.url, content=b"abc")).status_code == 200
    assert await read_all(blobs, "source", LIMIT) == b"abc"


@pytest.mark.parametrize("seconds", [0, -1, MAX_LINK_SECONDS + 1])
async def test_a_link_for_ever_is_refused(seconds: int, blobs: S3Blobs) -> None:
    with pytest.raises(ValueError, match="holds for 1 to 604800 seconds"):
        await blobs.link("key", seconds=seconds)
    with pytest.raises(ValueError, match="holds for 1 to 604800 seconds"):
        await blobs.upload_link("key", seconds=seconds, size=1)


@pytest.mark.parametrize("size", [-1, MAX_PUT + 1])
async def test_a_link_for_more_than_one_request_takes_is_refused(size: int, blobs: S3Blobs) -> None:
    with pytest.raises(ValueError, match="at most 5368709120 bytes"):
        await blobs.upload_link("key", seconds=60, size=size)


async def test_a_link_is_for_keys_alone(blobs: S3Blobs) -> None:
    with pytest.raises(ValueError, match="is not the key of a blob"):
        await blobs.link("../other", seconds=60)
    with pytest.raises(ValueError, match="is not the key of a blob"):
        await blobs.upload_link("../other", seconds=60, size=1)
