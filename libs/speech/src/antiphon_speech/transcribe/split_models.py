"""Models that two packages bring in halves, because package indexes limit the size of a file.

The halves are joined once per machine, into a cache that is named by the checksum of the whole.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from antiphon_speech.errors import EngineUnavailable

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class SplitModel:
    """Packages whose folder `data` holds model.bin.part1, model.bin.part2 ...; the first has the small files too."""

    packages: tuple[str, ...]
    sha256: str


def joined(model: SplitModel) -> Path:
    """The directory of the whole model, made when it is not there yet.

    Safe against being stopped and against others that do the same: it appears by one rename, after its checksum was
    right. Raises EngineUnavailable when the halves do not add up to the model.
    """
    target = _cache() / model.sha256
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        whole = Path(scratch) / "model"
        _join(model, whole)
        try:
            whole.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster, with the same bytes
                raise
    return target


def _join(model: SplitModel, whole: Path) -> None:
    folders = [resources.files(package) / "data" for package in model.packages]
    with resources.as_file(folders[0]) as first:
        shutil.copytree(first, whole, ignore=shutil.ignore_patterns("model.bin.*"))
    digest = hashlib.sha256()
    with (whole / "model.bin").open("wb") as out:
        for number, folder in enumerate(folders, start=1):
            with (folder / f"model.bin.part{number}").open("rb") as part:
                while block := part.read(_BLOCK):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != model.sha256:
        raise EngineUnavailable(
            f"the packages {' and '.join(model.packages)} do not add up to the model that they promise "
            "(wrong checksum); reinstall them"
        )


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "antiphon" / "models"
