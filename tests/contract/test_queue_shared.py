"""What every queue promises to those who share it: connections, processes, and any sequence of calls."""

import asyncio
from dataclasses import dataclass
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tests.contract.conftest import LONG, Clock, QueueBackend, RunPython, counted, message

from antiphon.jobs import Priority
from antiphon.messages import Message
from antiphon.queue import Capability, Depth, Queue, Received, SendOutcome

STEP = 100.0
SIDES = st.integers(0, 1)
PRIORITIES = st.sampled_from(Priority)
LEASES = st.sampled_from([0.5 * STEP, 2.5 * STEP])
DELAYS = st.sampled_from([0.0, 0.5 * STEP, 1.5 * STEP])

SENDER = """
import asyncio, sys
from antiphon.messages import Message
from antiphon.queue import open_queue

async def main(url):
    async with open_queue(url) as queue:
        print("ready", flush=True)
        for line in sys.stdin:
            await queue.send([Message(line.strip(), 1, 0)])
            print("sent", flush=True)

asyncio.run(main(sys.argv[1]))
"""
WORKER = """
import asyncio, sys
from antiphon.queue import open_queue

async def main(url):
    async with open_queue(url) as queue:
        print("ready", flush=True)
        sys.stdin.readline()
        while received := await queue.receive(3, wait=1.5, lease=60):
            assert all(await queue.ack(received))
            print(*(each.message.job for each in received), flush=True)

asyncio.run(main(sys.argv[1]))
"""
ABANDONER = """
import asyncio, os, signal, sys
from antiphon.queue import open_queue

async def main(url):
    queue = open_queue(url)
    await queue.open()
    [received] = await queue.receive(1, wait=60, lease=float(sys.argv[2]))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(sys.argv[1]))
"""


async def line(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await asyncio.wait_for(stream.readline(), timeout=LONG)).decode().strip()


async def test_a_send_over_another_connection_wakes_a_waiting_receive(queue: Queue, other_queue: Queue) -> None:
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.sleep(0.02)  # into the wait; a send before it is as good
    await other_queue.send([Message("job", 1, 0)])
    [received] = await asyncio.wait_for(waiting, timeout=LONG / 2)
    assert received.message.job == "job"


async def test_a_receive_that_found_nothing_finds_what_is_sent_afterwards(queue: Queue, other_queue: Queue) -> None:
    assert await queue.receive(1, wait=0, lease=LONG) == []
    await other_queue.send([message()])
    assert len(await queue.receive(1, wait=0, lease=LONG)) == 1


async def test_a_release_over_another_connection_wakes_a_waiting_receive(queue: Queue, other_queue: Queue) -> None:
    await other_queue.send([Message("job", 1, 0)])
    held = await other_queue.receive(1, wait=LONG, lease=LONG)
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.sleep(0.02)
    await other_queue.release(held)
    assert len(await asyncio.wait_for(waiting, timeout=LONG / 2)) == 1


async def test_a_send_of_another_process_wakes_a_waiting_receive(
    queue: Queue, queues: QueueBackend, run_python: RunPython
) -> None:
    sender = await run_python(SENDER, queues.url)
    assert await line(sender.stdout) == "ready"
    waiting = asyncio.create_task(queue.receive(1, wait=LONG, lease=LONG))
    await asyncio.sleep(0.02)
    assert sender.stdin is not None
    sender.stdin.write(b"from-afar\n")
    [received] = await asyncio.wait_for(waiting, timeout=LONG / 2)
    assert received.message.job == "from-afar"


async def test_many_receivers_never_share_a_message(queues: QueueBackend, queue: Queue) -> None:
    sent = [message(f"job-{number}", priority=Priority(number % 3)) for number in range(queues.many // 3)]
    await queue.send(sent)

    async def work(limit: int) -> list[str]:
        done: list[str] = []
        async with queues.connect() as mine:
            while received := await mine.receive(limit, wait=0.5, lease=LONG):
                done += [each.message.job for each in received]
                await asyncio.sleep(0)
                assert await mine.ack(received) == [True] * len(received)
        return done

    done = [job for part in await asyncio.gather(*map(work, [1, 2, 3, 10])) for job in part]
    assert sorted(done) == sorted(each.job for each in sent)


async def test_processes_never_share_a_message(queue: Queue, queues: QueueBackend, run_python: RunPython) -> None:
    workers = [await run_python(WORKER, queues.url) for _ in range(3)]
    sent = [f"job-{number}" for number in range(queues.many * 3 // 2)]
    await queue.send([message(job) for job in sent[: queues.many]])
    for worker in workers:
        assert await line(worker.stdout) == "ready"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
    for job in sent[queues.many :]:
        await queue.send([message(job)])
        await asyncio.sleep(0)
    done = [(await worker.communicate())[0].decode().split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sorted(done[0] + done[1] + done[2]) == sorted(sent)
    assert (await queue.depth())[Priority.NORMAL] == Depth()


async def test_what_a_killed_process_held_comes_again(
    queue: Queue, queues: QueueBackend, clock: Clock, lease: float, run_python: RunPython
) -> None:
    await queue.send([Message("job", 1, 0)])
    worker = await run_python(ABANDONER, queues.url, str(lease))
    assert await worker.wait() == -9
    assert await queue.receive(1, wait=0, lease=LONG) == []
    await clock.advance(lease * 1.5)
    [received] = await queue.receive(1, wait=LONG, lease=LONG)
    assert (received.message.job, received.deliveries) == ("job", 2)


@dataclass
class Living:
    """A message as the model knows it."""

    message: Message
    visible_at: float
    deliveries: int = 0
    held: Received | None = None


class AnySequenceOfCalls(RuleBasedStateMachine):
    """Two connections against a dictionary. Leases and delays end between the steps of the clock, never on one."""

    pools = count()

    def __init__(self, backend: QueueBackend, runner: asyncio.Runner) -> None:
        super().__init__()
        self.backend = backend
        self.run = runner.run
        self.pool = f"pool-{next(self.pools)}"  # examples share the backend
        self.now = 0.0
        self.living: dict[str, Living] = {}
        self.numbers = count()
        self.receipts: list[Received] = []
        self.dead: dict[str, Message] = {}
        self.queues = [backend.connect(), backend.connect()]
        for queue in self.queues:
            self.run(queue.open())

    def teardown(self) -> None:
        for queue in self.queues:
            self.run(queue.close())

    def message(self, job: int, priority: Priority) -> Message:
        if not self.can(Capability.DEDUPLICATION):
            job = next(self.numbers)  # one that was not there before
        return message(f"job-{job}", pool=self.pool, priority=priority)

    @rule(at=SIDES, new=st.lists(st.tuples(st.integers(0, 5), PRIORITIES), max_size=4), delay=DELAYS)
    def send(self, at: int, new: list[tuple[int, Priority]], delay: float) -> None:
        if self.can(Capability.ORDER):
            delay = 0.0  # what order holds back is received, and counted, before it is due
        batch = [self.message(*each) for each in new]
        outcomes = self.run(self.queues[at].send(batch, delay=delay))
        assert len(outcomes) == len(batch)
        for each, outcome in zip(batch, outcomes, strict=True):
            assert outcome == (SendOutcome.DUPLICATE if each.key in self.living else SendOutcome.SENT)
            self.living.setdefault(each.key, Living(each, self.now + delay))

    @rule(at=SIDES, limit=st.integers(1, 4), lease=LEASES)
    def receive(self, at: int, limit: int, lease: float) -> None:
        available = {key for key, each in self.living.items() if each.visible_at <= self.now}
        received = self.run(self.queues[at].receive(limit, wait=0, lease=lease, pool=self.pool))
        assert len(received) <= limit
        assert bool(received) == bool(available)
        assert len({each.message.key for each in received}) == len(received)
        for each in received:
            assert each.message.key in available
            living = self.living[each.message.key]
            assert each.message == living.message
            assert each.deliveries == living.deliveries + 1
            living.held, living.deliveries, living.visible_at = each, each.deliveries, self.now + lease
            self.receipts.append(each)

    @rule(at=SIDES, data=st.data(), lease=LEASES)
    def extend(self, at: int, data: st.DataObject, lease: float) -> None:
        batch = self.some_receipts(data)
        for each, kept in zip(batch, self.run(self.queues[at].extend(batch, lease)), strict=True):
            if self.held(each, kept):
                self.living[each.message.key].visible_at = self.now + lease

    @rule(at=SIDES, data=st.data())
    def ack(self, at: int, data: st.DataObject) -> None:
        batch = self.some_receipts(data)
        for each, removed in zip(batch, self.run(self.queues[at].ack(batch)), strict=True):
            if self.held(each, removed):
                del self.living[each.message.key]

    @rule(at=SIDES, data=st.data(), delay=DELAYS)
    def release(self, at: int, data: st.DataObject, delay: float) -> None:
        batch = self.some_receipts(data)
        for each, released in zip(batch, self.run(self.queues[at].release(batch, delay=delay)), strict=True):
            if self.held(each, released):
                living = self.living[each.message.key]
                living.held, living.visible_at = None, self.now + delay

    @rule(at=SIDES, data=st.data())
    def dead_letter(self, at: int, data: st.DataObject) -> None:
        for each in self.some_receipts(data):
            if self.held(each, self.run(self.queues[at].dead_letter(each, "failed"))):
                message = self.living.pop(each.message.key).message
                [new] = {dead.id for dead in self.run(self.queues[at].dead(100, pool=self.pool))} - self.dead.keys()
                self.dead[new] = message

    @rule(at=SIDES, data=st.data())
    def redrive(self, at: int, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.dead) or ["none"]), unique=True))
        messages = [self.dead.pop(id_) for id_ in chosen if id_ in self.dead]
        assert self.run(self.queues[at].redrive(chosen, pool=self.pool)) == len(messages)
        for each in messages:
            self.living.setdefault(each.key, Living(each, self.now))

    @rule(at=SIDES, data=st.data())
    def delete_dead(self, at: int, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.dead) or ["none"]), unique=True))
        deleted = [self.dead.pop(id_) for id_ in chosen if id_ in self.dead]
        assert self.run(self.queues[at].delete_dead(chosen, pool=self.pool)) == len(deleted)

    @precondition(lambda self: not self.backend.clock.waits)
    @rule(steps=st.integers(1, 3))
    def advance(self, steps: int) -> None:
        self.now += STEP * steps
        self.run(self.backend.clock.advance(STEP * steps))

    @rule(at=SIDES)
    def depth(self, at: int) -> None:
        found = self.run(self.queues[at].depth(self.pool))
        for priority in Priority:
            alive = [each for each in self.living.values() if each.message.priority == priority]
            later = [each for each in alive if each.visible_at > self.now]
            expected = Depth(
                available=len(alive) - len(later),
                in_flight=sum(each.held is not None for each in later),
                delayed=sum(each.held is None for each in later),
                dead=sum(message.priority == priority for message in self.dead.values()),
            )
            assert counted(self.queues[0], found[priority]) == counted(self.queues[0], expected)

    def can(self, capability: Capability) -> bool:
        return capability in self.queues[0].capabilities

    def some_receipts(self, data: st.DataObject) -> list[Received]:
        """Receipts old and new; where the backend does not check them, only those that are good."""
        usable = self.receipts
        if not self.can(Capability.CHECKED_RECEIPTS):
            usable = [
                each.held for each in self.living.values() if each.held is not None and each.visible_at > self.now
            ]
        return data.draw(st.lists(st.sampled_from(usable), unique_by=lambda each: each.receipt)) if usable else []

    def held(self, received: Received, success: bool) -> bool:
        """Whether the receipt was good. Whether one is whose lease ended while nobody else took it, is left open."""
        living = self.living.get(received.message.key)
        current = living is not None and living.held == received
        if not (current and living is not None and living.visible_at <= self.now):
            assert success == current
        return success


def test_any_sequence_of_calls_agrees_with_a_dictionary(queues: QueueBackend) -> None:
    with asyncio.Runner() as runner:

        class Machine(AnySequenceOfCalls):
            def __init__(self) -> None:
                super().__init__(queues, runner)

        run_state_machine_as_test(
            Machine,
            settings=settings(max_examples=queues.examples, stateful_step_count=40, deadline=None, database=None),
        )
