"""The mood of texts."""

import pytest

from antiphon_speech.errors import EngineUnavailable
from antiphon_speech.sentiment import SentimentAnalyser, open_sentiment
from antiphon_speech.sentiment.vader import label


@pytest.fixture(scope="module")
def analyser() -> SentimentAnalyser:
    return open_sentiment("vader")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What a wonderful, happy day!", "positive"),
        ("This is a terrible, disgusting failure.", "negative"),
        ("The train leaves at ten.", "neutral"),
        ("This is not good.", "negative"),
        ("", "neutral"),
        ("   \n", "neutral"),
        ("... !?", "neutral"),
        ("火车十点开。", "neutral"),
    ],
)
def test_a_text_gets_the_label_that_a_reader_gives_it(text: str, expected: str, analyser: SentimentAnalyser) -> None:
    sentiment = analyser.analyse(text)
    assert sentiment.label == expected
    assert -1 <= sentiment.score <= 1
    assert sentiment.engine == analyser.engine == "vader"


@pytest.mark.parametrize(
    ("compound", "expected"),
    [
        (-1, "negative"),
        (-0.05, "negative"),
        (-0.049, "neutral"),
        (0, "neutral"),
        (0.049, "neutral"),
        (0.05, "positive"),
    ],
)
def test_the_thresholds_are_those_of_vaders_authors(compound: float, expected: str) -> None:
    assert label(compound) == expected


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EngineUnavailable, match="vader"):
        open_sentiment("horoscope")
