"""Names that callers give their files: shown to people, never used as a path."""

import unicodedata

MAX_LENGTH = 200
FALLBACK = "recording"


def clean(name: str | None) -> str:
    """The last segment of `name`, without what could deceive a reader or a terminal; FALLBACK if nothing is left.

    Control and format characters go (Unicode categories C*: among them line ends, NUL and the marks that turn the
    direction of text), blanks become single spaces. Long names keep their ending.
    """
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    spaced = "".join(" " if character.isspace() else character for character in last)
    visible = "".join(character for character in spaced if unicodedata.category(character)[0] != "C")
    tidy = " ".join(unicodedata.normalize("NFC", visible).split()).strip(". ")
    if len(tidy) > MAX_LENGTH:
        stem, dot, ending = tidy.rpartition(".")
        tidy = f"{stem[: MAX_LENGTH - len(ending) - 1]}.{ending}" if dot and len(ending) <= 10 else tidy[:MAX_LENGTH]
    return tidy or FALLBACK
