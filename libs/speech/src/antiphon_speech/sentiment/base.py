"""What a sentiment engine promises."""

import abc

from antiphon_speech.results import Sentiment


class SentimentAnalyser(abc.ABC):
    """Judges how positive or negative a text is."""

    engine: str
    """The name by which the engine is opened, and which its results carry."""

    @abc.abstractmethod
    def analyse(self, text: str) -> Sentiment:
        """The sentiment of `text` as a whole; neutral, with score 0, when there is nothing to judge."""
