"""Clients of Amazon's services, and of what speaks like them.

Region, endpoint and credentials come from the standard chain: environment, profile, web identity (IRSA), container and
instance roles (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html). A URL's `region` and
`endpoint` come before it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from antiphon.errors import SettingsError, Unavailable

CONNECT_SECONDS = 5.0
ATTEMPTS = 4


def config(*, connections: int, read_seconds: float) -> AioConfig:
    """Retries with backoff, and a client-side limit on the rate once the service throttles.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    """
    return AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        max_pool_connections=connections,
        retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
    )


def session(setting: str, region: str | None) -> AioSession:
    """A session in a region. Raises SettingsError, naming `setting`, if neither it nor the chain names one."""
    session = AioSession()
    region = region or session.get_config_variable("region")
    if not region:
        raise SettingsError(f"{setting} names no region; add ?region=eu-central-1, or set AWS_REGION")
    session.set_config_variable("region", region)
    return session


def code(error: ClientError) -> str:
    """The service's own word for what went wrong, such as `AccessDenied`."""
    return error.response.get("Error", {}).get("Code", "")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what a service refuses, and a service that is away, into Unavailable, which names `what` was asked."""
    try:
        yield
    except ClientError as error:
        message = error.response.get("Error", {}).get("Message", "")
        raise Unavailable(f"{what} answers {code(error)}: {message}") from error
    except (BotoCoreError, OSError) as error:
        raise Unavailable(f"{what} does not answer: {error}") from error
