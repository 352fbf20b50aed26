"""Buckets of a test's own, where something speaks as S3 does."""

import secrets
from functools import cache
from typing import Any

import pytest
from botocore.session import Session

from antiphon.blobs.s3 import S3Blobs

REGION = "eu-central-1"


@cache
def s3(endpoint: str) -> Any:
    """A plain client, by which a test looks at what is really there."""
    session = Session()
    session.set_credentials("test", "test")
    return session.create_client("s3", REGION, endpoint_url=endpoint)


def new_bucket(endpoint: str) -> str:
    name = f"test-{secrets.token_hex(8)}"
    s3(endpoint).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def s3_blobs(request: pytest.FixtureRequest) -> S3Blobs:
    endpoint = request.getfixturevalue("aws_server")
    request.getfixturevalue("aws_credentials")
    return S3Blobs(f"s3://{new_bucket(endpoint)}/some/prefix?region={REGION}&endpoint={endpoint}")
