"""The files that an analysis leaves: by which word a caller asks for them, and how they are called on disk."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath

from antiphon_cli.errors import CommandError, UsageError


class Format(StrEnum):
    """What `--format` takes."""

    TXT = "txt"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"
    TEXTGRID = "TextGrid"
    CSV = "csv"
    ALL = "all"


ARTIFACTS = {
    Format.TXT: "transcript.txt",
    Format.JSON: "result.json",
    Format.SRT: "transcript.srt",
    Format.VTT: "transcript.vtt",
    Format.TEXTGRID: "words.TextGrid",
    Format.CSV: "pitch.csv",
}
"""The artifact that a format asks for. A test holds them equal to what the stage `render` writes."""

RESULT = ARTIFACTS[Format.JSON]

_ENDINGS = {
    "transcript.txt": ".txt",
    "result.json": ".json",
    "transcript.srt": ".srt",
    "transcript.vtt": ".vtt",
    "words.TextGrid": ".TextGrid",
    "pitch.csv": ".pitch.csv",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """The artifacts that a caller asks for, by name. Whoever asks for `all` takes what there is."""

    names: tuple[str, ...]
    whatever_there_is: bool

    @classmethod
    def of(cls, formats: Collection[Format], out: Path | None) -> "Wish":
        """The transcript by default, and everything into a directory.

        Raises UsageError for several formats that would all go to standard output.
        """
        chosen = set(formats) or {Format.TXT if out is None else Format.ALL}
        everything = Format.ALL in chosen
        if out is None and (len(chosen) > 1 or everything):
            raise UsageError("several formats need a directory to be written into: --out DIR")
        return cls(tuple(name for form, name in ARTIFACTS.items() if everything or form in chosen), everything)

    def granted(self, artifacts: Mapping[str, bytes]) -> dict[str, bytes]:
        """Those that are wished for. Raises CommandError if one is missing that was asked for by its name."""
        missing = [name for name in self.names if name not in artifacts]
        if missing and not self.whatever_there_is:
            raise CommandError(f"this pipeline leaves no {missing[0]}; see --pipeline")
        return {name: artifacts[name] for name in self.names if name in artifacts}


def file_name(recording: str, artifact: str) -> str:
    """How an artifact is called on disk: `clip.TextGrid` for `clip.wav`, as Praat's users do."""
    name = PurePath(recording.replace("\\", "/")).name
    return (PurePath(name).stem or "recording") + _ENDINGS.get(artifact, f".{artifact}")


def refuse_clashes(recordings: Collection[Path]) -> None:
    """Raise UsageError if the artifacts of two recordings would get the same names."""
    seen: dict[str, Path] = {}
    for recording in recordings:
        other = seen.setdefault(file_name(recording.name, RESULT), recording)
        if other is not recording:
            raise UsageError(
                f"{other} and {recording} would be written to the same files; analyse them into different directories"
            )


def write(artifacts: Mapping[str, bytes], recording: str, out: Path) -> list[Path]:
    """Write them into `out`, which is made if need be. Raises CommandError."""
    paths = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, data in artifacts.items():
            path = out / file_name(recording, name)
            path.write_bytes(data)
            paths.append(path)
    except OSError as error:
        raise CommandError(f"cannot write to {error.filename or out}: {error.strerror}") from None
    return paths
