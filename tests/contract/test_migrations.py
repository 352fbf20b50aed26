"""What every migration promises, there and back, on every database: nothing that both versions know is lost."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from tests.contract.stores import Clock, Told, new_job, opened

from antiphon.errors import SchemaOutdated
from antiphon.store import schema
from antiphon.store.engine import open_database

ROWS = 3

Contents = dict[str, list[dict[str, Any]]]


def revisions() -> list[str]:
    """All of them, the oldest first."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


STEPS = list(zip(revisions(), revisions()[1:], strict=False))


def tables(connection: Connection) -> Iterator[sa.Table]:
    """The tables as they are now, whatever `tables.py` says."""
    found = sa.MetaData()
    found.reflect(connection)
    yield from (table for table in found.sorted_tables if table.name != "alembic_version")


def filling(column: sa.Column[Any], row: int) -> Any:
    """A value for the column that differs from row to row, and would not survive a column of another kind."""
    match column.type:
        case sa.JSON():
            return {"row": row, "text": 'quotes " and \\ and ü', "list": [1, None, True]}
        case sa.Boolean():
            return row % 2 == 0
        case sa.Integer():
            return 2**15 - 1 - row
        case sa.Float() | sa.Numeric():
            return 1_700_000_000.123456 + row
        case _:
            return f"{row}ü{'x' * ((column.type.length or 100) - 2)}"  # type: ignore[attr-defined]


async def fill(url: str) -> None:
    """Put rows into every table, with every column set, as large as it may be."""

    def insert(connection: Connection) -> None:
        for table in tables(connection):
            columns = [column for column in table.c if column.computed is None]
            for row in range(ROWS):
                connection.execute(table.insert().values({column: filling(column, row) for column in columns}))

    await _write(url, insert)


async def contents(url: str) -> Contents:
    def read(connection: Connection) -> Contents:
        return {
            table.name: [
                dict(row) for row in connection.execute(table.select().order_by(*table.primary_key)).mappings()
            ]
            for table in tables(connection)
        }

    database = open_database(url)
    try:
        return await database.read(read)
    finally:
        await database.close()


def kept(before: Contents, after: Contents) -> None:
    """Compare what both know."""
    for table in before.keys() & after.keys():
        assert len(after[table]) == len(before[table]), table
        for old, new in zip(before[table], after[table], strict=True):
            both = old.keys() & new.keys()
            assert both, table
            assert {key: new[key] for key in both} == {key: old[key] for key in both}, table


async def _write(url: str, work: Any) -> None:
    database = open_database(url)
    try:
        await database.write(work)
    finally:
        await database.close()


@pytest.mark.parametrize(("older", "newer"), STEPS)
async def test_a_step_up_and_the_step_back_keep_every_row(store_url: str, older: str, newer: str) -> None:
    await schema.migrate(store_url, to=older)
    await fill(store_url)
    first = await contents(store_url)
    await schema.migrate(store_url, to=newer)
    second = await contents(store_url)
    kept(first, second)
    await schema.migrate(store_url, to=older)
    third = await contents(store_url)
    assert third == first


@pytest.mark.parametrize(("older", "newer"), STEPS)
async def test_rows_of_the_newer_version_survive_the_step_back_as_far_as_the_older_knows_them(
    store_url: str, older: str, newer: str
) -> None:
    await schema.migrate(store_url, to=newer)
    await fill(store_url)
    before = await contents(store_url)
    await schema.migrate(store_url, to=older)
    kept(before, await contents(store_url))


async def test_all_steps_at_once_keep_every_row(store_url: str) -> None:
    await schema.migrate(store_url, to=revisions()[0])
    await fill(store_url)
    before = await contents(store_url)
    await schema.migrate(store_url)
    kept(before, await contents(store_url))


async def test_the_way_down_leaves_no_table_and_the_way_up_works_again(
    store_url: str, told: Told, store_clock: Clock
) -> None:
    await schema.migrate(store_url)
    await fill(store_url)
    await schema.migrate(store_url, to="base")
    assert await contents(store_url) == {}
    with pytest.raises(SchemaOutdated, match="antiphon migrate"):
        async with opened(store_url, told, store_clock):
            pytest.fail("opened")
    await schema.migrate(store_url)
    async with opened(store_url, told, store_clock) as store:
        await store.accept(new_job())


async def test_to_migrate_twice_changes_nothing(store_url: str) -> None:
    await schema.migrate(store_url)
    await fill(store_url)
    before = await contents(store_url)
    await schema.migrate(store_url)
    assert await contents(store_url) == before


async def test_several_programs_may_migrate_at_once(store_url: str, told: Told, store_clock: Clock) -> None:
    await asyncio.gather(*(schema.migrate(store_url) for _ in range(3)))
    async with opened(store_url, told, store_clock) as store:
        await store.accept(new_job())


async def test_a_store_that_was_never_migrated_is_not_opened(store_url: str, told: Told, store_clock: Clock) -> None:
    await schema.migrate(store_url)
    await schema.migrate(store_url, to="base")
    with pytest.raises(SchemaOutdated, match="none"):
        async with opened(store_url, told, store_clock):
            pytest.fail("opened")
