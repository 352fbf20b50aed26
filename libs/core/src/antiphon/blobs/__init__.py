"""Blobs keep what is too large for the store: recordings and artifacts."""

from antiphon.blobs.base import Blob, Blobs, UploadLink, check_key, put_bytes, read_all
from antiphon.errors import SettingsError
from antiphon.urls import adapter_for

__all__ = ["Blob", "Blobs", "UploadLink", "check_key", "open_blobs", "put_bytes", "read_all"]


_SETTING = "ANTIPHON_BLOBS_URL"


def _file(url: str) -> Blobs:
    from pathlib import Path
    from urllib.parse import unquote

    from antiphon.blobs.files import FileBlobs

    slashes, path = url[:8], unquote(url[8:])
    if slashes != "file:///" or not path:
        raise SettingsError(f"{_SETTING} is {url!r}, which names no directory; write file:///absolute/directory")
    return FileBlobs(Path("/" + path))


def _s3(url: str) -> Blobs:
    from antiphon.blobs.s3 import S3Blobs

    return S3Blobs(url)


ADAPTERS = {"file": _file, "s3": _s3}


def open_blobs(url: str) -> Blobs:
    """Choose the adapter for `url` by its scheme; enter it to connect. Raises SettingsError."""
    return adapter_for(url, ADAPTERS, _SETTING)
