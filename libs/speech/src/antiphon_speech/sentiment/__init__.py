"""The mood of a text: the port `SentimentAnalyser` and the engines behind it."""

from collections.abc import Callable

from antiphon_speech.errors import EngineUnavailable
from antiphon_speech.sentiment.base import SentimentAnalyser

__all__ = ["SentimentAnalyser", "open_sentiment"]


def _vader() -> SentimentAnalyser:
    from antiphon_speech.sentiment.vader import Vader

    return Vader()


_ENGINES: dict[str, Callable[[], SentimentAnalyser]] = {"vader": _vader}


def open_sentiment(engine: str = "vader") -> SentimentAnalyser:
    """The engine of that name. Raises EngineUnavailable."""
    if engine not in _ENGINES:
        raise EngineUnavailable(f"there is no sentiment engine {engine!r}; available: {', '.join(sorted(_ENGINES))}")
    return _ENGINES[engine]()
