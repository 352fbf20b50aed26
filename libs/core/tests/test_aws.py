import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from antiphon import aws
from antiphon.errors import SettingsError, Unavailable


def refused(code: str, status: int = 400, message: str = "because") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Operation",
    )


def away(url: str = "http://host:1") -> BotoCoreError:
    return EndpointConnectionError(endpoint_url=url, error="refused")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_comes_from_either_variable(name: str, nowhere: pytest.MonkeyPatch) -> None:
    nowhere.setenv(name, "eu-west-3")
    assert aws.session("ANTIPHON_X_URL", None).get_config_variable("region") == "eu-west-3"


def test_what_is_given_comes_before_the_chain(nowhere: pytest.MonkeyPatch) -> None:
    nowhere.setenv("AWS_REGION", "eu-west-3")
    assert aws.session("ANTIPHON_X_URL", "us-east-2").get_config_variable("region") == "us-east-2"


def test_without_any_region_the_setting_is_named(nowhere: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"ANTIPHON_X_URL names no region; add \?region="):
        aws.session("ANTIPHON_X_URL", None)


def test_a_profile_that_is_not_there_is_a_wrong_setting(nowhere: pytest.MonkeyPatch) -> None:
    nowhere.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SettingsError, match=r"configuration is wrong: .*\(nobody\)"):
        aws.session("ANTIPHON_X_URL", None)


@pytest.mark.parametrize(
    ("error", "failing"),
    [
        (refused("InternalError", 500), True),
        (refused("ServiceUnavailable", 503), True),
        (refused("SlowDown", 503), True),
        (refused("ThrottlingException"), True),
        (refused("RequestThrottled", 403), True),
        (refused("RequestLimitExceeded", 403), True),
        (away(), True),
        (ReadTimeoutError(endpoint_url="http://host:1"), True),
        (ResponseParserError("<html>"), True),
        (ConnectionResetError(), True),
        (refused("AccessDenied", 403), False),
        (refused("NoSuchKey", 404), False),
        (NoCredentialsError(), False),
        (CredentialRetrievalError(provider="x", error_msg="y"), False),
        (ValueError(), False),
    ],
)
def test_a_service_fails_when_it_does_not_answer_breaks_or_throttles(error: Exception, failing: bool) -> None:
    assert aws.failing(error) is failing


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (refused("NoSuchBucket", 404, "it is gone"), "S3 answers NoSuchBucket: it is gone"),
        (refused("SignatureDoesNotMatch", 403, "SECRET"), "S3 does not take our credentials (SignatureDoesNotMatch)"),
        (refused("InvalidAccessKeyId", 403, "SECRET"), "S3 does not take our credentials (InvalidAccessKeyId)"),
        (refused("InvalidClientTokenId", 403, "SECRET"), "S3 does not take our credentials (InvalidClientTokenId)"),
        (refused("UnrecognizedClientException", 403, "SECRET"), "does not take our credentials (UnrecognizedClient"),
        (refused("ExpiredToken", 403, "SECRET"), "S3 does not take our credentials (ExpiredToken)"),
        (refused("MissingAuthenticationToken", 403, "SECRET"), "does not take our credentials (MissingAuth"),
        (NoCredentialsError(), "S3 cannot be asked: Unable to locate credentials; see AWS_PROFILE"),
        (away(), 'S3 does not answer: Could not connect to the endpoint URL: "http://host:1"'),
        (
            away("http://me:SECRET@host:1/x"),
            'S3 does not answer: Could not connect to the endpoint URL: "http://host:1/x"',
        ),
    ],
)
def test_what_went_wrong_is_one_sentence_without_credentials(error: Exception, sentence: str) -> None:
    with pytest.raises(Unavailable) as raised, aws.translated("S3"):
        raise error
    assert sentence in str(raised.value)
    assert "SECRET" not in str(raised.value)
    assert raised.value.__cause__ is None, "a traceback would show it"
    assert raised.value.__suppress_context__


def test_what_is_our_own_fault_goes_on() -> None:
    with pytest.raises(KeyError), aws.translated("S3"):
        raise KeyError("ours")
