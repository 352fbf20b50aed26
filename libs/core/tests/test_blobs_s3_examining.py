"""What the doctor finds out about a bucket, and what it leaves behind: nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.aws_faults import Answer, Ask, Faults
from tests.contract.s3_backend import REGION, new_bucket, s3

from antiphon.blobs import put_bytes, read_all, s3_moving
from antiphon.blobs import s3 as adapter
from antiphon.blobs.s3 import S3Blobs
from antiphon.blobs.s3_lifecycle import examine_rules
from antiphon.blobs.s3_writing import PART
from antiphon.errors import BlobNotFound, Unavailable
from antiphon.resource import Finding, Verdict

ABORT = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
EXPIRE = {"Expiration": {"Days": 1}}
NONCURRENT = {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
WELL = [
    {"ID": "abort", "Status": "Enabled", "Filter": {"Prefix": "prefix/"}, **ABORT},
    {"ID": "net", "Status": "Enabled", "Filter": {"Prefix": "prefix/ephemeral/"}, **EXPIRE},
]
BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)


@pytest.fixture
def client(aws_server: str) -> Any:
    return s3(aws_server)


async def examined(bucket: str, endpoint: str, prefix: str = "prefix", more: str = "") -> list[Finding]:
    async with S3Blobs(f"s3://{bucket}/{prefix}?region={REGION}&endpoint={endpoint}{more}") as blobs:
        return await blobs.examine()


def told(findings: list[Finding], verdict: Verdict) -> list[str]:
    return [each.finding for each in findings if each.verdict is verdict]


NEEDED = frozenset({"s3:ListBucket", "s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:AbortMultipartUpload"})


def action(request: web.Request) -> str:
    """The right that a request takes (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html)."""
    _, _, key = request.path.lstrip("/").partition("/")
    if request.path == "/":
        return "s3:ListAllMyBuckets"
    if not key:
        settings = {
            "lifecycle": "s3:GetLifecycleConfiguration",
            "publicAccessBlock": "s3:GetBucketPublicAccessBlock",
            "policy": "s3:GetBucketPolicy",
        }
        return next((right for name, right in settings.items() if name in request.query), "s3:ListBucket")
    if not key.startswith("prefix/"):
        return f"{request.method} outside of the prefix"
    if request.method == "DELETE" and "uploadId" in request.query:
        return "s3:AbortMultipartUpload"
    if request.method == "DELETE" and "versionId" in request.query:
        return "s3:DeleteObjectVersion"
    return {"PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}.get(request.method, "s3:GetObject")


def grant(faults: Faults, rights: frozenset[str]) -> None:
    """Refuse whatever takes another right, as a policy does."""

    async def judge(request: web.Request, ask: Ask) -> Answer:
        right = action(request)
        if right in rights:
            return await ask()
        body = f"<Error><Code>AccessDenied</Code><Message>not authorized to perform: {right}</Message></Error>"
        return Answer(403, {"Content-Type": "application/xml"}, body.encode(), len(body))

    faults.do("", judge)


async def test_a_bucket_and_rights_as_they_should_be_are_well(bucket: str, faults: Faults, client: Any) -> None:
    client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=BLOCKED)
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": WELL})
    grant(faults, NEEDED | {"s3:GetLifecycleConfiguration", "s3:GetBucketPublicAccessBlock"})
    findings = await examined(bucket, faults.endpoint, more="&sse=AES256")
    assert [each.finding for each in findings] == [
        f"the bucket '{bucket}' at {faults.endpoint} answers, in {REGION}",
        "objects can be written, read, listed and deleted",
        "what is written is encrypted (AES256)",
        "the bucket refuses whoever has no credentials",
        "the bucket blocks public access",
        "a lifecycle rule aborts uploads that a killed program left incomplete",
        "a lifecycle rule expires what is below 'prefix/ephemeral/'",
        "no right was found that the work does not need",
    ]
    assert {each.verdict for each in findings} == {Verdict.OK}
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)


async def test_five_rights_are_all_that_the_work_needs(
    bucket: str, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant(faults, NEEDED)
    monkeypatch.setattr(s3_moving, "PART", PART)
    async with S3Blobs(f"s3://{bucket}/prefix?region={REGION}&endpoint={faults.endpoint}") as blobs:
        await put_bytes(blobs, "small", b"abc")
        await put_bytes(blobs, "large", b"x" * 2 * PART)
        await blobs.move("small", "job/small")
        await blobs.move("large", "job/large")
        assert await blobs.size("job/large") == 2 * PART
        assert await read_all(blobs, "job/small", 10) == b"abc"
        with pytest.raises(BlobNotFound):
            await blobs.size("small")
        async with blobs.local("job/small", tmp_path) as path:
            assert path.read_bytes() == b"abc"
        assert await blobs.delete_prefix("job") == 2


async def test_what_is_not_shown_to_us_is_no_fault(bucket: str, faults: Faults) -> None:
    grant(faults, NEEDED)
    findings = await examined(bucket, faults.endpoint)
    assert told(findings, Verdict.FAIL) == []
    assert told(findings, Verdict.WARN) == ["what is written is encrypted with nothing"]
    hidden = [each for each in findings if "not shown to these credentials (AccessDenied)" in each.finding]
    assert [each.advice for each in hidden] == [
        "let an administrator look: aws s3api get-public-access-block",
        "let an administrator look: aws s3api get-bucket-lifecycle-configuration",
    ]


async def test_a_server_that_has_no_such_settings_is_well(bucket: str, faults: Faults, monkeypatch: Any) -> None:
    monkeypatch.setattr(adapter, "ATTEMPTS", 1)

    async def unknown(request: web.Request, ask: Ask) -> Answer:
        if action(request) in NEEDED:
            return await ask()
        body = b"<Error><Code>NotImplemented</Code><Message>what is this</Message></Error>"
        return Answer(501, {"Content-Type": "application/xml"}, body, len(body))

    faults.do("GET", unknown)
    findings = await examined(bucket, faults.endpoint, prefix="")
    assert told(findings, Verdict.FAIL) == []
    assert sum("(NotImplemented)" in each.finding for each in findings) == 2


@pytest.mark.parametrize("right", sorted(NEEDED - {"s3:ListBucket"}))
async def test_a_right_that_is_missing_is_named_with_where_to_grant_it(
    right: str, bucket: str, faults: Faults, client: Any
) -> None:
    grant(faults, NEEDED - {right})
    findings = await examined(bucket, faults.endpoint)
    [failed] = [each for each in findings if each.verdict is Verdict.FAIL]
    assert failed.finding.startswith(f"the right {right} is missing: not authorized to perform: {right}")
    assert failed.advice == f"grant it on arn:aws:s3:::{bucket}/prefix/*"
    if right != "s3:DeleteObject":
        assert "Contents" not in client.list_objects_v2(Bucket=bucket)


async def test_a_bucket_that_may_not_be_listed_cannot_be_opened(bucket: str, faults: Faults) -> None:
    grant(faults, NEEDED - {"s3:ListBucket"})
    with pytest.raises(Unavailable, match="s3:ListBucket"):
        await examined(bucket, faults.endpoint)


async def test_rights_that_the_work_does_not_need_are_warned_of(bucket: str, faults: Faults, aws_server: str) -> None:
    new_bucket(aws_server)
    findings = await examined(bucket, faults.endpoint)
    warnings = told(findings, Verdict.WARN)
    for what in ("list the other buckets of the account", "read the bucket's policy", "read outside of our prefix"):
        assert f"these credentials may {what}, which the work does not need" in warnings
    findings = await examined(bucket, faults.endpoint, prefix="")
    assert not any("outside" in each.finding for each in findings)


async def test_the_examination_touches_no_object_but_its_own(bucket: str, faults: Faults) -> None:
    await examined(bucket, faults.endpoint)
    written = {name for name in faults.seen if not name.startswith(("GET", "HEAD"))}
    assert written
    assert all(f" /{bucket}/prefix/antiphon-doctor/" in name for name in written)


async def test_a_bucket_that_anybody_may_read_fails(bucket: str, faults: Faults) -> None:
    async def open_to_all(request: web.Request, ask: Ask) -> Answer:
        if "Authorization" in request.headers:
            return await ask()
        return Answer(200, {}, b"antiphon doctor", 15)

    faults.do("GET", open_to_all)
    findings = await examined(bucket, faults.endpoint)
    assert told(findings, Verdict.FAIL) == ["anybody who can reach the bucket may read every recording in it"]


async def test_public_access_that_could_not_be_tried_is_told(bucket: str, faults: Faults) -> None:
    async def away(request: web.Request, ask: Ask) -> Answer:
        answer = await ask()
        return answer if "Authorization" in request.headers else Answer(200, {}, b"", 1)

    faults.do("GET", away)
    findings = await examined(bucket, faults.endpoint)
    assert any("whether anybody may read it could not be tried" in each.finding for each in findings)


@pytest.mark.parametrize("block", [None, BLOCKED | {"BlockPublicAcls": False}])
async def test_a_bucket_that_does_not_block_public_access_is_warned_of(
    block: Mapping[str, bool] | None, bucket: str, faults: Faults, client: Any
) -> None:
    if block is not None:
        client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    assert "the bucket does not block public access" in told(await examined(bucket, faults.endpoint), Verdict.WARN)


async def test_encryption_that_the_server_does_not_do_fails(bucket: str, faults: Faults) -> None:
    async def plain(_: web.Request, ask: Ask) -> Answer:
        answer = await ask()
        headers = {name: value for name, value in answer.headers.items() if "encryption" not in name.lower()}
        return Answer(answer.status, headers, answer.body, answer.length)

    faults.do("PUT", plain)
    failed = told(await examined(bucket, faults.endpoint, more="&sse=aws:kms"), Verdict.FAIL)
    assert failed == ["what is written is encrypted with nothing, not aws:kms"]


async def test_a_bucket_that_keeps_versions_is_told_and_none_of_ours_are_left(
    bucket: str, faults: Faults, client: Any
) -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    warnings = told(await examined(bucket, faults.endpoint), Verdict.WARN)
    assert "no lifecycle rule expires older versions, as which deleted blobs live on in this bucket" in warnings
    versions = client.list_object_versions(Bucket=bucket)
    assert "Versions" not in versions
    assert "DeleteMarkers" not in versions
    grant(faults, NEEDED)
    assert told(await examined(bucket, faults.endpoint), Verdict.FAIL) == []


async def test_a_bucket_elsewhere_is_warned_of(bucket: str, faults: Faults) -> None:
    async def elsewhere(_: web.Request, ask: Ask) -> Answer:
        answer = await ask()
        return Answer(answer.status, {**answer.headers, "x-amz-bucket-region": "us-west-2"}, b"", answer.length)

    faults.do(f"HEAD /{bucket}", elsewhere)
    findings = await examined(bucket, faults.endpoint)
    assert findings[0].finding.endswith("lies in us-west-2, while we ask in eu-central-1")
    assert findings[0].advice == "write region=us-west-2 into ANTIPHON_BLOBS_URL"


async def test_a_bucket_that_goes_away_meanwhile_is_unavailable(
    bucket: str, faults: Faults, monkeypatch: pytest.MonkeyPatch, client: Any
) -> None:
    monkeypatch.setattr(adapter, "ATTEMPTS", 1)
    async with S3Blobs(f"s3://{bucket}/prefix?region={REGION}&endpoint={faults.endpoint}") as blobs:
        await put_bytes(blobs, "key", b"x")
        faults.fail("GET", "InternalError", status=500)
        with pytest.raises(Unavailable, match="InternalError"):
            await blobs.examine()
    [left] = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert left["Key"] == "prefix/key"


# lifecycle rules: tables of what they mean


def rule(prefix: str | None, does: Mapping[str, Any], **more: Any) -> Any:
    condition = {} if prefix is None else {"Filter": {"Prefix": prefix}}
    return {"ID": "rule", "Status": "Enabled", **condition, **does, **more}


ABORTS = "aborts uploads that a killed program left incomplete"
EXPIRES = "expires what is below 'a/ephemeral/'"
FORGETS = "expires older versions, as which deleted blobs live on in this bucket"


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([], set()),
        ([rule("a/", ABORT)], {ABORTS}),
        ([rule("", ABORT)], {ABORTS}),
        ([rule(None, ABORT)], {ABORTS}),
        ([rule(None, ABORT, Prefix="a/")], {ABORTS}),
        ([rule(None, ABORT, Prefix="b/")], set()),
        ([rule(None, ABORT, Filter={"And": {"Prefix": "a/", "ObjectSizeGreaterThan": 1}})], {ABORTS}),
        ([rule(None, ABORT, Filter={"And": {"Prefix": "b/", "ObjectSizeGreaterThan": 1}})], set()),
        ([rule("a/b/", ABORT)], set()),
        ([rule("b/", ABORT)], set()),
        ([rule("a/", ABORT, Status="Disabled")], set()),
        ([rule(None, ABORT, Filter={"Tag": {"Key": "k", "Value": "v"}})], set()),
        ([rule(None, ABORT, Filter={"And": {"Prefix": "", "Tags": [{"Key": "k", "Value": "v"}]}})], set()),
        ([rule("a/ephemeral/", EXPIRE)], {EXPIRES}),
        ([rule("a/ephemeral/", {"Expiration": {"ExpiredObjectDeleteMarker": True}})], set()),
        ([rule("a/ephemeral/tenant", EXPIRE)], set()),
        ([rule("a/", NONCURRENT)], {FORGETS}),
        ([rule("a/", {**ABORT, **NONCURRENT}), rule("a/ephemeral/", EXPIRE)], {ABORTS, EXPIRES, FORGETS}),
    ],
)
def test_a_rule_is_found_where_it_covers_our_blobs(rules: list[Any], found: set[str]) -> None:
    findings = examine_rules(rules, "a/", versioned=True)
    assert {each.finding for each in findings if each.verdict is Verdict.OK} == {f"a lifecycle rule {x}" for x in found}
    assert {each.finding for each in findings if each.verdict is Verdict.WARN} == {
        f"no lifecycle rule {missing}" for missing in {ABORTS, EXPIRES, FORGETS} - found
    }


def test_without_versions_none_need_to_expire() -> None:
    assert not any("versions" in each.finding for each in examine_rules([], "", versioned=False))


@pytest.mark.parametrize(
    ("where", "too_much"),
    [("", True), ("a/", True), ("a/standard/", True), ("a/eph", True), ("a/ephemeral/", False), ("b/", False)],
)
def test_a_rule_that_expires_what_was_promised_is_warned_of(where: str, too_much: bool) -> None:
    findings = examine_rules([rule(where, EXPIRE)], "a/", versioned=False)
    assert any("whatever jobs were promised" in each.finding for each in findings) is too_much
