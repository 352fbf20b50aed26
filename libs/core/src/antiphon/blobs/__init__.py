"""Blobs keep what is too large for the store: recordings and artifacts."""

from antiphon.blobs.base import Blob, Blobs, check_key, put_bytes, read_all
from antiphon.errors import SettingsError

__all__ = ["Blob", "Blobs", "check_key", "open_blobs", "put_bytes", "read_all"]


def _file(url: str) -> Blobs:
    from pathlib import Path
    from urllib.parse import unquote

    from antiphon.blobs.files import FileBlobs

    slashes, path = url[:8], unquote(url[8:])
    if slashes != "file:///" or not path:
        raise SettingsError(f"{url!r} names no directory for blobs; write file:///absolute/directory")
    return FileBlobs(Path("/" + path))


ADAPTERS = {"file": _file}


def open_blobs(url: str) -> Blobs:
    """Choose the adapter for `url` by its scheme; enter it to connect."""
    scheme = url.partition(":")[0]
    if scheme not in ADAPTERS:
        raise SettingsError(f"there are no blobs for the scheme {scheme!r}; known are: {', '.join(sorted(ADAPTERS))}")
    return ADAPTERS[scheme](url)
