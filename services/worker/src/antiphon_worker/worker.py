"""The worker: receives no more than it has free slots, claims, runs, commits under its fence, and only then acks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import stamina
import structlog

from antiphon import lifecycle
from antiphon.errors import FenceLost, JobDeleted, JobNotFound, LeaseHeld, PoolNotFound, StaleMessage, Unavailable
from antiphon.hooks import Hooks
from antiphon.jobs import Claim, Failure, Job
from antiphon.ports import Ports
from antiphon.queue.base import Received
from antiphon.retry import GiveUp, RetryPolicy, StageFailure, next_attempt
from antiphon.store.base import Decision, pool_topic, topic
from antiphon_worker.attempt import Attempt, StageFailed
from antiphon_worker.settings import WorkerSettings
from antiphon_worker.slots import Slot, Slots

LONG_POLL = 20.0
LOOK = 1.0
"""Seconds after which a worker looks whether its claim still stands, if no wake-up came."""
PAUSE_LOOK = 5.0
"""Seconds after which it looks whether its pool is paused, if no wake-up came."""
REST = 0.1
"""Seconds between two such looks at least: when embedded, every commit of anybody wakes everybody."""

log = structlog.get_logger(__name__)


class HandBack(Exception):
    """The worker must go before the attempt is over."""


class Worker:
    """Serves one pool as `name`, which is unique to this process."""

    def __init__(self, name: str, ports: Ports, slots: Slots, settings: WorkerSettings, hooks: Hooks) -> None:
        self._name = name
        self._ports = ports
        self._slots = slots
        self._settings = settings
        self._hooks = hooks
        self._policy = RetryPolicy(settings.attempts, settings.retry_base_seconds)
        self._random = Random()
        self._draining = asyncio.Event()
        self._out_of_time = asyncio.Event()
        self._done = asyncio.Event()
        self.running = 0

    async def run(self) -> None:
        """Receive and serve until `drain`; returns once nothing runs any more."""
        async with asyncio.TaskGroup() as tasks:
            receiving = tasks.create_task(self._receive_unless_paused(tasks))
            await self._draining.wait()
            receiving.cancel()
        self._done.set()

    async def drain(self) -> None:
        """Receive no more, and return once nothing runs any more.

        What still runs after `drain_seconds` is handed back, without using up its attempt.
        """
        self._draining.set()
        log.info("draining", running=self.running, seconds=self._settings.drain_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._done.wait()
        self._out_of_time.set()
        await self._done.wait()

    async def _receive_unless_paused(self, tasks: asyncio.TaskGroup) -> None:
        """Receive while the pool is not paused. A pause cuts short the poll that is under way; what runs goes on."""
        pool = self._settings.pool
        receiving: asyncio.Task[None] | None = None
        clock = asyncio.get_running_loop().time
        try:
            async with self._ports.events.listen(pool_topic(pool)) as listener:
                while True:
                    rested = clock() + REST
                    paused = await self._paused(before=receiving is None)
                    if paused and receiving is not None:
                        receiving.cancel()
                        receiving = None
                        log.info("the pool is paused; nothing new is begun", pool=pool, running=self.running)
                    elif not paused and receiving is None:
                        receiving = tasks.create_task(self._receive(tasks))
                        log.info("receiving", pool=pool)
                    await listener.wait(PAUSE_LOOK)
                    await asyncio.sleep(rested - clock())
        finally:
            if receiving is not None:
                receiving.cancel()

    async def _paused(self, *, before: bool) -> bool:
        """Whether the pool is paused; as it was `before` while the store does not answer."""
        try:
            return (await self._ports.store.pool(self._settings.pool)).paused
        except PoolNotFound:
            return False  # what is not registered, nobody can have paused
        except Unavailable as error:
            log.warning("the store is away; whether the pool is paused is not known", error=str(error))
            return before

    async def _receive(self, tasks: asyncio.TaskGroup) -> None:
        queue = self._ports.queue
        while True:
            free = [await self._slots.borrow(), *self._slots.borrow_more()]
            received: list[Received] = []
            try:
                received = await queue.receive(
                    len(free), wait=LONG_POLL, lease=self._settings.lease_seconds, pool=self._settings.pool
                )
            except Unavailable as error:
                log.warning("the queue is away; waiting", error=str(error))
                await asyncio.sleep(self._random.uniform(0.5, 2.0))
            finally:
                for slot in free[len(received) :]:
                    self._slots.give_back(slot)
            for item, slot in zip(received, free, strict=False):
                tasks.create_task(self._serve(item, slot))

    async def _serve(self, received: Received, slot: Slot) -> None:
        """See one message through; afterwards the slot is free again."""
        self.running += 1
        try:
            with structlog.contextvars.bound_contextvars(job=received.message.job):
                await self._process(received, slot)
        except Unavailable as error:
            # The leases end by themselves, and the job is tried again where the backends are well.
            log.warning("an attempt is given up: a backend is away", job=received.message.job, error=str(error))
        finally:
            self.running -= 1
            self._slots.give_back(slot)

    async def _process(self, received: Received, slot: Slot) -> None:
        queue = self._ports.queue
        try:
            job = await self._claim(received)
        except (StaleMessage, JobNotFound, JobDeleted):
            await queue.ack([received])
            return
        except LeaseHeld as error:
            await queue.release([received], delay=error.remaining)
            return
        claim = Claim.of(job)
        if claim is None:
            await self._finish(job, received)
            return
        try:
            await self._attempt(job, claim, received, slot)
        except FenceLost:
            # Whoever moved the fence decides; the released message finds out, and is acked if nothing is left to do.
            self._hooks.attempt(job, "fence_lost")
            await self._erase_if_deleted(job)
            await queue.release([received])

    async def _erase_if_deleted(self, job: Job) -> None:
        """Remove what this attempt wrote since the job was deleted.

        Otherwise its blobs stay: those that were entered are what a redrive goes on from, the others go with the job.
        """
        try:
            await self._ports.store.job(job.tenant, job.id)
        except (JobNotFound, JobDeleted):
            await self._ports.blobs.delete_prefix(job.blob_prefix)

    async def _attempt(self, job: Job, claim: Claim, received: Received, slot: Slot) -> None:
        attempt = Attempt(self._ports, slot, job, claim, self._settings, self._hooks)
        try:
            with TemporaryDirectory(prefix="antiphon-", dir=self._settings.scratch) as scratch:
                async with self._held(claim, received):
                    artifacts = await attempt.run(Path(scratch))
        except StageFailed as error:
            await self._failed(job, claim, received, error.failure)
        except HandBack:
            await self._change(claim, partial(lifecycle.hand_back, claim=claim))
            await self._ports.queue.release([received])
            self._hooks.attempt(job, "handed_back")
        else:
            finished = await self._change(claim, partial(lifecycle.finish_leg, claim=claim, artifacts=artifacts))
            await self._finish(finished, received)
            self._hooks.attempt(job, "done")

    async def _failed(self, job: Job, claim: Claim, received: Received, failure: StageFailure) -> None:
        then = next_attempt(failure, job.attempt, self._policy, self._random)
        log.warning("a stage failed", code=failure.code, reason=failure.message, attempt=job.attempt, then=str(then))
        if isinstance(then, GiveUp):
            why = Failure(failure.code, failure.message)
            failed = await self._change(claim, partial(lifecycle.fail, claim=claim, failure=why))
            await self._finish(failed, received)
            self._hooks.attempt(job, "failed")
        else:
            await self._change(claim, partial(lifecycle.retry, claim=claim, after=then.after))
            await self._ports.queue.release([received], delay=then.after)
            self._hooks.attempt(job, "retried")

    async def _finish(self, job: Job, received: Received) -> None:
        """Do away with the message of a leg that is over: acked, or a dead letter if its job failed."""
        if job.state.terminal:
            self._hooks.ended(job)
        if not job.dead_letter or job.failure is None:
            await self._ports.queue.ack([received])
            return
        await self._ports.queue.dead_letter(received, f"{job.failure.code}: {job.failure.message}")
        with suppress(JobNotFound, JobDeleted):  # erased since: there is nothing left to note it in
            await self._ports.store.change(job.tenant, job.id, partial(lifecycle.buried, message=received.message))

    @asynccontextmanager
    async def _held(self, claim: Claim, received: Received) -> AsyncIterator[None]:
        """Keep the job and its message ours while the body runs.

        Ends the body, and raises FenceLost when the claim no longer stands, HandBack when the worker is out of time.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                keepers = [
                    tasks.create_task(self._beat(claim, received)),
                    tasks.create_task(self._watch(claim)),
                    tasks.create_task(self._hand_back()),
                ]
                yield
                for keeper in keepers:
                    keeper.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from None

    async def _beat(self, claim: Claim, received: Received) -> None:
        """Extend both leases every third of their time, so that one lost heartbeat costs nothing."""
        lease = self._settings.lease_seconds
        while True:
            await asyncio.sleep(lease / 3)
            try:
                await self._change(claim, partial(lifecycle.beat, claim=claim, lease=lease))
                await self._ports.queue.extend([received], lease)
            except Unavailable as error:
                log.warning("a heartbeat was missed", error=str(error))

    async def _watch(self, claim: Claim) -> None:
        """Raise FenceLost as soon as the job was cancelled, deleted, or claimed by another."""
        async with self._ports.events.listen(topic(claim.job)) as listener:
            while True:
                await listener.wait(LOOK)
                try:
                    job = await self._ports.store.job(claim.tenant, claim.job)
                except Unavailable:
                    continue  # the heartbeat says so
                except (JobNotFound, JobDeleted) as error:
                    raise FenceLost(str(error)) from None
                if Claim.of(job) != claim:
                    raise FenceLost(f"the job is {job.state}")
                await asyncio.sleep(REST)

    async def _hand_back(self) -> None:
        await self._out_of_time.wait()
        raise HandBack

    async def _claim(self, received: Received) -> Job:
        message = received.message
        return await self._ports.store.change(
            message.tenant,
            message.job,
            partial(
                lifecycle.claim,
                message=message,
                worker=self._name,
                lease=self._settings.lease_seconds,
                policy=self._policy,
            ),
        )

    async def _change(self, claim: Claim, decide: Decision) -> Job:
        """Commit under the claim. A store that is away is waited for as long as the lease may last."""
        async for attempt in stamina.retry_context(on=Unavailable, timeout=self._settings.lease_seconds):
            with attempt:
                try:
                    return await self._ports.store.change(claim.tenant, claim.job, decide)
                except (JobNotFound, JobDeleted) as error:
                    raise FenceLost(str(error)) from None
        raise AssertionError("retry_context returns or raises")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that decides, where several tasks of a group ended with one: a lost fence before all others."""
    flat: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending += error.exceptions
        else:
            flat.append(error)
    return next((error for error in flat if isinstance(error, FenceLost)), flat[0])
