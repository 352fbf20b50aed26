"""Blobs on S3 when S3, or the wire, fails: asked again, or Unavailable, and never short."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from tests.aws_faults import Answer, Ask, Faults, faulty
from tests.contract.s3_backend import REGION
from tests.proxy import Proxy, proxy

from antiphon.blobs import put_bytes, read_all
from antiphon.blobs import s3 as adapter
from antiphon.blobs.s3 import S3Blobs
from antiphon.blobs.s3_reading import RESUMES
from antiphon.blobs.s3_writing import PART
from antiphon.errors import Unavailable

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


def self_signed(directory: Path) -> ssl.SSLContext:
    """A server's certificate for this machine, which is left in `directory`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    return context


async def collect(blobs: S3Blobs, key: str, read: bytearray) -> None:
    async for chunk in blobs.read(key):
        read += chunk


# what S3 answers


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown")])
async def test_a_service_that_fails_is_asked_again(status: int, code: str, blobs: S3Blobs, faults: Faults) -> None:
    for start in ("PUT", "GET", "HEAD", "POST", "DELETE"):
        faults.fail(start, code, status=status, times=1)
    await put_bytes(blobs, "key", b"x")
    assert await read_all(blobs, "key", LIMIT) == b"x"
    assert await blobs.size("key") == 1
    await blobs.move("key", "other")
    assert await blobs.delete_prefix("other") == 1


@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (403, "AccessDenied"), (404, "NoSuchBucket")]
)
async def test_what_s3_refuses_is_unavailable_and_not_missing(
    status: int, code: str, blobs: S3Blobs, bucket: str, faults: Faults
) -> None:
    await put_bytes(blobs, "key", b"x")
    faults.fail("PUT", code, status=status)
    faults.fail("GET", code, status=status)
    with pytest.raises(Unavailable, match=rf"the bucket '{bucket}' at .* answers {code}: told to"):
        await put_bytes(blobs, "key", b"y")
    with pytest.raises(Unavailable, match=code):
        await read_all(blobs, "key", LIMIT)
    with pytest.raises(Unavailable, match=code):
        await blobs.delete_prefix("key")


async def test_a_network_that_is_away_is_unavailable_until_it_is_back(blobs: S3Blobs, faults: Faults) -> None:
    faults.drop()
    with pytest.raises(Unavailable, match="does not answer"):
        await put_bytes(blobs, "key", b"x")
    faults.mend()
    await put_bytes(blobs, "key", b"x")


async def test_over_https_the_checksums_come_after_the_body(
    bucket: str, aws_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = self_signed(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    async with faulty(aws_server, context) as faults, connected(bucket, faults.endpoint) as blobs:
        trailers = []

        async def look(request: web.Request, ask: Ask) -> Answer:
            trailers.append(request.headers["x-amz-trailer"])
            assert request.headers["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
            return await ask()

        faults.do("PUT", look)
        await put_bytes(blobs, "empty", b"")
        await put_bytes(blobs, "small", b"abc")
        await put_bytes(blobs, "large", CONTENT)
        assert set(trailers) == {"x-amz-checksum-crc32"}
        assert await read_all(blobs, "empty", LIMIT) == b""
        assert await read_all(blobs, "small", LIMIT) == b"abc"
        assert await read_all(blobs, "large", LIMIT) == CONTENT


# downloads


@pytest.mark.parametrize(("start", "end"), [(0, None), (5, None), (0, len(CONTENT) - 5), (PART, 2 * PART)])
async def test_a_body_that_is_cut_is_read_on_where_it_ended(
    start: int, end: int | None, blobs: S3Blobs, faults: Faults
) -> None:
    await put_bytes(blobs, "key", CONTENT)
    faults.cut("GET", after=MEBIBYTE + 1, times=RESUMES)
    content = b"".join([chunk async for chunk in blobs.read("key", start=start, end=end)])
    assert content == CONTENT[start:end]


async def test_a_body_that_is_cut_again_and_again_is_unavailable_and_never_short(
    blobs: S3Blobs, faults: Faults
) -> None:
    await put_bytes(blobs, "key", CONTENT)
    faults.seen.clear()
    faults.cut("GET", after=1)
    read = bytearray()
    with pytest.raises(Unavailable, match="breaks off key again and again"):
        await collect(blobs, "key", read)
    assert read == CONTENT[: RESUMES + 1]
    assert len(faults.seen) == RESUMES + 1


async def test_a_body_that_ends_at_its_last_byte_is_whole(blobs: S3Blobs, faults: Faults) -> None:
    await put_bytes(blobs, "key", b"abc")
    faults.cut("GET", after=2, times=1)
    assert await read_all(blobs, "key", LIMIT) == b"abc"


async def test_a_connection_that_breaks_in_the_middle_of_a_download_is_made_again(
    bucket: str, wire: tuple[Proxy, str]
) -> None:
    proxy, endpoint = wire
    async with connected(bucket, endpoint) as blobs:
        await put_bytes(blobs, "key", CONTENT)
        reading = blobs.read("key")
        parts = [await anext(reading)]
        proxy.cut()
        parts += [chunk async for chunk in reading]
        assert b"".join(parts) == CONTENT


async def test_a_server_that_falls_silent_in_the_middle_is_asked_again(
    bucket: str, wire: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "READ_SECONDS", 1.0)
    proxy, endpoint = wire
    async with connected(bucket, endpoint) as blobs:
        await put_bytes(blobs, "key", CONTENT)
        reading = blobs.read("key")
        parts = [await anext(reading)]
        proxy.freeze()
        asyncio.get_running_loop().call_later(1.5, proxy.mend)
        parts += [chunk async for chunk in reading]
        assert b"".join(parts) == CONTENT


async def test_a_server_that_stays_silent_is_unavailable(
    bucket: str, wire: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "READ_SECONDS", 0.3)
    monkeypatch.setattr(adapter, "ATTEMPTS", 1)
    proxy, endpoint = wire
    async with connected(bucket, endpoint) as blobs:
        await put_bytes(blobs, "key", b"x")
        proxy.freeze()
        with pytest.raises(Unavailable, match="does not answer"):
            await asyncio.wait_for(blobs.size("key"), SOON)


@pytest.mark.parametrize("replaced", [True, False])
async def test_what_was_replaced_or_deleted_is_never_mixed_into_what_was_read_before(
    replaced: bool, blobs: S3Blobs, faults: Faults
) -> None:
    await put_bytes(blobs, "key", b"a" * 3 * MEBIBYTE)

    async def change_and_cut(_: web.Request, ask: Ask) -> Answer:
        answer = await ask()
        if replaced:
            await put_bytes(blobs, "key", b"b" * 3 * MEBIBYTE)
        else:
            await blobs.delete_prefix("key")
        return Answer(answer.status, answer.headers, answer.body[:MEBIBYTE], answer.length)

    faults.do("GET /", change_and_cut, times=1)
    read = bytearray()
    with pytest.raises(Unavailable, match="while key was read on after a broken connection"):
        await collect(blobs, "key", read)
    assert read == b"a" * MEBIBYTE


@pytest.mark.parametrize("size", [MEBIBYTE, 2 * PART])
async def test_a_body_that_arrives_damaged_is_unavailable(size: int, blobs: S3Blobs, faults: Faults) -> None:
    await put_bytes(blobs, "key", b"x" * size)
    faults.edit("GET", lambda body: body[:-1] + b"y")
    with pytest.raises(Unavailable, match="has sent key damaged"):
        await read_all(blobs, "key", LIMIT)


async def test_a_server_that_knows_no_ranges_is_unavailable(blobs: S3Blobs, faults: Faults) -> None:
    await put_bytes(blobs, "key", b"abc")

    async def whole(_: web.Request, ask: Ask) -> Answer:
        await ask()
        return Answer(200, {"ETag": '"x"'}, b"abc", 3)

    faults.do("GET", whole)
    with pytest.raises(Unavailable, match="does not answer with the range"):
        await anext(blobs.read("key", start=1))


async def test_a_reader_that_leaves_early_gives_its_connection_back(
    bucket: str, aws_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "CONNECTIONS", 1)
    async with connected(bucket, aws_server) as blobs:
        await put_bytes(blobs, "key", CONTENT)
        for _ in range(2):
            reading = blobs.read("key")
            await anext(reading)
            await reading.aclose()
        assert await asyncio.wait_for(blobs.size("key"), SOON) == len(CONTENT)


async def test_what_is_throttled_does_not_slow_the_others_down(
    bucket: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "ATTEMPTS", 1)
    async with connected(bucket, faults.endpoint) as blobs:
        await put_bytes(blobs, "key", b"x")
        faults.fail(f"GET /{bucket}/throttled", "SlowDown", status=503)
        async with asyncio.timeout(20):  # a fraction of a second; with one rate for the whole client it would be 40
            for _ in range(20):
                with pytest.raises(Unavailable, match="SlowDown"):
                    await read_all(blobs, "throttled", LIMIT)
                await blobs.size("key")
