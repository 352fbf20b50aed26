"""Blobs as files in a directory: the embedded default, or a shared volume.

A blob is written to a file in `+incoming` (no key can name it), synced, and renamed to its place: rename replaces in
one step (https://pubs.opengroup.org/onlinepubs/9699919799/functions/rename.html). The new name survives a power cut
once its directory is synced as well, and a new directory once its parent is
(https://man7.org/linux/man-pages/man2/fsync.2.html: "does not necessarily ensure that the entry in the directory
containing the file has also reached disk"). So all of them up to the root are synced.

What may be slow runs in threads, in pieces of 1 MiB: a hop to a thread and back costs 80 us, an fsync or a write to a
full page cache may cost seconds. A program that is killed leaves its file in `+incoming`. Others may be writing there,
so whoever opens the directory next removes only what nobody has written to for a day.
"""

import asyncio
import errno
import hashlib
import os
import secrets
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import ParamSpec, TypeVar

from antiphon.blobs.base import Blob, Blobs, check_key
from antiphon.errors import BlobNotFound, Unavailable

PIECE = 1024 * 1024
ABANDONED = 24 * 3600.0
"""Seconds without a write after which nobody is left who would finish a file."""
TRIES = 100
"""How often a directory may be deleted before a blob is renamed into it."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

P = ParamSpec("P")
T = TypeVar("T")


class FileBlobs(Blobs):
    """For this user's eyes only: directories 0700, files 0600."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._incoming = self._root / "+incoming"

    async def open(self) -> None:
        await self._in_thread(self._prepare)

    async def close(self) -> None:
        """Nothing is held between calls."""

    async def ping(self) -> None:
        await self._in_thread(self._try_to_write)

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        path = self._path(key)
        upload = _Upload(self._incoming / secrets.token_hex(16))
        try:
            piece: list[bytes] = []
            held = 0
            async for chunk in chunks:
                piece.append(chunk)
                held += len(chunk)
                if held >= PIECE:
                    await self._in_thread(upload.write, piece)
                    piece, held = [], 0
            await self._in_thread(upload.write, piece)
            await self._in_thread(upload.commit, path, self._root)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(upload.discard))
            raise
        return Blob(key, upload.size, upload.sha256.hexdigest())

    async def size(self, key: str) -> int:
        path = self._path(key)
        if not path.is_file():
            raise BlobNotFound(key)
        return path.stat().st_size

    async def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if start < 0 or (end is not None and end < 0):
            raise ValueError(f"a blob has no bytes from {start} to {end}")
        path = self._path(key)
        try:
            file = path.open("rb")
        except MISSING:
            raise BlobNotFound(key) from None
        with file:  # what is read stays whole, even when the name goes to another file meanwhile
            file.seek(start)
            while end is None or start < end:
                piece = await self._in_thread(file.read, PIECE if end is None else min(PIECE, end - start))
                if not piece:
                    break
                start += len(piece)
                yield piece

    @asynccontextmanager
    async def local(self, key: str, scratch: Path) -> AsyncIterator[Path]:  # noqa: ARG002  the blob is a file already
        path = self._path(key)
        if not path.is_file():
            raise BlobNotFound(key)
        yield path

    async def delete_prefix(self, prefix: str) -> int:
        return await self._in_thread(_delete, self._path(prefix))

    async def move(self, key: str, to: str) -> None:
        source, target = self._path(key), self._path(to)
        if not await self._in_thread(_move, source, target, self._root):
            raise BlobNotFound(key)

    def _path(self, key: str) -> Path:
        check_key(key)
        return self._root / key

    def _prepare(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        for left in self._incoming.iterdir():
            with suppress(FileNotFoundError):  # finished, or removed by another program
                if left.stat().st_mtime < time.time() - ABANDONED:
                    left.unlink()

    def _try_to_write(self) -> None:
        trial = _Upload(self._incoming / secrets.token_hex(16))
        try:
            trial.write([b"?"])
        finally:
            trial.discard()

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except OSError as error:
            advice = "its disk is full; free some space" if error.errno in FULL else error.strerror or str(error)
            raise Unavailable(f"the blobs in {self._root} cannot be reached or kept: {advice}") from error


class _Upload:
    """A blob in the making. Its methods run in threads, one at a time; after `discard` the others do nothing.

    A cancelled caller leaves a thread behind that still works, hence the lock.
    """

    def __init__(self, path: Path) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._path = path
        self._file: BufferedWriter | None = None
        self._lock = threading.Lock()
        self._discarded = False

    def write(self, piece: Iterable[bytes]) -> None:
        with self._lock:
            if self._discarded:
                return
            file = self._open()
            for chunk in piece:
                file.write(chunk)
                self.sha256.update(chunk)
                self.size += len(chunk)
            file.flush()

    def commit(self, path: Path, root: Path) -> None:
        with self._lock:
            if self._discarded:
                return
            with self._open() as file:
                os.fsync(file.fileno())
            _rename(self._path, path, root)

    def discard(self) -> None:
        with self._lock:
            self._discarded = True
            if self._file is not None:
                with suppress(OSError):  # what could not be written is thrown away all the same
                    self._file.close()
            self._path.unlink(missing_ok=True)

    def _open(self) -> BufferedWriter:
        if self._file is None:
            self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        return self._file


def _rename(source: Path, target: Path, root: Path) -> None:
    """Give the blob its name, durably."""
    for _ in range(TRIES):
        try:
            for directory in reversed((target.parent, *target.parent.parents)):
                if directory != root and directory.is_relative_to(root):
                    directory.mkdir(mode=0o700, exist_ok=True)
            source.replace(target)
            break
        except FileNotFoundError:  # a directory on the way was deleted since
            if not source.exists():
                raise
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            if target.is_dir() or any(directory.is_file() for directory in target.parents):
                raise ValueError(
                    f"{target.relative_to(root)} and a key that it continues cannot both be blobs"
                ) from None
            # mkdir found a directory that was deleted before it could see what it was
    else:
        raise FileNotFoundError(errno.ENOENT, "its directory is deleted again and again", str(target))
    for directory in (target.parent, *target.parent.parents):
        _sync_directory(directory)
        if directory == root:
            break


def _move(source: Path, target: Path, root: Path) -> bool:
    """Whether there was a blob to be moved."""
    if not source.is_file():
        return False
    try:
        _rename(source, target, root)
    except FileNotFoundError:
        if source.exists():
            raise
        return False  # deleted, or moved by somebody else, since we looked
    directory = source.parent
    with suppress(OSError):  # the first one that holds other blobs stays
        while directory != root:
            directory.rmdir()
            directory = directory.parent
    _sync_directory(directory)
    return True


def _delete(path: Path) -> int:
    if path.is_file():
        path.unlink(missing_ok=True)
        deleted = 1
    else:
        deleted = 0
        for directory, _, files in os.walk(path, topdown=False):
            for name in files:
                Path(directory, name).unlink(missing_ok=True)
            deleted += len(files)
            with suppress(FileNotFoundError, OSError):  # a blob has just come in
                Path(directory).rmdir()
    if deleted:
        _sync_directory(path.parent)
    return deleted


def _sync_directory(directory: Path) -> None:
    with suppress(FileNotFoundError):  # deleted with all that was in it
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
