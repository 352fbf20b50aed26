"""What blobs in files promise beyond the port: durable, private, and nothing left behind."""

import asyncio
import errno
import os
import resource
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from antiphon.blobs import open_blobs, put_bytes, read_all
from antiphon.blobs.files import ABANDONED, FileBlobs, _Upload
from antiphon.errors import BlobNotFound, SettingsError, Unavailable

MEBIBYTE = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "blobs"


@pytest.fixture
async def blobs(root: Path) -> AsyncIterator[FileBlobs]:
    async with FileBlobs(root) as blobs:
        yield blobs


def incoming(root: Path) -> list[Path]:
    return list((root / "+incoming").iterdir())


def modes(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The disk is full for files that grow beyond `size`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_blobs_are_for_their_user_alone(blobs: FileBlobs, root: Path) -> None:
    await put_bytes(blobs, "tenant/job/source", b"x")
    assert modes(root) == {
        ".": 0o700,
        "+incoming": 0o700,
        "tenant": 0o700,
        "tenant/job": 0o700,
        "tenant/job/source": 0o600,
    }


async def test_a_blob_has_its_name_only_once_its_bytes_are_safe_and_then_the_name_is_made_safe(
    blobs: FileBlobs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, int, bool]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/dev/fd/{descriptor}").resolve()
        size = path.stat().st_size if path.is_file() else 0
        synced.append((str(path.relative_to(root)).partition("/")[0], size, (root / "a/b/c").exists()))

    monkeypatch.setattr(os, "fsync", watched)
    await put_bytes(blobs, "a/b/c", b"12345")
    assert synced == [("+incoming", 5, False), ("a", 0, True), ("a", 0, True), (".", 0, True)]


async def test_nothing_is_left_of_what_did_not_become_a_blob(blobs: FileBlobs, root: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 2 * MEBIBYTE
        assert len(incoming(root)) == 1
        raise EOFError

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x" * 2 * MEBIBYTE
        started.set()
        await asyncio.Event().wait()

    with pytest.raises(EOFError):
        await blobs.put("tenant/job/broken", broken())
    started = asyncio.Event()
    putting = asyncio.create_task(blobs.put("tenant/job/stuck", stuck()))
    await started.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert set(modes(root)) == {".", "+incoming"}


async def test_a_put_that_is_cancelled_while_a_thread_writes_leaves_nothing(blobs: FileBlobs, root: Path) -> None:
    for turns in range(12):
        putting = asyncio.create_task(put_bytes(blobs, "key", b"x" * 4 * MEBIBYTE))
        for _ in range(turns):
            await asyncio.sleep(0)
        putting.cancel()
        await asyncio.wait([putting])
        assert incoming(root) == []


def test_a_thread_that_comes_after_the_cancellation_writes_nothing(tmp_path: Path) -> None:
    upload = _Upload(tmp_path / "upload")
    upload.discard()
    upload.write([b"x"])
    upload.commit(tmp_path / "blob", tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_full_disk_says_so_and_keeps_what_was_there(blobs: FileBlobs, root: Path) -> None:
    await put_bytes(blobs, "key", b"before")
    with no_file_beyond(MEBIBYTE), pytest.raises(Unavailable, match="free some space"):
        await put_bytes(blobs, "key", b"x" * 3 * MEBIBYTE)
    assert incoming(root) == []
    assert await read_all(blobs, "key", MEBIBYTE) == b"before"
    with no_file_beyond(0), pytest.raises(Unavailable, match="free some space"):
        await blobs.ping()
    assert incoming(root) == []
    await blobs.ping()


async def test_what_a_killed_program_left_goes_after_a_day(root: Path) -> None:
    async with FileBlobs(root):
        pass
    old, young = root / "+incoming" / "old", root / "+incoming" / "young"
    for path, age in ((old, ABANDONED + 60), (young, ABANDONED - 60)):
        path.touch()
        os.utime(path, (time.time() - age, time.time() - age))
    async with FileBlobs(root):
        assert incoming(root) == [young]


async def test_the_local_file_is_the_stored_one(blobs: FileBlobs, root: Path, tmp_path: Path) -> None:
    await put_bytes(blobs, "tenant/source", b"x")
    async with blobs.local("tenant/source", tmp_path) as path:
        assert path == root / "tenant" / "source"


async def test_a_key_that_continues_another_is_refused_and_harms_nobody(blobs: FileBlobs, root: Path) -> None:
    await put_bytes(blobs, "a/b", b"x")
    for key in ("a/b/c", "a/b/c/d", "a"):
        with pytest.raises(ValueError, match="cannot both be blobs"):
            await put_bytes(blobs, key, b"y")
    assert await read_all(blobs, "a/b", 10) == b"x"
    assert incoming(root) == []


async def test_a_directory_that_is_deleted_while_it_is_looked_at_is_made_again(
    blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = os.mkdir
    deleted: list[Path] = []

    def raced(path: Path, mode: int) -> None:
        if path.name == "job" and not deleted:
            deleted.append(path)
            raise FileExistsError(errno.EEXIST, "it was there a moment ago", str(path))
        mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", raced)
    await put_bytes(blobs, "tenant/job/source", b"x")
    assert deleted
    assert await read_all(blobs, "tenant/job/source", 10) == b"x"


async def test_a_deleted_prefix_leaves_no_directory(blobs: FileBlobs, root: Path) -> None:
    await put_bytes(blobs, "tenant/job/deep/down", b"x")
    await put_bytes(blobs, "tenant/other", b"x")
    assert await blobs.delete_prefix("tenant/job") == 1
    assert set(modes(root)) == {".", "+incoming", "tenant", "tenant/other"}


async def test_a_moved_blob_has_its_new_name_safely_before_the_old_one_goes_and_leaves_no_directory(
    blobs: FileBlobs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_bytes(blobs, "standard/tenant/job/source", b"x")
    await put_bytes(blobs, "standard/other", b"x")
    synced: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(str(Path(f"/dev/fd/{descriptor}").resolve().relative_to(root)))

    monkeypatch.setattr(os, "fsync", watched)
    await blobs.move("standard/tenant/job/source", "ephemeral/tenant/source")
    assert synced == ["ephemeral/tenant", "ephemeral", ".", "standard"]
    assert set(modes(root)) == {
        *(".", "+incoming", "ephemeral", "ephemeral/tenant", "ephemeral/tenant/source", "standard", "standard/other")
    }


async def test_a_move_that_would_continue_another_key_moves_nothing(blobs: FileBlobs) -> None:
    await put_bytes(blobs, "a", b"x")
    await put_bytes(blobs, "b", b"y")
    for to in ("b/c", "a/b"):
        with pytest.raises(ValueError, match="cannot both be blobs"):
            await blobs.move("a", to)
    assert await read_all(blobs, "a", 10) == b"x"


async def test_a_blob_that_goes_while_it_is_moved_is_not_found(
    blobs: FileBlobs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = os.mkdir

    def raced(path: Path, mode: int) -> None:
        (root / "from" / "source").unlink()
        mkdir(path, mode)

    await put_bytes(blobs, "from/source", b"x")
    monkeypatch.setattr(os, "mkdir", raced)
    with pytest.raises(BlobNotFound):
        await blobs.move("from/source", "to/source")


async def test_a_move_whose_directory_is_deleted_again_and_again_keeps_the_blob(
    blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_bytes(blobs, "from/source", b"x")
    monkeypatch.setattr(os, "mkdir", lambda *_: None)
    with pytest.raises(Unavailable, match="deleted again and again"):
        await blobs.move("from/source", "to/source")
    assert await read_all(blobs, "from/source", 10) == b"x"


async def test_files_have_no_links(blobs: FileBlobs) -> None:
    await put_bytes(blobs, "key", b"x")
    assert await blobs.link("key", seconds=60) is None
    assert await blobs.upload_link("key", seconds=60, size=1) is None


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=f"{tmp_path}/file/blobs"):
        await FileBlobs(tmp_path / "file" / "blobs").open()


async def test_a_directory_that_went_away_is_noticed(blobs: FileBlobs, root: Path) -> None:
    await blobs.ping()
    (root / "+incoming").rmdir()
    with pytest.raises(Unavailable):
        await blobs.ping()
    with pytest.raises(Unavailable):
        await put_bytes(blobs, "key", b"x")
    with pytest.raises(BlobNotFound):
        await blobs.size("key")


async def test_an_address_is_a_file_url(tmp_path: Path) -> None:
    root = tmp_path / "with space%"
    async with open_blobs(root.as_uri()) as blobs:
        await put_bytes(blobs, "key", b"x")
    assert set(modes(root)) == {".", "+incoming", "key"}


@pytest.mark.parametrize("url", ["file:", "file://", "file:///", "file://host/directory", "file:directory"])
def test_an_address_without_a_directory_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="names no directory"):
        open_blobs(url)


@pytest.mark.parametrize("url", ["", "/var/blobs", "ftp://host/blobs"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(url: str) -> None:
    with pytest.raises(SettingsError, match="known are: file"):
        open_blobs(url)
