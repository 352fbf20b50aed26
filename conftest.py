"""The servers that several suites share, each started once, when the first test wants it."""

from collections.abc import Iterator
from functools import cache

import pytest
from botocore.loaders import create_loader
from tests import servers
from tests.aws_clock import clocked_aws

_service_models = cache(create_loader)
"""botocore reads the models of its services anew for every session, which would cost each test 150 ms."""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL."""
    with servers.postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a database of this test's own."""
    with servers.database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a Redis or Valkey that keeps nothing on disk. Tests that share it keep to names of their own."""
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session")
def aws_server() -> Iterator[str]:
    """The endpoint of something that speaks as SQS and S3 do."""
    with servers.aws() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def clocked_aws_server() -> Iterator[str]:
    """The endpoint of one more of these, with a clock that tests put forward: see `tests.aws_clock.AwsClock`."""
    with clocked_aws() as endpoint:
        yield endpoint


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and a region in the environment, which is where the standard chain looks first."""
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "REGION": "eu-central-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr("botocore.session.create_loader", _service_models)
