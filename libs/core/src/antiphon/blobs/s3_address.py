"""What the URL of blobs on S3 says: `s3://bucket/prefix?region=...&endpoint=...&sse=...&sse_key=...`."""

import re
from dataclasses import dataclass, field
from typing import Literal, TypedDict
from urllib.parse import parse_qsl, unquote, urlsplit

from antiphon.blobs.base import check_key
from antiphon.errors import SettingsError

SETTING = "ANTIPHON_BLOBS_URL"
PARAMETERS = ("region", "endpoint", "sse", "sse_key")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+\Z)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


Method = Literal["AES256", "aws:kms"]
METHODS: dict[str, Method] = {"AES256": "AES256", "aws:kms": "aws:kms"}


class Encryption(TypedDict, total=False):
    """How S3 is asked to encrypt what is written; empty for the bucket's own default."""

    ServerSideEncryption: Method
    SSEKMSKeyId: str


@dataclass(frozen=True, slots=True)
class Address:
    """Where the blobs are. `prefix` is empty or ends with a slash; None is left to Amazon's standard chain."""

    bucket: str
    prefix: str = ""
    region: str | None = None
    endpoint: str | None = None
    encryption: Encryption = field(default_factory=Encryption)

    def __str__(self) -> str:
        return f"the bucket {self.bucket!r}" + (f" at {self.endpoint}" if self.endpoint else "")


def read_address(url: str) -> Address:
    """Raises SettingsError, which says what to write."""
    parts = urlsplit(url, allow_fragments=False)
    parameters = _parameters(parts.query)
    bucket = parts.netloc
    if not _BUCKET.fullmatch(bucket):
        raise _refused(f"names the bucket {bucket!r}; write s3://bucket/prefix, a bucket has 3 to 63 of a-z 0-9 . -")
    prefix = unquote(parts.path).strip("/")
    try:
        if prefix:
            check_key(prefix)
    except ValueError:
        raise _refused(f"has the prefix {prefix!r}; write segments of A-Z a-z 0-9 . _ - with / between them") from None
    return Address(
        bucket=bucket,
        prefix=f"{prefix}/" if prefix else "",
        region=parameters.get("region"),
        endpoint=_endpoint(parameters.get("endpoint")),
        encryption=_encryption(parameters.get("sse"), parameters.get("sse_key")),
    )


def _parameters(query: str) -> dict[str, str]:
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in parameters.items():
        if name not in PARAMETERS:
            raise _refused(f"has the parameter {name!r}; known are: {', '.join(PARAMETERS)}")
        if not value:
            raise _refused(f"has the parameter {name!r} without a value; give it one, or leave it out")
    return parameters


def _endpoint(endpoint: str | None) -> str | None:
    if endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise _refused("has an endpoint that is no address; write endpoint=https://host:port")
    return endpoint


def _encryption(sse: str | None, key: str | None) -> Encryption:
    if key is not None and sse != "aws:kms":
        raise _refused("has a sse_key, which goes with sse=aws:kms alone")
    if sse is None:
        return Encryption()
    if sse not in METHODS:
        raise _refused(f"has sse={sse!r}; known are: {', '.join(METHODS)}")
    if key is None:
        return Encryption(ServerSideEncryption=METHODS[sse])
    return Encryption(ServerSideEncryption=METHODS[sse], SSEKMSKeyId=key)


def _refused(why: str) -> SettingsError:
    return SettingsError(f"{SETTING} {why}")
