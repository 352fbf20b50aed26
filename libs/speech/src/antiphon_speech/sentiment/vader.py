"""Sentiment by VADER's lexicon and rules: English, milliseconds, no model to load.

Source: Hutto & Gilbert, VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text, ICWSM 2014.
It was made for tweets; on other text expect about 70 % right.
"""

from typing import Literal

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from antiphon_speech.results import Sentiment
from antiphon_speech.sentiment.base import SentimentAnalyser

# The authors' own thresholds on the compound score: https://github.com/cjhutto/vaderSentiment#about-the-scoring
_POSITIVE = 0.05
_NEGATIVE = -0.05


def label(compound: float) -> Literal["positive", "neutral", "negative"]:
    """The word for a compound score between -1 and 1."""
    if compound >= _POSITIVE:
        return "positive"
    return "negative" if compound <= _NEGATIVE else "neutral"


class Vader(SentimentAnalyser):
    """VADER with the lexicon that it ships."""

    engine = "vader"

    def __init__(self) -> None:
        self._analyser = SentimentIntensityAnalyzer()

    def analyse(self, text: str) -> Sentiment:
        """See SentimentAnalyser."""
        compound = float(self._analyser.polarity_scores(text)["compound"])
        return Sentiment(label=label(compound), score=compound, engine=self.engine)
