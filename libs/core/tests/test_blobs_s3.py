"""What blobs on S3 promise beyond the port: encrypted, checked, by link, and what they ask of S3 for it."""

import base64
import hashlib
import re
import stat
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from libs.core.tests.conftest import Clock
from tests.aws_faults import Answer, Ask, Faults
from tests.contract.s3_backend import REGION, s3

from antiphon.blobs import Blobs, open_blobs, put_bytes, read_all, s3_deleting, s3_moving
from antiphon.blobs.base import MAX_KEY
from antiphon.blobs.s3 import PING_SECONDS, S3Blobs
from antiphon.blobs.s3_address import Address, read_address
from antiphon.blobs.s3_writing import PART
from antiphon.errors import BlobNotFound, SettingsError, Unavailable

MEBIBYTE = 1024 * 1024
LIMIT = 64 * MEBIBYTE


def address(bucket: str, endpoint: str, **parameters: str) -> str:
    return f"s3://{bucket}/prefix?" + "&".join(
        f"{name}={value}" for name, value in {"endpoint": endpoint, "region": REGION, **parameters}.items()
    )


@pytest.fixture
async def blobs(bucket: str, faults: Faults) -> AsyncIterator[S3Blobs]:
    async with S3Blobs(address(bucket, faults.endpoint)) as blobs:
        faults.seen.clear()
        yield blobs


def watched(faults: Faults, start: str) -> list[web.Request]:
    """The requests that will be made, whose names start so."""
    requests = []

    async def look(request: web.Request, ask: Ask) -> Answer:
        requests.append(request)
        return await ask()

    faults.do(start, look)
    return requests


def refusal(status: int, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>told to</Message></Error>".encode()
    return Answer(status, {"Content-Type": "application/xml"}, body, len(body))


def test_an_address_names_bucket_prefix_and_what_else_there_is_to_say() -> None:
    assert read_address("s3://a-bucket.of-ours") == Address("a-bucket.of-ours")
    assert read_address("s3://bucket/") == Address("bucket")
    assert read_address(
        "s3://bucket/a/b_c/?region=eu-west-1&endpoint=http://minio:9000&sse=aws:kms&sse_key=arn:aws:kms:x:y:key/1"
    ) == Address(
        "bucket",
        "a/b_c/",
        "eu-west-1",
        "http://minio:9000",
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:x:y:key/1"},
    )
    assert read_address("s3://bucket?sse=AES256").encryption == {"ServerSideEncryption": "AES256"}


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("s3://", "names the bucket ''; write s3://bucket/prefix"),
        ("s3:bucket", "names the bucket ''"),
        ("s3://Bucket", "names the bucket 'Bucket'"),
        ("s3://ab", "3 to 63 of a-z 0-9"),
        (f"s3://{'a' * 64}", "3 to 63"),
        ("s3://a..b", "names the bucket"),
        ("s3://-ab", "names the bucket"),
        ("s3://192.168.5.4", "names the bucket"),
        ("s3://key:secret@bucket", "names the bucket"),
        ("s3://bucket/a//b", "has the prefix 'a//b'; write segments"),
        ("s3://bucket/../x", "write segments"),
        ("s3://bucket/a%20b", "has the prefix 'a b'"),
        ("s3://bucket/a#b", "has the prefix 'a#b'"),
        ("s3://bucket?regoin=x", "the parameter 'regoin'; known are: region, endpoint, sse, sse_key"),
        ("s3://bucket?region=", "the parameter 'region' without a value"),
        ("s3://bucket?endpoint=minio:9000", "write endpoint=https://host:port"),
        ("s3://bucket?endpoint=http://", "write endpoint=https://host:port"),
        ("s3://bucket?endpoint=http://me:secret@minio", "write endpoint=https://host:port"),
        ("s3://bucket?sse=aes256", "sse='aes256'; known are: AES256, aws:kms"),
        ("s3://bucket?sse_key=1", "goes with sse=aws:kms alone"),
        ("s3://bucket?sse=AES256&sse_key=1", "goes with sse=aws:kms alone"),
    ],
)
def test_an_address_that_says_something_else_is_refused_with_what_to_write(url: str, advice: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(advice)) as refused:
        open_blobs(url)
    assert str(refused.value).startswith("ANTIPHON_BLOBS_URL ")
    assert "secret" not in str(refused.value).replace("key:secret@bucket", "")


def test_a_region_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(SettingsError, match="ANTIPHON_BLOBS_URL names no region"):
        open_blobs("s3://bucket")


async def test_the_endpoint_may_come_from_the_environment(
    bucket: str, aws_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", aws_server)
    async with open_blobs(f"s3://{bucket}") as blobs:
        await put_bytes(blobs, "key", b"x")
    [found] = s3(aws_server).list_objects_v2(Bucket=bucket)["Contents"]
    assert found["Key"] == "key"


async def test_what_fits_into_a_part_is_one_request_and_the_rest_one_per_part(
    blobs: S3Blobs, bucket: str, faults: Faults
) -> None:
    await put_bytes(blobs, "small", b"x" * (PART - 1))
    assert faults.seen == [f"PUT /{bucket}/prefix/small"]
    faults.seen.clear()
    await put_bytes(blobs, "large", b"x" * (2 * PART + 1))
    name = f"/{bucket}/prefix/large"
    assert faults.seen == [f"POST {name}", *[f"PUT {name}"] * 3, f"POST {name}"]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART])
@pytest.mark.parametrize("chunk", [PART // 3, 3 * PART])
async def test_however_it_comes_in_it_is_whole(size: int, chunk: int, blobs: S3Blobs) -> None:
    content = hashlib.shake_256(b"seed").digest(size)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, size, chunk):
            yield content[start : start + chunk]

    blob = await blobs.put("key", chunks())
    assert (blob.size, blob.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert await read_all(blobs, "key", LIMIT) == content


@pytest.mark.parametrize("size", [10, 2 * PART + 10])
async def test_s3_compares_and_keeps_a_checksum_of_the_whole(
    size: int, blobs: S3Blobs, bucket: str, faults: Faults, aws_server: str
) -> None:
    content = hashlib.shake_256(b"seed").digest(size)
    requests = watched(faults, "P")
    await put_bytes(blobs, "key", content)
    known = s3(aws_server).head_object(Bucket=bucket, Key="prefix/key", ChecksumMode="ENABLED")
    crc32 = base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()
    assert known["ChecksumCRC32"] == crc32
    sums = [request.headers.get("x-amz-checksum-crc32") for request in requests if request.method == "PUT"]
    assert None not in sums
    if size > PART:
        assert requests[-1].headers["x-amz-checksum-crc32"] == crc32
        assert requests[-1].headers["x-amz-checksum-type"] == "FULL_OBJECT"


async def test_a_server_that_knows_no_checksums_is_sent_none_and_checks_the_signature_of_the_body(
    bucket: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    requests = watched(faults, "P")
    content = b"x" * (PART + 1)
    async with S3Blobs(address(bucket, faults.endpoint)) as blobs:
        await put_bytes(blobs, "small", b"abc")
        await put_bytes(blobs, "large", content)
        assert await read_all(blobs, "large", LIMIT) == content
    assert [name for each in requests for name in each.headers if "checksum" in name.lower()] == []
    assert requests[0].headers["x-amz-content-sha256"] == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("sse", "kept"),
    [("AES256", ("AES256", None)), ("aws:kms", ("aws:kms", None)), ("aws:kms&sse_key=k1", ("aws:kms", "k1"))],
)
async def test_every_write_is_encrypted_as_the_address_says(
    sse: str, kept: tuple[str, str | None], bucket: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = watched(faults, "P")
    async with S3Blobs(address(bucket, faults.endpoint, sse=sse)) as blobs:
        await put_bytes(blobs, "small", b"x")
        await put_bytes(blobs, "large", b"x" * (5 * MEBIBYTE + PART))
        await blobs.move("small", "moved")
        monkeypatch.setattr(s3_moving, "PART", 5 * MEBIBYTE)
        await blobs.move("large", "moved-in-parts")
    begun = [each for each in writes if not {"partNumber", "uploadId"} & set(each.query)]
    assert len(begun) == 4
    header = "x-amz-server-side-encryption"
    for each in begun:
        assert (each.headers[header], each.headers.get(f"{header}-aws-kms-key-id")) == kept


async def test_a_move_keeps_the_encryption_where_the_address_says_nothing(
    blobs: S3Blobs, bucket: str, aws_server: str, faults: Faults
) -> None:
    client = s3(aws_server)
    client.put_object(Bucket=bucket, Key="prefix/kms", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="k1")
    copies = watched(faults, "PUT")
    await put_bytes(blobs, "plain", b"x")
    await blobs.move("kms", "a")
    await blobs.move("plain", "b")
    known = client.head_object(Bucket=bucket, Key="prefix/a")
    assert (known["ServerSideEncryption"], known["SSEKMSKeyId"]) == ("aws:kms", "k1")
    assert "x-amz-server-side-encryption-aws-kms-key-id" not in copies[-1].headers


async def test_what_is_longer_than_a_copy_takes_is_moved_in_parts(
    blobs: S3Blobs, bucket: str, aws_server: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_moving, "PART", 5 * MEBIBYTE)
    content = hashlib.shake_256(b"seed").digest(10 * MEBIBYTE + 1)
    await put_bytes(blobs, "old", content)
    copies = watched(faults, "PUT")
    await blobs.move("old", "new")
    assert await read_all(blobs, "new", LIMIT) == content
    assert sorted(each.headers["x-amz-copy-source-range"] for each in copies) == [
        *("bytes=0-5242879", "bytes=10485760-10485760", "bytes=5242880-10485759")
    ]
    with pytest.raises(BlobNotFound):
        await blobs.size("old")


async def test_a_move_that_fails_keeps_what_was_there(blobs: S3Blobs, bucket: str, faults: Faults) -> None:
    await put_bytes(blobs, "old", b"x")
    faults.fail(f"PUT /{bucket}/prefix/new", "AccessDenied", status=403)
    with pytest.raises(Unavailable, match="AccessDenied"):
        await blobs.move("old", "new")
    faults.mend()
    faults.fail(f"DELETE /{bucket}/prefix/old", "AccessDenied", status=403)
    with pytest.raises(Unavailable, match="AccessDenied"):
        await blobs.move("old", "new")
    assert await read_all(blobs, "old", LIMIT) == await read_all(blobs, "new", LIMIT) == b"x"


@pytest.mark.parametrize("limit", [5 * MEBIBYTE, 10 * MEBIBYTE])
async def test_a_blob_that_is_replaced_while_it_is_moved_is_not_lost(
    limit: int, blobs: S3Blobs, bucket: str, aws_server: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_moving, "PART", limit)
    await put_bytes(blobs, "old", b"x" * 6 * MEBIBYTE)
    first = s3(aws_server).head_object(Bucket=bucket, Key="prefix/old")["ETag"]

    async def late(request: web.Request, ask: Ask) -> Answer:
        # the server under test does not know this condition: as S3 would do
        s3(aws_server).put_object(Bucket=bucket, Key="prefix/old", Body=b"second")
        assert request.headers["x-amz-copy-source-if-match"] == first
        return refusal(412, "PreconditionFailed")

    faults.do(f"PUT /{bucket}/prefix/new", late)
    with pytest.raises(Unavailable, match="PreconditionFailed"):
        await blobs.move("old", "new")
    assert await read_all(blobs, "old", LIMIT) == b"second"


async def test_a_prefix_is_deleted_by_the_page(
    blobs: S3Blobs, bucket: str, aws_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_deleting, "PAGE", 2)
    s3(aws_server).put_object(Bucket=bucket, Key="job/1", Body=b"beside our prefix")
    for key in ("job", "job-2/1", "job.wav", "job/1", "job/2", "job/3/4", "job/5", "job/6", "job0"):
        await put_bytes(blobs, key, b"x")
    assert await blobs.delete_prefix("job") == 6
    left = [each["Key"] for each in s3(aws_server).list_objects_v2(Bucket=bucket)["Contents"]]
    assert left == ["job/1", "prefix/job-2/1", "prefix/job.wav", "prefix/job0"]


async def test_what_could_not_be_deleted_is_told_once_the_others_are(
    blobs: S3Blobs, bucket: str, aws_server: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_deleting, "PAGE", 2)
    for number in range(4):
        await put_bytes(blobs, f"job/{number}", b"x")
    error = b"<Error><Key>prefix/job/0</Key><Code>AccessDenied</Code><Message>held</Message></Error>"
    faults.edit(f"POST /{bucket}", lambda body: body.replace(b"</DeleteResult>", error + b"</DeleteResult>"), times=1)
    with pytest.raises(Unavailable, match="1 of 4 objects: prefix/job/0: AccessDenied: held"):
        await blobs.delete_prefix("job")
    assert "Contents" not in s3(aws_server).list_objects_v2(Bucket=bucket)


async def test_a_local_file_is_for_this_user_alone_and_named_as_the_blob(blobs: S3Blobs, tmp_path: Path) -> None:
    content = hashlib.shake_256(b"seed").digest(3 * MEBIBYTE + 1)
    await put_bytes(blobs, "tenant/job/source.wav", content)
    async with (
        blobs.local("tenant/job/source.wav", tmp_path) as path,
        blobs.local("tenant/job/source.wav", tmp_path) as other,
    ):
        assert path != other
        assert path.read_bytes() == other.read_bytes() == content
        assert path.parent == tmp_path
        assert path.name.endswith("source.wav")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(EOFError):
        async with blobs.local("tenant/job/source.wav", tmp_path):
            raise EOFError
    with pytest.raises(BlobNotFound):
        async with blobs.local("nothing", tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_a_key_that_is_too_long_with_the_prefix_is_refused(blobs: S3Blobs) -> None:
    longest = "/".join(["x" * 100] * 11)[: MAX_KEY - len("prefix/")]
    await put_bytes(blobs, longest, b"x")
    with pytest.raises(ValueError, match="is not the key of a blob"):
        await put_bytes(blobs, longest + "x", b"x")


async def test_pings_cost_a_request_every_few_seconds(bucket: str, faults: Faults, hand_clock: Clock) -> None:
    async with S3Blobs(address(bucket, faults.endpoint), clock=hand_clock) as blobs:
        assert faults.seen == [f"HEAD /{bucket}"]
        await blobs.ping()
        hand_clock.advance(PING_SECONDS - 0.1)
        await blobs.ping()
        assert len(faults.seen) == 1
        faults.fail("HEAD", "x", status=404)
        hand_clock.advance(0.2)
        for _ in range(3):
            with pytest.raises(Unavailable, match="does not exist"):
                await blobs.ping()
        assert len(faults.seen) == 2
        faults.mend()
        hand_clock.advance(PING_SECONDS)
        await blobs.ping()


async def test_a_bucket_that_is_not_there_is_named(aws_server: str, aws_credentials: None) -> None:
    with pytest.raises(Unavailable, match=r"the bucket 'nobodys-bucket' at .* does not exist; create it, or correct"):
        async with S3Blobs(address("nobodys-bucket", aws_server)):
            pass


async def test_a_bucket_that_was_deleted_is_not_a_blob_that_is_missing(
    blobs: S3Blobs, bucket: str, aws_server: str, tmp_path: Path
) -> None:
    s3(aws_server).delete_bucket(Bucket=bucket)
    with pytest.raises(Unavailable):
        await blobs.size("key")
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        await read_all(blobs, "key", 10)
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        await put_bytes(blobs, "key", b"x")
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        await blobs.delete_prefix("key")
    with pytest.raises(Unavailable):
        await blobs.move("key", "to")


async def test_a_refusal_says_what_is_missing(bucket: str, faults: Faults) -> None:
    faults.fail("HEAD", "Forbidden", status=403)
    blobs = S3Blobs(address(bucket, faults.endpoint))
    with pytest.raises(Unavailable, match=rf"need s3:ListBucket on arn:aws:s3:::{bucket}"):
        async with blobs:
            pass
    faults.fail(f"GET /{bucket}", "AccessDenied", status=403)
    with pytest.raises(Unavailable, match=rf"need s3:ListBucket on arn:aws:s3:::{bucket}"):
        async with blobs:
            pass
    faults.fail(f"GET /{bucket}", "InvalidAccessKeyId", status=403)
    with pytest.raises(Unavailable, match=r"does not take our credentials \(InvalidAccessKeyId\)"):
        async with blobs:
            pass


async def test_a_bucket_elsewhere_says_where(bucket: str, faults: Faults) -> None:
    async def elsewhere(*_: object) -> Answer:
        return Answer(301, {"x-amz-bucket-region": "us-west-2"}, b"", 0)

    faults.do("HEAD", elsewhere)
    with pytest.raises(Unavailable, match=r"lies in us-west-2, not in eu-central-1; write region=us-west-2 into"):
        async with S3Blobs(address(bucket, faults.endpoint)):
            pass


async def test_missing_credentials_are_told(aws_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Unavailable, match="AWS_ACCESS_KEY_ID"):
        async with S3Blobs(address("bucket", aws_server)):
            pass


async def test_closed_blobs_say_so(blobs: Blobs) -> None:
    await blobs.close()
    with pytest.raises(Unavailable, match="are closed"):
        await blobs.ping()
    with pytest.raises(Unavailable, match="are closed"):
        await put_bytes(blobs, "key", b"x")
