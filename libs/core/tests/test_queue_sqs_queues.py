import json

import pytest

from antiphon.errors import SettingsError
from antiphon.jobs import Priority
from antiphon.queue import open_queue
from antiphon.queue.sqs import SqsQueue
from antiphon.queue.sqs_queues import DAY, SqsSettings, attributes, dead, faults, is_dead, is_fifo

ARN = "arn:aws:sqs:eu-central-1:123456789012:antiphon-default-low-dead"


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("sqs://", SqsSettings()),
        ("sqs:", SqsSettings()),
        ("sqs://?region=eu-west-3", SqsSettings(region="eu-west-3")),
        (
            "sqs://?endpoint=http://localhost:9324&prefix=test_1&fifo=true&create=false",
            SqsSettings(None, "http://localhost:9324", "test_1", fifo=True, create=False),
        ),
        ("sqs://?fifo=false&create=true", SqsSettings()),
        ("sqs://?endpoint=https%3A%2F%2Fsqs.example.com%2Fpath", SqsSettings(endpoint="https://sqs.example.com/path")),
    ],
)
def test_a_url_says_what_the_standard_chain_does_not(url: str, settings: SqsSettings) -> None:
    assert SqsSettings.of(url) == settings


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqs://?regoin=eu-west-3", "unknown parameter 'regoin'; known are: create, endpoint, fifo, prefix, region"),
        ("sqs://eu-west-3", "before its parameters; write sqs://"),
        ("sqs://key:secret@host", "before its parameters"),
        ("sqs:///antiphon", "before its parameters"),
        ("sqs://?prefix=", "prefix ''; use 1 to 20 letters"),
        ("sqs://?prefix=a.b", "prefix 'a.b'"),
        ("sqs://?prefix=" + "x" * 21, "prefix 'xxx"),
        ("sqs://?fifo=yes", "fifo=yes; write fifo=true or fifo=false"),
        ("sqs://?create=", "create=; write"),
        ("sqs://?endpoint=localhost:9324", "endpoint that is not like http://host:port"),
        ("sqs://?endpoint=http://key:secret@localhost", "credentials do not belong there"),
    ],
)
def test_a_wrong_url_says_what_to_write(url: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as raised:
        open_queue(url)
    assert "ANTIPHON_QUEUE_URL" in str(raised.value)
    assert sentence in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_a_region_must_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match=r"ANTIPHON_QUEUE_URL names no region; add \?region="):
        await SqsQueue("sqs://").open()


def test_every_queue_has_a_name_of_its_own() -> None:
    names = [
        name
        for fifo in (False, True)
        for pool in ("default", "default-high", "x-dead")
        for living in SqsSettings(fifo=fifo).names(pool)
        for name in (living, dead(living))
    ]
    assert len(set(names)) == len(names)
    assert SqsSettings().name("default", Priority.LOW) == "antiphon-default-low"
    assert dead("antiphon-default-low") == "antiphon-default-low-dead"
    assert dead("antiphon-default-low.fifo") == "antiphon-default-low-dead.fifo"
    assert [is_dead(name) for name in names] == [False, True] * (len(names) // 2)
    assert [is_fifo(name) for name in names] == [name.endswith(".fifo") for name in names]


def test_the_longest_names_are_not_too_long_for_sqs() -> None:
    assert len(dead(SqsSettings(prefix="p" * 20, fifo=True).name("x" * 40, Priority.NORMAL))) <= 80


@pytest.mark.parametrize("name", ["a-b-low", "a-b-low-dead", "a-b-low.fifo", "a-b-low-dead.fifo"])
def test_a_queue_is_made_as_we_need_it(name: str) -> None:
    arn = None if is_dead(name) else ARN
    made = attributes(name, arn)
    assert made["MessageRetentionPeriod"] == str((14 if is_dead(name) else 7) * DAY)
    assert made["SqsManagedSseEnabled"] == "true"
    assert ("FifoQueue" in made) == is_fifo(name)
    assert ("RedrivePolicy" in made) == (not is_dead(name))
    if arn:
        assert json.loads(made["RedrivePolicy"]) == {"deadLetterTargetArn": ARN, "maxReceiveCount": 100}
    assert faults(name, {str(key): value for key, value in made.items()}, arn) == []


NAME = "antiphon-default-low"
WELL = {str(key): value for key, value in attributes(NAME, ARN).items()}


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        (NAME, {"MessageRetentionPeriod": str(4 * DAY)}, "keeps messages for 4 days only, not 7"),
        (dead(NAME), {"MessageRetentionPeriod": str(7 * DAY), "RedrivePolicy": ""}, "for 7 days only, not 14"),
        (NAME, {"SqsManagedSseEnabled": "false"}, "not encrypted"),
        (NAME, {"RedrivePolicy": ""}, "no redrive policy"),
        (
            NAME,
            {"RedrivePolicy": '{"deadLetterTargetArn": "arn:other", "maxReceiveCount": 100}'},
            "another dead-letter",
        ),
        (
            NAME,
            {"RedrivePolicy": json.dumps({"deadLetterTargetArn": ARN, "maxReceiveCount": "5"})},
            "after 5 receives, not 100",
        ),
    ],
)
def test_what_a_queue_lacks_is_named(name: str, change: dict[str, str], fault: str) -> None:
    [found] = faults(name, {**WELL, **change}, ARN)
    assert fault in found


@pytest.mark.parametrize(
    "change",
    [
        {"MessageRetentionPeriod": str(14 * DAY)},
        {"SqsManagedSseEnabled": "false", "KmsMasterKeyId": "alias/ours"},
        {"RedrivePolicy": json.dumps({"deadLetterTargetArn": ARN, "maxReceiveCount": 1000})},
    ],
)
def test_more_than_we_need_is_well(change: dict[str, str]) -> None:
    assert faults(NAME, {**WELL, **change}, ARN) == []
