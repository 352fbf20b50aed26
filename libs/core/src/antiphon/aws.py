"""Clients of Amazon's services, and of what speaks like them.

Region, endpoint and credentials come from the standard chain: environment, profile, web identity (IRSA), container and
instance roles (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html). A URL's `region` and
`endpoint` come before it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from antiphon.errors import SettingsError, Unavailable

CONNECT_SECONDS = 5.0
ATTEMPTS = 4

# botocore by itself reads AWS_DEFAULT_REGION alone, while every other SDK reads AWS_REGION:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
_VARIABLES = {"region": ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)}

# what these say of a signature repeats what was signed, session token included
_CREDENTIALS = re.compile(
    r"InvalidClientTokenId|UnrecognizedClient|ExpiredToken|Signature|AuthenticationToken|AccessKeyId"
)
_THROTTLES = re.compile(r"Throttl|TooManyRequests|RequestLimitExceeded|SlowDown")
_USER = re.compile(r"//[^/@\s]*@")

ServiceErrors = (ClientError, BotoCoreError, ResponseParserError, OSError)
"""What a call to a service raises; `translated` makes Unavailable of it."""


def config(*, connections: int, read_seconds: float, attempts: int = ATTEMPTS) -> AioConfig:
    """Retries with backoff, and a client-side limit on the rate once the service throttles.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    """
    return AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        max_pool_connections=connections,
        retries={"mode": "adaptive", "total_max_attempts": attempts},
    )


def session(setting: str, region: str | None) -> AioSession:
    """A session in a region. Raises SettingsError, naming `setting`, if neither it nor the chain names one."""
    session = AioSession(session_vars=_VARIABLES)
    try:
        region = region or session.get_config_variable("region")
    except BotoCoreError as error:  # a profile that is not there, a file that cannot be read
        raise SettingsError(f"AWS's configuration is wrong: {error}") from None
    if not region:
        raise SettingsError(f"{setting} names no region; add ?region=eu-central-1, or set AWS_REGION")
    session.set_config_variable("region", region)
    return session


def code(error: ClientError) -> str:
    """The service's own word for what went wrong, such as `AccessDenied`."""
    return error.response.get("Error", {}).get("Code", "")


def failing(error: BaseException) -> bool:
    """Whether the service itself is not well: it does not answer, breaks, or throttles. A refusal is an answer."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or _THROTTLES.search(code(error)) is not None
    return isinstance(error, ServiceErrors) and not _no_credentials(error)


def explained(what: str, error: BaseException) -> Unavailable:
    """What went wrong when `what` was asked, in a sentence without credentials."""
    if isinstance(error, ClientError):
        if _CREDENTIALS.search(code(error)):
            return Unavailable(f"{what} does not take our credentials ({code(error)})")
        return Unavailable(f"{what} answers {code(error)}: {error.response.get('Error', {}).get('Message', '')}")
    if _no_credentials(error):
        return Unavailable(f"{what} cannot be asked: {error}; see AWS_PROFILE, AWS_ACCESS_KEY_ID or the pod's role")
    return Unavailable(f"{what} does not answer: {_USER.sub('//', str(error))}")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what a service refuses, and a service that is away, into Unavailable, which names `what` was asked."""
    try:
        yield
    except ServiceErrors as error:
        raise explained(what, error) from None  # a traceback would show what the sentence leaves out


def _no_credentials(error: BaseException) -> bool:
    return isinstance(error, (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError))
