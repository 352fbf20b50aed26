"""The repository that this program runs from, if it does."""

from pathlib import Path

CLIPS = Path("tests", "data", "clips")


def checkout() -> Path | None:
    """Its root: the nearest directory above this file, or above the working directory, that holds the clips."""
    here = (*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents)
    return next((directory for directory in here if (directory / CLIPS / "manifest.json").is_file()), None)
