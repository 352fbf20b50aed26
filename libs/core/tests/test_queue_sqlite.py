"""What the SQLite queue promises beyond the port: order, its file, its locks, and a loop that is never blocked."""

import asyncio
import logging
import os
import resource
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from antiphon.errors import SchemaOutdated, SettingsError, Unavailable
from antiphon.jobs import Priority
from antiphon.messages import Message
from antiphon.queue import Depth, Received, SendOutcome, open_queue, sqlite, sqlite_file
from antiphon.queue.sqlite import SqliteQueue

LONG = 60.0


class Clock:
    """Stands still."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


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
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def queue(path: Path, clock: Clock) -> AsyncIterator[SqliteQueue]:
    async with SqliteQueue(path, clock=clock, random=Random(1)) as queue:
        yield queue


# order


async def test_within_a_priority_the_first_visible_comes_first(queue: SqliteQueue, clock: Clock) -> None:
    await queue.send([message("delayed")], delay=5)
    await queue.send([message("a"), message("b"), message("c")])
    clock.now += 1
    await queue.send([message("d")])
    [a] = await queue.receive(1, wait=0, lease=2)
    assert a.message.job == "a"
    clock.now += 10
    assert jobs(await queue.receive(9, wait=0, lease=LONG)) == ["b", "c", "d", "a", "delayed"]


async def test_what_is_released_goes_to_the_end(queue: SqliteQueue, clock: Clock) -> None:
    await queue.send([message("a"), message("b")])
    received = await queue.receive(1, wait=0, lease=LONG)
    clock.now += 1
    await queue.release(received)
    assert jobs(await queue.receive(2, wait=0, lease=LONG)) == ["b", "a"]


async def test_a_batch_is_filled_up_in_the_order_of_the_draw(queue: SqliteQueue) -> None:
    await queue.send([message(f"{priority.word}-{n}", priority) for priority in Priority for n in range(2)])
    received = await queue.receive(5, wait=0, lease=LONG)
    assert len(received) == 5
    kinds = [each.message.priority for each in received]
    assert kinds in [[*[one] * 2, *[two] * 2, three] for one in Priority for two in Priority for three in Priority]


async def test_a_lease_that_ended_is_still_good_while_nobody_took_the_message(queue: SqliteQueue, clock: Clock) -> None:
    await queue.send([message("a")])
    received = await queue.receive(1, wait=0, lease=1)
    clock.now += 2
    assert await queue.extend(received, LONG) == [True]
    assert await queue.receive(1, wait=0, lease=LONG) == []
    assert await queue.ack(received) == [True]


async def test_a_rotten_body_goes_to_the_dead_letters(queue: SqliteQueue, path: Path) -> None:
    await queue.send([message("rotten"), message("sound")])
    run_sql(path, "UPDATE message SET body = CAST(x'7B22FF00' AS TEXT) WHERE id = 1")
    assert jobs(await queue.receive(2, wait=0, lease=LONG)) == ["sound"]
    [dead] = await queue.dead(1)
    assert "not JSON" in dead.reason


async def test_a_reason_that_sqlite_cannot_store_is_stored_as_well_as_it_goes(queue: SqliteQueue) -> None:
    await queue.send([message("a")])
    [received] = await queue.receive(1, wait=0, lease=LONG)
    assert await queue.dead_letter(received, "no file \udcff.wav" + "!" * 5000)
    [dead] = await queue.dead(1)
    assert dead.reason.startswith("no file ?.wav!!!")
    assert len(dead.reason) == 1000


async def test_an_error_in_the_middle_of_a_batch_leaves_nothing_of_it(queue: SqliteQueue) -> None:
    with pytest.raises(UnicodeEncodeError):
        await queue.send([message("a"), Message("b", 1, 0, pool="\udcff")])
    assert (await queue.depth())[Priority.NORMAL] == Depth()
    assert await queue.send([message("a")]) == [SendOutcome.SENT]


# its file


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
    for file in path.parent.iterdir():
        file.unlink()


def _delete_directory(path: Path) -> None:
    _delete_all(path)
    path.parent.rmdir()


def _replace(path: Path) -> None:
    other = path.with_name("other.db")
    sqlite_file.QueueFile(other).prepare()
    other.replace(path)


@pytest.mark.parametrize("lose", [_delete, _delete_all, _delete_directory])
async def test_a_file_that_is_deleted_is_made_again_and_everybody_moves_there(
    lose: Callable[[Path], None], path: Path, queue: SqliteQueue, clock: Clock
) -> None:
    async with SqliteQueue(path, clock=clock) as other:
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
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    _replace(path)
    await queue.send([message("after")])
    assert await queue.ack(received) == [False]
    assert jobs(await queue.receive(2, wait=LONG, lease=LONG)) == ["after"]


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
    write(path, sound[: 2 * sqlite_file.PAGE] + os.urandom(len(sound) - 2 * sqlite_file.PAGE))
    async with SqliteQueue(path) as queue, SqliteQueue(path) as other:
        caplog.set_level(logging.WARNING)
        assert await queue.send([message("job-1")]) == [SendOutcome.SENT]
        assert await other.send([message("job-1")]) == [SendOutcome.DUPLICATE]
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


# its locks, and the loop


async def test_another_process_that_writes_is_waited_for_without_blocking_the_loop(
    queue: SqliteQueue, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sending = asyncio.create_task(queue.send([message("a")]))
        for _ in range(200):
            await asyncio.sleep(0)
        assert not sending.done()
        other.execute("COMMIT")
        assert await asyncio.wait_for(sending, timeout=LONG / 2) == [SendOutcome.SENT]


async def test_a_lock_that_is_never_given_back_is_named(
    queue: SqliteQueue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOCK_PATIENCE", 0.2)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process keeps it locked"):
            await queue.send([message("a")])
        with pytest.raises(Unavailable):
            await queue.ping()
        assert await queue.receive(1, wait=0, lease=LONG) == [], "looking needs no lock"


async def test_a_send_of_this_process_is_received_at_once(queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOOK", LONG)
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await queue.send([message("a")])
    assert jobs(await asyncio.wait_for(waiting, timeout=LONG / 2)) == ["a"]


@pytest.mark.parametrize("turns", range(8))
async def test_a_send_at_the_very_moment_of_a_look_is_not_missed(
    turns: int, queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOOK", 0)
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    for _ in range(turns):
        await asyncio.sleep(0)
    await queue.send([message("a")])
    assert jobs(await asyncio.wait_for(waiting, timeout=LONG / 2)) == ["a"]


async def test_waiting_writes_nothing_and_takes_no_lock(queue: SqliteQueue, path: Path) -> None:
    before = (await queue._current()).total_changes
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await queue.receive(1, wait=0.1, lease=LONG) == []
    assert (await queue._current()).total_changes == before


async def test_the_write_ahead_log_stays_small_under_a_caller_that_never_yields(
    queue: SqliteQueue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_AFTER", 1000)
    monkeypatch.setattr(sqlite_file, "WAL_FRAMES", 2000)
    log = path.with_name("queue.db-wal")
    largest = 0
    started = time.monotonic()
    for number in range(3000):
        await queue.send([message(f"job-{number}")])
        await queue.ack(await queue.receive(1, wait=0, lease=LONG))
        largest = max(largest, log.stat().st_size)
    assert largest < 12_000_000, f"after {time.monotonic() - started:.1f} s; it would be 25 MB"


# its address


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
    with pytest.raises(SettingsError, match="names no queue file"):
        open_queue(url)


@pytest.mark.parametrize("url", ["", "queue.db", "kafka://host"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(url: str) -> None:
    with pytest.raises(SettingsError, match="known are: sqlite"):
        open_queue(url)
