"""What `antiphon doctor` finds out about a bucket: the rights that we have, and how it is set up.

Rights are tried on an object of our own, which is removed again; no policy is read. What an administrator alone may see
need not be shown to us, so a refusal is no fault there. Nothing is tried that could change or end what is not ours:
whether we might delete the bucket, or change who may use it, is left to those who grant rights.
"""

import secrets
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from aiohttp import ClientError as TransportError
from aiohttp import ClientSession, ClientTimeout
from botocore.exceptions import ClientError

from antiphon import aws
from antiphon.blobs import s3_links
from antiphon.blobs.s3_address import SETTING
from antiphon.blobs.s3_bucket import Bucket, region_of
from antiphon.blobs.s3_lifecycle import examine_rules
from antiphon.resource import Finding, Verdict

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import PutObjectOutputTypeDef

T = TypeVar("T")

CONTENT = b"antiphon doctor"
PATIENCE = ClientTimeout(total=10)


async def examine(bucket: Bucket) -> list[Finding]:
    """Raises Unavailable."""
    region = await region_of(bucket)
    trial = _Trial(bucket)
    with aws.translated(str(bucket)):
        return [
            _place(bucket, region),
            *await trial.rights(),
            await _public_access_block(bucket),
            *await _lifecycle(bucket, versioned=trial.versioned),
            *await _excess(bucket),
        ]


def _place(bucket: Bucket, region: str) -> Finding:
    ours = bucket.client.meta.region_name
    if region not in {"", ours}:
        return Finding(
            Verdict.WARN,
            f"{bucket} lies in {region}, while we ask in {ours}",
            f"write region={region} into {SETTING}",
        )
    return Finding(Verdict.OK, f"{bucket} answers, in {region or ours}")


class _Trial:
    """One object of our own, written, read and deleted."""

    def __init__(self, bucket: Bucket) -> None:
        self.versioned = False
        self._bucket = bucket
        self._name = f"{bucket.address.prefix}antiphon-doctor/{secrets.token_hex(8)}"
        self._refused: dict[str, str] = {}

    async def rights(self) -> list[Finding]:
        client, bucket, name = self._bucket.client, self._bucket.name, self._name
        findings = []
        put = None
        try:
            put = await self._try(
                "s3:PutObject",
                client.put_object(Bucket=bucket, Key=name, Body=CONTENT, **self._bucket.address.encryption),
            )
            if put is not None:
                findings += [self._encryption(put), await self._public()]
            await self._try("s3:GetObject", self._get())
            await self._try("s3:ListBucket", client.list_objects_v2(Bucket=bucket, Prefix=name, MaxKeys=1))
            await self._try(
                "s3:AbortMultipartUpload",
                client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId="antiphon-doctor"),
            )
        finally:
            deleted = await self._try("s3:DeleteObject", client.delete_object(Bucket=bucket, Key=name))
        versions = [answer["VersionId"] for answer in (put, deleted) if answer and "VersionId" in answer]
        self.versioned = bool(versions)
        for version in versions:
            with suppress(ClientError):  # takes a right (s3:DeleteObjectVersion) that our work does not need
                await client.delete_object(Bucket=bucket, Key=name, VersionId=version)
        return [*self._missing(), *findings]

    async def _try(self, right: str, request: Awaitable[T]) -> T | None:
        """The answer, if there is one. That there is no such object is one as well."""
        try:
            return await request
        except ClientError as error:
            if _status(error) == 403:
                self._refused[right] = error.response["Error"].get("Message", "")
            else:
                _raise_failure(error)
            return None

    async def _get(self) -> None:
        answer = await self._bucket.client.get_object(Bucket=self._bucket.name, Key=self._name)
        async with answer["Body"] as body:
            await body.read()

    def _missing(self) -> list[Finding]:
        arn = f"arn:aws:s3:::{self._bucket.name}"
        missing = [
            Finding(
                Verdict.FAIL,
                f"the right {right} is missing: {message}",
                f"grant it on {arn if right == 's3:ListBucket' else f'{arn}/{self._bucket.address.prefix}*'}",
            )
            for right, message in self._refused.items()
        ]
        return missing or [Finding(Verdict.OK, "objects can be written, read, listed and deleted")]

    def _encryption(self, put: "PutObjectOutputTypeDef") -> Finding:
        method: str | None = put.get("ServerSideEncryption")
        wanted = self._bucket.address.encryption.get("ServerSideEncryption", method)
        if method is None or method != wanted:
            return Finding(
                Verdict.WARN if wanted is None else Verdict.FAIL,
                f"what is written is encrypted with {method or 'nothing'}" + (f", not {wanted}" if wanted else ""),
                "set the bucket's default encryption" if wanted is None else f"the server must know sse={wanted}",
            )
        return Finding(Verdict.OK, f"what is written is encrypted ({method})")

    async def _public(self) -> Finding:
        """Whether the object can be read without a signature."""
        url = await s3_links.link(self._bucket, self._name, 60, None, None)
        try:
            async with (
                ClientSession(timeout=PATIENCE, trust_env=True) as session,
                session.get(url.partition("?")[0]) as answer,
            ):
                is_open = answer.ok and await answer.read() == CONTENT
        except (TransportError, TimeoutError) as error:
            return Finding(Verdict.OK, f"whether anybody may read it could not be tried: {error}")
        if is_open:
            return Finding(
                Verdict.FAIL,
                "anybody who can reach the bucket may read every recording in it",
                "block public access, and take the grants to everybody out of its policy",
            )
        return Finding(Verdict.OK, "the bucket refuses whoever has no credentials")


async def _lifecycle(bucket: Bucket, *, versioned: bool) -> list[Finding]:
    try:
        rules = (await bucket.client.get_bucket_lifecycle_configuration(Bucket=bucket.name))["Rules"]
    except ClientError as error:
        if aws.code(error) != "NoSuchLifecycleConfiguration":
            return [_hidden("the lifecycle rules of the bucket", "get-bucket-lifecycle-configuration", error)]
        rules = []
    return examine_rules(rules, bucket.address.prefix, versioned=versioned)


async def _public_access_block(bucket: Bucket) -> Finding:
    try:
        answer = await bucket.client.get_public_access_block(Bucket=bucket.name)
        blocked = all(answer["PublicAccessBlockConfiguration"].values())
    except ClientError as error:
        if aws.code(error) != "NoSuchPublicAccessBlockConfiguration":
            return _hidden("whether the bucket blocks public access", "get-public-access-block", error)
        blocked = False
    if not blocked:
        return Finding(
            Verdict.WARN,
            "the bucket does not block public access",
            "switch on all four settings of Block Public Access, so that no later grant can open it",
        )
    return Finding(Verdict.OK, "the bucket blocks public access")


def _hidden(what: str, command: str, error: ClientError) -> Finding:
    _raise_failure(error)
    return Finding(
        Verdict.OK,
        f"{what}: not shown to these credentials ({aws.code(error)}), which need not see it",
        f"let an administrator look: aws s3api {command}",
    )


async def _excess(bucket: Bucket) -> list[Finding]:
    """Rights that the work does not need, as far as they show without touching what is not ours."""
    client, name = bucket.client, bucket.name
    findings = []
    if await _lists_others(bucket):
        findings.append(_too_much("list the other buckets of the account", "take s3:ListAllMyBuckets away"))
    if await _may(client.get_bucket_policy(Bucket=name)):
        findings.append(_too_much("read the bucket's policy", "grant the five rights by name, not s3:*"))
    if bucket.address.prefix and await _may(client.head_object(Bucket=name, Key=secrets.token_hex(8))):
        where = f"arn:aws:s3:::{name}/{bucket.address.prefix}*"
        findings.append(_too_much("read outside of our prefix", f"limit the rights on objects to {where}"))
    return findings or [Finding(Verdict.OK, "no right was found that the work does not need")]


async def _lists_others(bucket: Bucket) -> bool:
    try:
        listed = await bucket.client.list_buckets(MaxBuckets=2)
    except ClientError as error:
        _raise_failure(error)
        return False
    return any(each["Name"] != bucket.name for each in listed["Buckets"])  # some servers list what is ours to anybody


async def _may(request: Awaitable[object]) -> bool:
    """Whether it is answered, be it by saying that there is no such thing."""
    try:
        await request
    except ClientError as error:
        _raise_failure(error)
        return _status(error) == 404
    return True


def _too_much(what: str, advice: str) -> Finding:
    return Finding(Verdict.WARN, f"these credentials may {what}, which the work does not need", advice)


def _raise_failure(error: ClientError) -> None:
    """Let an error through unless it is an answer; that a server does not know a request is one."""
    if aws.failing(error) and aws.code(error) != "NotImplemented":
        raise error


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]
