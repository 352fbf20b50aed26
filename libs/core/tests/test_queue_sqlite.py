"""What the SQLite queue promises beyond the port: order, and locks that never block the event loop."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from antiphon.errors import Unavailable
from antiphon.jobs import Priority
from antiphon.messages import Message
from antiphon.queue import Depth, Received, SendOutcome, sqlite, sqlite_file
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


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_what_another_process_takes_between_the_look_and_the_lease_is_not_ours(
    limit: int, queue: SqliteQueue, path: Path
) -> None:
    await queue.send([message("a"), message("b")])

    def interfere(statement: str) -> None:
        if not statement.lstrip().startswith("SELECT"):
            connection.set_trace_callback(None)
            run_sql(path, "UPDATE message SET token = 1, visible_at = visible_at + 1000 WHERE key = 'a/1/0'")

    connection = await queue._current()
    connection.set_trace_callback(interfere)
    assert jobs(await queue.receive(limit, wait=0, lease=LONG)) == ["b"]


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
    for number in range(6000):
        await queue.send([message(f"job-{number}")])
        await queue.ack(await queue.receive(1, wait=0, lease=LONG))
        largest = max(largest, log.stat().st_size)
    assert largest < 30_000_000, f"after {time.monotonic() - started:.1f} s; it would be 50 MB"
