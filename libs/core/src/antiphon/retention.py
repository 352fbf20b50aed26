"""How long a job is kept once it has ended, and where its blobs lie meanwhile.

The class of a job is the first segment of the keys of its blobs, so that a rule on a prefix of a bucket can be the net
below the sweeper: https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-filters.html
"""

from enum import StrEnum

DAY = 24 * 3600
STANDARD_SECONDS = 30 * DAY
EPHEMERAL_SECONDS = 3600
SHORTEST = 60
LONGEST = 3650 * DAY


class RetentionClass(StrEnum):
    """`ephemeral` is for what nobody will ask for again; such jobs cannot be held."""

    STANDARD = "standard"
    EPHEMERAL = "ephemeral"


def blob_prefix(kind: RetentionClass, tenant: str, job: str) -> str:
    """Where the blobs of a new job go."""
    return f"{kind.value}/{tenant}/{job}"
