import pytest

from antiphon_cli.masking import masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////data/store.db", "sqlite:////data/store.db"),
        ("postgresql://ann:pa:ss@host/db?sslmode=require", "postgresql://ann:***@host/db?sslmode=require"),
        ("redis://:p@ss/word@host:6379/0", "redis://:***@host:6379/0"),
        ("s3://bucket?region=eu&secret_access_key=x/y", "s3://bucket?region=eu&secret_access_key=***"),
        ("postgresql://host/db?password=x&user=ann", "postgresql://host/db?password=***&user=ann"),
        ("plain text", "plain text"),
    ],
)
def test_secrets_are_masked_and_the_rest_is_shown(url: str, shown: str) -> None:
    assert masked(url) == shown
