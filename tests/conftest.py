"""The servers that several suites share, each started once, when the first test wants it."""

from collections.abc import Iterator

import pytest
from tests import servers


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
