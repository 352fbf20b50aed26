"""Words into subtitles that can be read: at most 2 lines of 42 columns, for at most 7 seconds.

Source of the limits: Netflix, Timed Text Style Guide (general requirements; English). Times are whole milliseconds, so
that what is written is what was decided.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from antiphon_speech.results import Result, Word

COLUMNS = 42
LINES = 2
LONGEST = 7_000
SHORTEST = 833
"""A cue stays at least this long where the next one leaves room."""

_PAUSE = 1_000  # a silence that a subtitle does not bridge
_SENTENCE_ENDS = tuple(".?!…。？！")  # noqa: RUF001 - Chinese and Japanese have their own


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle, milliseconds."""

    start: int
    end: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word, or a part of one too long for a line; `glue` (a space, or nothing) joins it to the piece before."""

    start: int
    end: int
    text: str
    glue: str


def cues(result: Result) -> Iterator[Cue]:
    """The subtitles of a result, in order, without overlap."""
    groups = list(_grouped(_pieces(result.words or (), result.text or "")))
    free_from = 0
    for number, group in enumerate(groups):
        start = max(group[0].start, free_from)
        room = groups[number + 1][0].start if number + 1 < len(groups) else round(result.duration * 1000)
        end = max(group[-1].end, min(start + SHORTEST, room), start + 1)
        free_from = min(end, start + LONGEST)
        yield Cue(start, free_from, _balanced(group))


def _pieces(words: Iterable[Word], text: str) -> Iterator[_Piece]:
    """Glue is looked up in the text, since Chinese, Japanese and Thai put no spaces between words."""
    position = 0
    for word in words:
        found = text.find(word.word, position)
        glue = " " if found < 0 or found > position else ""
        position = found + len(word.word) if found >= 0 else position
        start, end = round(word.start * 1000), round(word.end * 1000)
        parts = list(_parts(word.word))
        for number, part in enumerate(parts):
            yield _Piece(
                start + (end - start) * number // len(parts),
                start + (end - start) * (number + 1) // len(parts),
                " ".join(part.split()),
                glue if number == 0 else "",
            )


def _parts(word: str) -> Iterator[str]:
    part = ""
    for character in word:
        if width(part + character) > COLUMNS:
            yield part
            part = ""
        part += character
    yield part


def _grouped(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    group: list[_Piece] = []
    for piece in pieces:
        if group and _ends_before(group, piece):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _ends_before(group: Sequence[_Piece], piece: _Piece) -> bool:
    sentence_over = group[-1].text.endswith(_SENTENCE_ENDS) and width(_joined(group)) >= COLUMNS // 2
    return (
        sentence_over
        or piece.start - group[-1].end >= _PAUSE
        or piece.end - group[0].start > LONGEST
        or not _fits([*group, piece])
    )


def _fits(pieces: Sequence[_Piece]) -> bool:
    return width(_joined(pieces)) <= COLUMNS or any(
        max(map(width, _cut(pieces, at))) <= COLUMNS for at in range(1, len(pieces))
    )


def _balanced(pieces: Sequence[_Piece]) -> tuple[str, ...]:
    """One line if it fits, else the two lines whose longer one is shortest."""
    whole = _joined(pieces)
    if width(whole) <= COLUMNS:
        return (whole,)
    return min((_cut(pieces, at) for at in range(1, len(pieces))), key=lambda lines: max(map(width, lines)))


def _cut(pieces: Sequence[_Piece], at: int) -> tuple[str, str]:
    return _joined(pieces[:at]), _joined(pieces[at:])


def _joined(pieces: Sequence[_Piece]) -> str:
    return pieces[0].text + "".join(piece.glue + piece.text for piece in pieces[1:])


def width(text: str) -> int:
    """Columns that `text` takes: a wide character, such as a Chinese one, takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
