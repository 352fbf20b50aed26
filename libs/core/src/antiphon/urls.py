"""What the four ports share in reading their URLs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from antiphon.errors import SettingsError

T = TypeVar("T")


def adapter_for(url: str, adapters: Mapping[str, Callable[[str], T]], setting: str) -> T:
    """The adapter that the URL's scheme chooses. Raises SettingsError with the schemes that `setting` knows."""
    scheme = url.partition(":")[0]
    if scheme not in adapters:
        raise SettingsError(f"{setting} has the scheme {scheme!r}; known are: {', '.join(sorted(adapters))}")
    return adapters[scheme](url)


def sqlite_path(url: str, setting: str) -> Path:
    """The file that `sqlite:///relative.db` or `sqlite:////absolute.db` names. Raises SettingsError."""
    slashes, path = url[:10], url[10:]
    if slashes != "sqlite:///" or path in {"", ":memory:"}:
        raise SettingsError(
            f"{setting} is {url!r}, which names no file; write sqlite:///relative.db or sqlite:////absolute.db"
        )
    return Path(path)
