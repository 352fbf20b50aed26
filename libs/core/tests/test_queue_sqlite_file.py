"""What becomes of the SQLite queue when its file is deleted, replaced, damaged, out of reach, or too large."""

import asyncio
import logging
import os
import resource
import shutil
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from antiphon.errors import SchemaOutdated, SettingsError, Unavailable
from antiphon.jobs import Priority
from antiphon.messages import Message
from antiphon.queue import Depth, Received, SendOutcome, open_queue, sqlite_file
from antiphon.queue.sqlite import SqliteQueue

LONG = 60.0


def message(job: str, priority: Priority = Priority.NORMAL) -> Message:
    return Message(job, 1, 0, priority=priority)


def jobs(received: Sequence[Received]) -> list[str]:
    return [each.message.job for each in received]


def run_sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "queue.db"


@pytest.fixture
async def queue(path: Path) -> AsyncIterator[SqliteQueue]:
    async with SqliteQueue(path) as queue:
        yield queue


async def test_the_file_is_for_its_user_alone(queue: SqliteQueue, path: Path) -> None:
    await queue.send([message("a")])
    for file in path.parent.glob("queue.db*"):
        if file.name != "queue.db-lock":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_commits_do_not_wait_for_the_disk(queue: SqliteQueue) -> None:
    connection = await queue._current()
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (1,)


async def test_many_programs_that_start_at_once_share_one_file(path: Path) -> None:
    queues = [SqliteQueue(path) for _ in range(12)]
    await asyncio.gather(*(queue.open() for queue in queues))
    for number, queue in enumerate(queues):
        await queue.send([message(f"job-{number}")])
    assert len(await queues[0].receive(20, wait=0, lease=LONG)) == 12
    await asyncio.gather(*(queue.close() for queue in queues))


def _delete(path: Path) -> None:
    path.unlink()


def _delete_all(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def _delete_directory(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("lose", [_delete, _delete_all, _delete_directory])
async def test_a_file_that_is_deleted_is_made_again_and_everybody_moves_there(
    lose: Callable[[Path], None], path: Path, queue: SqliteQueue
) -> None:
    async with SqliteQueue(path) as other:
        await queue.send([message("before")])
        waiting = asyncio.create_task(other.receive(1, wait=LONG, lease=LONG, pool="quiet"))
        await asyncio.sleep(0.02)
        lose(path)
        assert await queue.send([message("before")]) == [SendOutcome.SENT], "what was lost is no duplicate"
        await queue.send([Message("quiet", 1, 0, pool="quiet")])
        assert jobs(await asyncio.wait_for(waiting, timeout=LONG / 2)) == ["quiet"]
        assert jobs(await other.receive(1, wait=LONG, lease=LONG)) == ["before"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_file_that_is_replaced_is_followed(path: Path, queue: SqliteQueue) -> None:
    await queue.send([message("before")])
    received = await queue.receive(1, wait=0, lease=LONG)
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.sleep(0.02)
    async with SqliteQueue(path.with_name("new.db")) as new:
        await new.send([message("after")])
    _delete_all(path)
    path.with_name("new.db").replace(path)
    assert jobs(await asyncio.wait_for(waiting, timeout=LONG / 2)) == ["after"]
    assert await queue.ack(received) == [False]


LISTENER = """
import asyncio, sys
from antiphon.messages import Message
from antiphon.queue import open_queue

async def main(url):
    async with open_queue(url) as queue:
        await queue.send([Message(f"before-{number}", 1, 0) for number in range(50)])
        print("ready", flush=True)
        sys.stdin.readline()
        job = "before"
        while job.startswith("before"):  # it looks for a new file now and then, not with every receive
            [received] = await queue.receive(1, wait=30, lease=30)
            job = received.message.job
        print(job)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_file_made_anew_shares_nothing_with_what_another_process_still_has_open(path: Path) -> None:
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LISTENER, f"sqlite:///{path}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"ready\n"
    _delete(path)
    async with SqliteQueue(path) as queue:
        for number in range(50):
            await queue.send([message(f"after-{number}")])
        out, _ = await asyncio.wait_for(other.communicate(b"go\n"), timeout=LONG)
        assert out == b"after-0\n"
        assert (await queue.depth())[Priority.NORMAL] == Depth(available=49, in_flight=1)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_the_depth_is_that_of_the_new_file(path: Path, queue: SqliteQueue) -> None:
    await queue.send([message("a")])
    _delete(path)
    assert (await queue.depth())[Priority.NORMAL] == Depth()


async def test_a_file_of_rubbish_is_moved_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(path, b"rubbish" * 1000)
    async with SqliteQueue(path) as queue:
        assert await queue.send([message("a")]) == [SendOutcome.SENT]
    assert read(path.with_name("queue.db.damaged")) == b"rubbish" * 1000
    assert "damaged" in caplog.text


async def test_a_file_that_breaks_in_use_is_moved_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with SqliteQueue(path) as queue:
        await queue.send([message(f"job-{number}") for number in range(500)])
    sound = read(path)
    schema = 12 * sqlite_file.PAGE  # and what else is found before the messages are
    write(path, sound[:schema] + os.urandom(len(sound) - schema))
    async with SqliteQueue(path) as queue, SqliteQueue(path) as other:
        caplog.set_level(logging.WARNING)
        assert await queue.receive(1, wait=0, lease=LONG) == []
        assert await queue.send([message("job-1")]) == [SendOutcome.SENT]
        assert jobs(await other.receive(9, wait=0, lease=LONG)) == ["job-1"]
    assert path.with_name("queue.db.damaged").exists()
    assert caplog.text.count("is damaged") == 1


async def test_the_database_of_something_else_is_not_touched(path: Path) -> None:
    path.parent.mkdir()
    run_sql(path, "CREATE TABLE job (id TEXT)")
    before = read(path)
    with pytest.raises(SettingsError, match="something else"):
        await SqliteQueue(path).open()
    assert read(path) == before


async def test_the_file_of_another_version_is_refused_with_advice(path: Path) -> None:
    async with SqliteQueue(path):
        pass
    run_sql(path, "PRAGMA user_version = 2")
    with pytest.raises(SchemaOutdated, match="version 2, and this program reads 1"):
        await SqliteQueue(path).open()


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="out of reach"):
        await SqliteQueue(tmp_path / "file" / "queue.db").open()


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (sqlite3.SQLITE_FULL, "free some space"),
        (sqlite3.SQLITE_READONLY, "write access"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "write access"),
        (sqlite3.SQLITE_CANTOPEN, "access to its folder"),
        (sqlite3.SQLITE_IOERR_WRITE, "check the disk"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "fuser"),
    ],
)
def test_an_error_of_the_disk_says_what_to_do(code: int, advice: str, path: Path) -> None:
    error = sqlite3.OperationalError("it went wrong")
    error.sqlite_errorcode = code
    explained = sqlite_file.explained(error, path)
    assert isinstance(explained, Unavailable)
    assert advice in str(explained)
    assert str(path) in str(explained)


def test_an_error_of_ours_is_not_explained_away(path: Path) -> None:
    error = sqlite3.OperationalError("near SELEKT: syntax error")
    assert sqlite_file.explained(error, path) is error


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The disk is full for files that grow beyond `size`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_refuses_a_batch_whole_and_heals(queue: SqliteQueue) -> None:
    await queue.send([message("before")])
    with no_file_beyond(64 * 1024), pytest.raises(Unavailable):
        await queue.send([message(f"job-{number}") for number in range(2000)])
    assert (await queue.depth())[Priority.NORMAL] == Depth(available=1)
    assert await queue.send([message("after")]) == [SendOutcome.SENT]
    assert jobs(await queue.receive(9, wait=0, lease=LONG)) == ["before", "after"]


async def test_an_address_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_queue("sqlite:///below/queue.db") as queue:
        await queue.send([message("a")])
    async with open_queue(f"sqlite:///{tmp_path}/below/queue.db") as queue:
        assert jobs(await queue.receive(1, wait=0, lease=LONG)) == ["a"]


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite://host/queue.db", "sqlite:///:memory:", "sqlite:q.db"]
)
def test_an_address_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="names no file"):
        open_queue(url)


@pytest.mark.parametrize("url", ["", "queue.db", "kafka://host"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(url: str) -> None:
    with pytest.raises(SettingsError, match=r"known are: .*sqlite"):
        open_queue(url)
