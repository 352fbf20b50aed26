"""Several relays share out what is promised: nothing twice, nothing forgotten."""

import asyncio

from tests.contract.stores import Clock, Told, new_job, opened

from antiphon.store.base import OutboxRow, Store

JOBS = 60


async def take_all(store: Store, limit: int) -> list[OutboxRow]:
    taken: list[OutboxRow] = []
    while rows := await store.take_outbox(limit, lease=30):
        assert len(rows) <= limit
        taken += rows
    return taken


async def test_two_relays_at_once_never_take_the_same_promise(
    store: Store, store_url: str, told: Told, store_clock: Clock
) -> None:
    made = await asyncio.gather(*(store.accept(new_job()) for _ in range(JOBS)))
    async with opened(store_url, told, store_clock) as other:
        shares = await asyncio.gather(*(take_all(relay, 4) for relay in (store, other) for _ in range(3)))
    taken = [row.message.job for share in shares for row in share]
    assert sorted(taken) == sorted(job.id for job in made)


async def test_promises_are_taken_oldest_first(store: Store) -> None:
    made = [(await store.accept(new_job())).id for _ in range(9)]
    taken = await take_all(store, 4)
    assert [row.message.job for row in taken] == made


async def test_what_a_relay_took_and_lost_is_taken_by_another_once_its_time_is_over(
    store: Store, store_url: str, told: Told, store_clock: Clock
) -> None:
    await asyncio.gather(*(store.accept(new_job()) for _ in range(5)))
    first = await store.take_outbox(3, lease=30)
    async with opened(store_url, told, store_clock) as other:
        assert len(await other.take_outbox(10, lease=30)) == 2
        assert await other.take_outbox(10, lease=30) == []
        store_clock.advance(31)
        again = await other.take_outbox(3, lease=30)
    assert [row.id for row in again] == [row.id for row in first]
