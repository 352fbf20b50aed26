"""Which text a store keeps, and what it does with text that it could not keep: the same on every database."""

from functools import partial

import pytest
from tests.contract.stores import claim, new_job

from antiphon import lifecycle
from antiphon.errors import JobNotFound, PoolNotFound
from antiphon.jobs import Failure
from antiphon.store.base import Store

IMPOSSIBLE = ["\0", "job\0", "\ud800"]


async def test_options_and_metadata_keep_every_character(store: Store) -> None:
    text = "".join(map(chr, range(0x20))) + "\x7f\u2028\uffff\U0010ffff'\"\\%s:x$1"
    job = await store.accept(new_job(options={"initial_prompt": text, text: [text]}, metadata={"note": text}))
    assert await store.job("default", job.id) == job


@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_a_name_that_no_store_can_hold_is_not_found(store: Store, name: str) -> None:
    job = await store.accept(new_job())
    for tenant, wanted in (("default", name), (name, job.id)):
        for look in (
            store.job(tenant, wanted),
            store.events(tenant, wanted),
            store.change(tenant, wanted, lifecycle.cancel),
            store.resend(tenant, wanted),
        ):
            with pytest.raises(JobNotFound):
                await look
    for ask in (store.pool(name), store.pause(name, paused=True)):
        with pytest.raises(PoolNotFound):
            await ask


@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_a_reason_that_no_store_can_hold_is_kept_as_far_as_it_goes(store: Store, name: str) -> None:
    job = await store.accept(new_job())
    _, held = await claim(store, job)
    why = Failure("audio_undecodable", f"cannot read {name}ü")
    await store.change("default", job.id, partial(lifecycle.fail, claim=held, failure=why))
    kept = (await store.job("default", job.id)).failure
    assert kept is not None
    assert kept.code == why.code
    assert kept.message.startswith("cannot read ")
    assert kept.message.endswith("ü")
    assert (await store.events("default", job.id))[-1].failure == kept
