"""Uploads to S3 when S3, the wire or the caller goes away: whole or not at all, and nothing left behind."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from tests.aws_faults import Answer, Ask, Faults
from tests.contract.s3_backend import REGION, s3
from tests.proxy import Lose, Proxy, proxy

from antiphon.blobs import put_bytes, read_all, s3_moving, s3_multipart
from antiphon.blobs import s3 as adapter
from antiphon.blobs.s3 import S3Blobs
from antiphon.blobs.s3_writing import PART
from antiphon.errors import BlobNotFound, Unavailable

MEBIBYTE = 1024 * 1024
LIMIT = 64 * MEBIBYTE
CONTENT = hashlib.shake_256(b"seed").digest(3 * PART + 1)
SOON = 30.0
"""Seconds within which what is waited for has happened on any machine."""


@pytest.fixture(autouse=True)
def few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "ATTEMPTS", 2)


def connected(bucket: str, endpoint: str) -> S3Blobs:
    return S3Blobs(f"s3://{bucket}?region={REGION}&endpoint={endpoint}")


@pytest.fixture
async def blobs(bucket: str, faults: Faults) -> AsyncIterator[S3Blobs]:
    """By way of a server that fails as it is told."""
    async with connected(bucket, faults.endpoint) as blobs:
        faults.seen.clear()
        yield blobs


@pytest.fixture
async def wire(aws_server: str) -> AsyncIterator[tuple[Proxy, str]]:
    async with proxy(aws_server) as wire:
        yield wire


@pytest.fixture
def left(bucket: str, aws_server: str) -> Callable[[], list[str]]:
    """The keys of uploads that were neither completed nor aborted."""

    def uploads() -> list[str]:
        return [each["Key"] for each in s3(aws_server).list_multipart_uploads(Bucket=bucket).get("Uploads", [])]

    return uploads


async def missing(blobs: S3Blobs, key: str) -> bool:
    try:
        await blobs.size(key)
    except BlobNotFound:
        return True
    return False


async def test_an_upload_of_which_a_part_fails_leaves_nothing(
    blobs: S3Blobs, faults: Faults, left: Callable[[], list[str]]
) -> None:
    async def third(request: web.Request, ask: Ask) -> Answer:
        if request.query["partNumber"] == "3":
            return Answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>", 40)
        return await ask()

    faults.do("PUT", third)
    with pytest.raises(Unavailable, match="AccessDenied"):
        await put_bytes(blobs, "key", CONTENT)
    assert left() == []
    assert await missing(blobs, "key")


@pytest.mark.parametrize("fails", ["POST", "PUT"])
async def test_an_upload_that_cannot_begin_or_send_leaves_nothing(
    fails: str, blobs: S3Blobs, faults: Faults, left: Callable[[], list[str]]
) -> None:
    faults.fail(fails, "AccessDenied", status=403)
    with capture_logs() as logs, pytest.raises(Unavailable, match="AccessDenied"):
        await put_bytes(blobs, "key", CONTENT)
    assert left() == []
    assert logs == []


async def test_an_upload_that_cannot_be_completed_leaves_nothing(
    blobs: S3Blobs, faults: Faults, left: Callable[[], list[str]]
) -> None:
    async def refuse_completion(request: web.Request, ask: Ask) -> Answer:
        if "uploadId" in request.query:  # S3 may say so after the head of its answer: 200 is no promise
            body = b"<Error><Code>InternalError</Code><Message>told to</Message></Error>"
            return Answer(200, {"Content-Type": "application/xml"}, body, len(body))
        return await ask()

    faults.do("POST", refuse_completion)
    with pytest.raises(Unavailable, match="InternalError"):
        await put_bytes(blobs, "key", CONTENT)
    assert left() == []
    assert await missing(blobs, "key")


async def test_a_connection_that_breaks_in_the_middle_of_a_part_costs_one_more_try(
    bucket: str, wire: tuple[Proxy, str], left: Callable[[], list[str]]
) -> None:
    proxy, endpoint = wire
    async with connected(bucket, endpoint) as blobs:
        middle = PART + PART // 2
        proxy.break_at(CONTENT[middle : middle + 8], Lose.REQUEST)
        await put_bytes(blobs, "key", CONTENT)
        assert proxy.broke.is_set()
        assert await read_all(blobs, "key", LIMIT) == CONTENT
    assert left() == []


async def test_a_stream_that_breaks_in_the_middle_of_an_upload_leaves_nothing(
    blobs: S3Blobs, left: Callable[[], list[str]]
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT
        assert left() == ["key"]
        raise EOFError

    with pytest.raises(EOFError):
        await blobs.put("key", broken())
    assert left() == []


def paused(faults: Faults, method: str, *, with_upload: bool) -> tuple[asyncio.Event, asyncio.Event]:
    """Set when such a request has been served, and the event that lets its answer go."""
    served, go_on = asyncio.Event(), asyncio.Event()

    async def pause(request: web.Request, ask: Ask) -> Answer:
        answer = await ask()
        if ("uploadId" in request.query) is with_upload:
            served.set()
            await go_on.wait()
        return answer

    faults.do(method, pause)
    return served, go_on


@pytest.mark.parametrize(("method", "with_upload"), [("POST", False), ("PUT", True)], ids=["begin", "part"])
async def test_a_put_that_is_cancelled_leaves_no_upload(
    method: str, with_upload: bool, blobs: S3Blobs, faults: Faults, left: Callable[[], list[str]]
) -> None:
    served, go_on = paused(faults, method, with_upload=with_upload)
    putting = asyncio.create_task(put_bytes(blobs, "key", CONTENT))
    await asyncio.wait_for(served.wait(), SOON)
    assert left() == ["key"]
    putting.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(putting, SOON)
    assert left() == []
    assert await missing(blobs, "key")


async def test_a_put_that_is_cancelled_while_it_completes_is_whole_or_nothing(
    blobs: S3Blobs, faults: Faults, left: Callable[[], list[str]]
) -> None:
    served, _ = paused(faults, "POST", with_upload=True)
    putting = asyncio.create_task(put_bytes(blobs, "key", CONTENT))
    await asyncio.wait_for(served.wait(), SOON)
    putting.cancel()
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(putting, SOON)
    assert left() == []
    assert await read_all(blobs, "key", LIMIT) == CONTENT
    assert logs == []


async def test_a_put_that_is_cancelled_at_any_moment_leaves_no_upload(
    blobs: S3Blobs, left: Callable[[], list[str]]
) -> None:
    for turns in range(0, 60, 5):
        putting = asyncio.create_task(put_bytes(blobs, "key", CONTENT))
        for _ in range(turns):
            await asyncio.sleep(0)
        putting.cancel()
        await asyncio.wait([putting], timeout=SOON)
        assert left() == []


async def test_who_is_cancelled_twice_goes_at_once_and_close_waits_for_the_abort(
    bucket: str, faults: Faults, left: Callable[[], list[str]]
) -> None:
    aborting, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_: web.Request, ask: Ask) -> Answer:
        aborting.set()
        await go_on.wait()
        return await ask()

    async with connected(bucket, faults.endpoint) as blobs:
        served, _ = paused(faults, "PUT", with_upload=True)
        faults.do("DELETE", slowly)
        putting = asyncio.create_task(put_bytes(blobs, "key", CONTENT))
        await asyncio.wait_for(served.wait(), SOON)
        putting.cancel()
        await asyncio.wait_for(aborting.wait(), SOON)
        assert not putting.done()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(putting, SOON)
        assert left() == ["key"]
        go_on.set()
    assert left() == []


async def test_parts_that_cannot_be_removed_are_told_and_hold_nobody_up(
    blobs: S3Blobs, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_multipart, "ABORT_SECONDS", 0.2)

    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT
        raise EOFError

    never = asyncio.Event()
    faults.hang("DELETE", never)
    with capture_logs() as logs, pytest.raises(EOFError):
        await asyncio.wait_for(blobs.put("key", broken()), SOON)
    faults.mend()
    faults.fail("DELETE", "AccessDenied", status=403)
    with capture_logs() as refused, pytest.raises(EOFError):
        await blobs.put("key", broken())
    never.set()
    [log], [refusal] = logs, refused
    assert log["log_level"] == refusal["log_level"] == "warning"
    assert (log["key"], refusal["key"]) == ("key", "key")
    assert "AccessDenied" in refusal["error"]


async def test_no_more_parts_are_under_way_than_is_said(blobs: S3Blobs, faults: Faults) -> None:
    under_way = most = 0

    async def count(_: web.Request, ask: Ask) -> Answer:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        answer = await ask()
        under_way -= 1
        return answer

    faults.do("PUT", count)
    await put_bytes(blobs, "key", CONTENT + CONTENT)
    assert 1 < most <= s3_multipart.IN_FLIGHT


async def test_a_move_in_parts_that_fails_keeps_the_blob_and_leaves_no_upload(
    blobs: S3Blobs, faults: Faults, left: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_moving, "PART", 5 * MEBIBYTE)
    await put_bytes(blobs, "old", CONTENT)
    faults.fail("PUT", "AccessDenied", status=403)
    with pytest.raises(Unavailable, match="AccessDenied"):
        await blobs.move("old", "new")
    assert left() == []
    assert await read_all(blobs, "old", LIMIT) == CONTENT
    assert await missing(blobs, "new")
