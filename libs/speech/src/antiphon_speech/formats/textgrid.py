"""Praat's TextGrid, long text format, with the tiers `words` and `segments`.

Source: the Praat manual, "TextGrid file formats". A tier must cover the whole recording: its intervals follow one
another without gap or overlap, each longer than nothing; what lies between two words is an interval without a label.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from antiphon_speech.results import Result


class Interval(NamedTuple):
    """A stretch of a tier, seconds."""

    start: float
    end: float
    label: str


def write(result: Result) -> bytes:
    """UTF-8, which Praat reads since version 5.0; valid for an empty transcript too."""
    words = [_interval(word.start, word.end, word.word) for word in result.words or ()]
    segments = [_interval(segment.start, segment.end, segment.text) for segment in result.segments or ()]
    end = max([result.duration, *(interval.end for interval in words + segments)])
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {_number(end)}",
        "tiers? <exists>",
        "size = 2",
        "item []:",
        *_tier(1, "words", list(tiled(words, end)), end),
        *_tier(2, "segments", list(tiled(segments, end)), end),
    ]
    return ("\n".join(lines) + "\n").encode()


def tiled(intervals: Iterable[Interval], end: float) -> Iterator[Interval]:
    """`intervals`, which are in order, with the gaps filled, from 0 to `end`.

    A label whose interval has no length, or lies inside the one before, joins the label before it, or else the one
    after: no word is lost.
    """
    kept: list[Interval] = []
    early: list[str] = []
    for interval in intervals:
        start = max(interval.start, kept[-1].end if kept else 0.0)
        if interval.end > start:
            kept.append(Interval(start, interval.end, " ".join([*early, interval.label])))
            early.clear()
        elif kept:
            kept[-1] = kept[-1]._replace(label=f"{kept[-1].label} {interval.label}")
        else:
            early.append(interval.label)
    reached = 0.0
    for interval in kept:
        if interval.start > reached:
            yield Interval(reached, interval.start, "")
        yield interval
        reached = interval.end
    if reached < end:
        yield Interval(reached, end, " ".join(early))


def _tier(number: int, name: str, intervals: list[Interval], end: float) -> Iterator[str]:
    yield f"    item [{number}]:"
    yield '        class = "IntervalTier"'
    yield f'        name = "{name}"'
    yield "        xmin = 0"
    yield f"        xmax = {_number(end)}"
    yield f"        intervals: size = {len(intervals)}"
    for position, interval in enumerate(intervals, start=1):
        yield f"        intervals [{position}]:"
        yield f"            xmin = {_number(interval.start)}"
        yield f"            xmax = {_number(interval.end)}"
        yield f'            text = "{_escaped(interval.label)}"'


def _interval(start: float, end: float, label: str) -> Interval:
    return Interval(round(start, 6), round(end, 6), label)


def _number(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def _escaped(label: str) -> str:
    return " ".join(label.split()).replace('"', '""')
