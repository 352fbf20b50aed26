"""What the wake-ups of an SQLite store promise beyond the port: they follow its file, and cost nothing unheard."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from antiphon.errors import SettingsError, Unavailable
from antiphon.events import Listener, open_events, sqlite
from antiphon.events.sqlite import SqliteEvents

LONG = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def events(path: Path) -> AsyncIterator[SqliteEvents]:
    async with SqliteEvents(path) as events:
        yield events


def commit(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS change (number INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO change DEFAULT VALUES")


def exists(path: Path) -> bool:
    return path.exists()


def replace(path: Path) -> None:
    path.unlink()
    other = path.with_name("other.db")
    commit(other)
    other.replace(path)


def spoil(path: Path) -> None:
    path.write_bytes(b"rubbish" * 1000)


async def quiet(listener: Listener) -> None:
    """Take the wake-ups that are left, until there are none."""
    while await listener.wait(0.2):
        pass


async def test_a_store_that_does_not_exist_yet_is_waited_for(events: SqliteEvents, path: Path) -> None:
    async with events.listen("job") as listener:
        assert not await listener.wait(0.05)
        assert not exists(path)
        commit(path)
        assert await listener.wait(LONG)
        await quiet(listener)
        commit(path)
        assert await listener.wait(LONG)


async def test_a_store_that_is_replaced_is_followed(events: SqliteEvents, path: Path) -> None:
    commit(path)
    async with events.listen("job") as listener:
        replace(path)
        assert await listener.wait(LONG)
        await quiet(listener)
        commit(path)
        assert await listener.wait(LONG)


async def test_every_commit_wakes_whatever_its_topic(events: SqliteEvents, path: Path) -> None:
    commit(path)
    async with events.listen("one") as one, events.listen("two") as two:
        commit(path)
        assert await one.wait(LONG)
        assert await two.wait(LONG)


async def test_a_notification_in_the_same_process_needs_no_look(
    events: SqliteEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOOK", LONG)
    async with events.listen("job") as listener:
        waiting = asyncio.create_task(listener.wait(LONG))
        await asyncio.sleep(0)
        await events.notify({"job"})
        assert await asyncio.wait_for(waiting, timeout=LONG / 2)


async def test_a_locked_store_is_no_news_and_no_error(events: SqliteEvents, path: Path) -> None:
    commit(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        async with events.listen("job") as listener:
            await quiet(listener)
            other.execute("BEGIN EXCLUSIVE")
            other.execute("INSERT INTO change DEFAULT VALUES")
            assert not await listener.wait(0.05)
            other.execute("COMMIT")
            assert await listener.wait(LONG)


async def test_nobody_looks_while_nobody_listens(events: SqliteEvents, path: Path) -> None:
    commit(path)
    alone = asyncio.all_tasks()
    async with events.listen("job"), events.listen("job"):
        assert len(asyncio.all_tasks()) == len(alone) + 1
    assert asyncio.all_tasks() == alone


async def test_a_store_that_is_missing_or_broken_does_not_answer(events: SqliteEvents, path: Path) -> None:
    with pytest.raises(Unavailable):
        await events.ping()
    assert not exists(path)
    spoil(path)
    with pytest.raises(Unavailable):
        await events.ping()
    async with events.listen("job") as listener:
        assert not await listener.wait(0.05)


async def test_an_address_is_the_store_s(path: Path) -> None:
    commit(path)
    async with open_events(f"sqlite:///{path}") as events:
        await events.ping()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://host/store.db", "sqlite:///:memory:"])
def test_an_address_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="names no file"):
        open_events(url)


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"known are: .*sqlite"):
        open_events("carrier-pigeon://")
