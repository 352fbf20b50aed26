"""What every blob store promises."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.blobs import Blob, Blobs, put_bytes, read_all
from antiphon.errors import BlobNotFound

MEBIBYTE = 1024 * 1024
LIMIT = 64 * MEBIBYTE


async def stream(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_blob_comes_back_as_it_was_put(blobs: Blobs) -> None:
    content = bytes(range(256)) * 20
    blob = await blobs.put("tenant/job/source", stream([content[:1], b"", content[1:5000], content[5000:]]))
    assert blob == Blob("tenant/job/source", len(content), hashlib.sha256(content).hexdigest())
    assert await blobs.size("tenant/job/source") == len(content)
    assert await read_all(blobs, "tenant/job/source", LIMIT) == content


async def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    blob = await blobs.put("empty", stream([]))
    assert (blob.size, blob.sha256) == (0, hashlib.sha256().hexdigest())
    assert await blobs.size("empty") == 0
    assert [chunk async for chunk in blobs.read("empty")] == []


async def test_a_blob_that_is_not_there_is_not_found(blobs: Blobs, tmp_path: Path) -> None:
    await put_bytes(blobs, "tenant/job/source", b"")
    for key in ("nothing", "tenant", "tenant/job", "tenant/job/source/below"):
        with pytest.raises(BlobNotFound):
            await blobs.size(key)
        with pytest.raises(BlobNotFound):
            await read_all(blobs, key, LIMIT)
        with pytest.raises(BlobNotFound):
            await anext(blobs.read(key, start=1, end=1))
        with pytest.raises(BlobNotFound):
            async with blobs.local(key, tmp_path):
                pass


@pytest.mark.parametrize(
    "key",
    [
        *("", "/", "/etc/passwd", "a/", "/a", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "a/../../b", "./a"),
        *("a\\b", "a b", "a\n", "a\x00", "é", "a/%2e%2e/b", "~", "a:b", "+incoming/x", "a*", "٣"),
        *("x" * 201, "/".join(["x" * 100] * 11)),
    ],
)
async def test_a_key_that_could_name_something_else_is_refused(key: str, blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not the key of a blob"):
        await put_bytes(blobs, key, b"x")
    with pytest.raises(ValueError, match="is not the key of a blob"):
        await blobs.size(key)
    with pytest.raises(ValueError, match="is not the key of a blob"):
        await read_all(blobs, key, LIMIT)
    with pytest.raises(ValueError, match="is not the key of a blob"):
        async with blobs.local(key, tmp_path):
            pass
    with pytest.raises(ValueError, match="is not the key of a blob"):
        await blobs.delete_prefix(key)


@pytest.mark.parametrize("key", ["a", "...", ".a", "..a", "a..b", "-", "_", "A-b_c.D/0190/3.wav", "x" * 200])
async def test_a_key_of_plain_segments_is_taken(key: str, blobs: Blobs) -> None:
    await put_bytes(blobs, key, b"x")
    assert await read_all(blobs, key, LIMIT) == b"x"


@given(content=st.binary(max_size=200), start=st.integers(0, 220), end=st.none() | st.integers(0, 220))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
async def test_a_range_is_what_slicing_gives(blobs: Blobs, content: bytes, start: int, end: int | None) -> None:
    await put_bytes(blobs, "range", content)
    assert b"".join([chunk async for chunk in blobs.read("range", start=start, end=end)]) == content[start:end]


async def test_a_range_of_a_large_blob_is_exact(blobs: Blobs) -> None:
    content = hashlib.shake_256(b"seed").digest(5 * MEBIBYTE + 3)
    await put_bytes(blobs, "large", content)
    for start, end in [(0, None), (MEBIBYTE - 1, 3 * MEBIBYTE + 1), (5 * MEBIBYTE, None), (2, 3)]:
        assert b"".join([chunk async for chunk in blobs.read("large", start=start, end=end)]) == content[start:end]


@pytest.mark.parametrize(("start", "end"), [(-1, None), (0, -1)])
async def test_a_range_before_the_beginning_is_refused(start: int, end: int, blobs: Blobs) -> None:
    await put_bytes(blobs, "key", b"abc")
    with pytest.raises(ValueError, match="no bytes"):
        [chunk async for chunk in blobs.read("key", start=start, end=end)]


async def test_what_was_there_is_replaced(blobs: Blobs) -> None:
    await put_bytes(blobs, "key", b"a long first content")
    await put_bytes(blobs, "key", b"second")
    assert await read_all(blobs, "key", LIMIT) == b"second"


async def test_a_put_shows_only_when_it_is_complete(blobs: Blobs) -> None:
    await put_bytes(blobs, "key", b"before")
    halfway, go_on = asyncio.Event(), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x" * 3 * MEBIBYTE
        halfway.set()
        await go_on.wait()
        yield b"x" * 3 * MEBIBYTE

    putting = asyncio.create_task(blobs.put("key", chunks()))
    new = asyncio.create_task(blobs.put("new", stream([b"another, at the same time"])))
    await halfway.wait()
    assert await read_all(blobs, "key", LIMIT) == b"before"
    go_on.set()
    await asyncio.gather(putting, new)
    assert await blobs.size("key") == 6 * MEBIBYTE


class Interrupted(ConnectionError):
    """The client went away. An OSError, as it is for real, which is not the disk's."""


@pytest.mark.parametrize("sent", [0, 10, 3 * MEBIBYTE])
async def test_a_stream_that_breaks_leaves_what_was_there(sent: int, blobs: Blobs) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * sent
        raise Interrupted

    await put_bytes(blobs, "tenant/kept", b"before")
    for key in ("tenant/kept", "tenant/new"):
        with pytest.raises(Interrupted):
            await blobs.put(key, broken())
    assert await read_all(blobs, "tenant/kept", LIMIT) == b"before"
    with pytest.raises(BlobNotFound):
        await blobs.size("tenant/new")


async def test_a_put_that_is_cancelled_leaves_what_was_there(blobs: Blobs) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * MEBIBYTE
            started.set()

    await put_bytes(blobs, "key", b"before")
    putting = asyncio.create_task(blobs.put("key", endless()))
    await started.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await read_all(blobs, "key", LIMIT) == b"before"


async def test_a_reader_keeps_what_it_began_to_read(blobs: Blobs) -> None:
    await put_bytes(blobs, "key", b"a" * 3 * MEBIBYTE)
    reading = blobs.read("key")
    parts = [await anext(reading)]
    await put_bytes(blobs, "key", b"b" * 3 * MEBIBYTE)
    parts += [chunk async for chunk in reading]
    assert b"".join(parts) == b"a" * 3 * MEBIBYTE


async def test_of_concurrent_puts_one_wins_whole(blobs: Blobs) -> None:
    contents = [bytes([number]) * (2 * MEBIBYTE + number) for number in range(8)]
    await asyncio.gather(*(put_bytes(blobs, "key", content) for content in contents))
    assert await read_all(blobs, "key", LIMIT) in contents


async def test_a_large_blob_passes_in_little_memory(blobs: Blobs) -> None:
    size, chunk = 80 * MEBIBYTE, b"x" * 65536
    tracemalloc.start()
    try:
        blob = await blobs.put("large", stream(chunk for _ in range(size // len(chunk))))
        read = 0
        async for piece in blobs.read("large"):
            read += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert blob.size == read == size
    assert peak < 40 * MEBIBYTE


async def test_a_local_file_has_the_bytes(blobs: Blobs, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    await put_bytes(blobs, "tenant/job/source", b"audio")
    async with blobs.local("tenant/job/source", scratch) as path:
        assert path.read_bytes() == b"audio"
    assert list(scratch.iterdir()) == []
    assert await read_all(blobs, "tenant/job/source", LIMIT) == b"audio"


async def test_a_prefix_is_of_segments_not_of_letters(blobs: Blobs) -> None:
    for key in ("a/b/one", "a/b/c/two", "a/bc/three", "a/b.wav", "ab"):
        await put_bytes(blobs, key, b"x")
    assert await blobs.delete_prefix("a/b") == 2
    for key in ("a/bc/three", "a/b.wav", "ab"):
        assert await blobs.size(key) == 1
    for key in ("a/b/one", "a/b/c/two"):
        with pytest.raises(BlobNotFound):
            await blobs.size(key)
    assert await blobs.delete_prefix("a") == 2
    assert await blobs.size("ab") == 1


async def test_a_whole_key_is_a_prefix_too(blobs: Blobs) -> None:
    await put_bytes(blobs, "a/b", b"x")
    assert await blobs.delete_prefix("a/b") == 1
    assert await blobs.delete_prefix("a/b") == 0
    await put_bytes(blobs, "a/b/c", b"x")
    assert await read_all(blobs, "a/b/c", LIMIT) == b"x"


async def test_puts_and_deletions_under_one_prefix_do_not_disturb_each_other(blobs: Blobs) -> None:
    async def put(number: int) -> None:
        for _ in range(60):
            await put_bytes(blobs, f"tenant/job/deep/{number}", b"x")

    async def delete() -> None:
        while not putting.done():
            await blobs.delete_prefix("tenant/job")

    putting = asyncio.gather(put(1), put(2))
    await asyncio.gather(putting, delete(), delete())
    await put_bytes(blobs, "tenant/job/deep/3", b"x")
    assert await blobs.size("tenant/job/deep/3") == 1


async def test_a_key_that_continues_another_is_refused_or_kept_beside_it(blobs: Blobs) -> None:
    await put_bytes(blobs, "a/b", b"x")
    try:
        await put_bytes(blobs, "a/b/c", b"y")
    except ValueError:
        with pytest.raises(BlobNotFound):
            await blobs.size("a/b/c")
    else:
        assert await read_all(blobs, "a/b/c", LIMIT) == b"y"
    assert await read_all(blobs, "a/b", LIMIT) == b"x"


async def test_a_blob_that_is_moved_has_its_new_key_alone(blobs: Blobs) -> None:
    await put_bytes(blobs, "standard/tenant/job/source", b"audio")
    await put_bytes(blobs, "standard/tenant/other/source", b"another")
    await blobs.move("standard/tenant/job/source", "ephemeral/tenant/job/source")
    assert await read_all(blobs, "ephemeral/tenant/job/source", LIMIT) == b"audio"
    with pytest.raises(BlobNotFound):
        await blobs.size("standard/tenant/job/source")
    assert await blobs.delete_prefix("standard") == 1


async def test_a_move_replaces_what_was_there(blobs: Blobs) -> None:
    await put_bytes(blobs, "old", b"moved")
    await put_bytes(blobs, "new", b"replaced")
    await blobs.move("old", "new")
    assert await read_all(blobs, "new", LIMIT) == b"moved"


async def test_a_move_onto_itself_changes_nothing(blobs: Blobs) -> None:
    await put_bytes(blobs, "tenant/job/source", b"audio")
    await blobs.move("tenant/job/source", "tenant/job/source")
    assert await read_all(blobs, "tenant/job/source", LIMIT) == b"audio"


async def test_what_is_not_there_cannot_be_moved(blobs: Blobs) -> None:
    await put_bytes(blobs, "tenant/job/source", b"audio")
    await put_bytes(blobs, "to", b"before")
    for key in ("nothing", "tenant/job", "tenant/job/source/below"):
        with pytest.raises(BlobNotFound):
            await blobs.move(key, "to")
    assert await read_all(blobs, "to", LIMIT) == b"before"


@pytest.mark.parametrize(("key", "to"), [("../a", "b"), ("a", "../b"), ("a/", "b"), ("a", "")])
async def test_a_move_takes_keys_alone(key: str, to: str, blobs: Blobs) -> None:
    await put_bytes(blobs, "a", b"x")
    with pytest.raises(ValueError, match="is not the key of a blob"):
        await blobs.move(key, to)
    assert await read_all(blobs, "a", LIMIT) == b"x"


async def test_more_than_the_limit_is_not_read_into_memory(blobs: Blobs) -> None:
    await put_bytes(blobs, "key", b"abcd")
    assert await read_all(blobs, "key", 4) == b"abcd"
    with pytest.raises(ValueError, match="more than 3 bytes"):
        await read_all(blobs, "key", 3)


async def test_it_answers_while_open_and_closes_twice(blobs: Blobs) -> None:
    await blobs.ping()
    await blobs.close()
    await blobs.close()
