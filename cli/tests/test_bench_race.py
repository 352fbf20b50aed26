"""The race on Redis: every system takes part in it, and nothing is left of it. Nothing here looks at a time."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from antiphon.queue import open_queue
from antiphon_cli.bench import servers
from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.programs import stand
from antiphon_cli.bench.queue import race, standings
from antiphon_cli.bench.queue.peers.systems import OURS, OURS_ONE_BY_ONE, PEERS, SYSTEMS, Entrant
from antiphon_cli.bench.queue.race import Course, Finish, Team
from antiphon_cli.bench.queue.tally import Tally
from antiphon_cli.bench.report import Against, BenchError, Figure, LeftOut, Target

PATIENCE = 60.0
RQ = SYSTEMS["RQ"]
PROGRAM = Path(__file__).parent / "programs" / "race.py"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.mark.parametrize("entrant", SYSTEMS.values(), ids=SYSTEMS)
def test_every_system_does_all_jobs(entrant: Entrant, url: str) -> None:
    finish = race.run(entrant, url, Course(jobs=300, processes=2, seconds=PATIENCE))
    assert finish.handled == 300
    assert finish.seconds > 0


def test_all_peers_are_installed_with_what_developing_needs() -> None:
    assert {peer.name: peer.missing for peer in PEERS if peer.missing} == {}


def test_a_system_that_is_not_done_in_time_is_judged_by_what_it_did(url: str) -> None:
    finish = race.run(RQ, url, Course(jobs=5000, processes=1, seconds=1.0))
    assert 0 < finish.handled < 5000


def test_a_rate_is_what_was_done_by_the_time_it_took() -> None:
    assert Finish.of(Course(jobs=300, processes=2, seconds=5.0), 300, 500_000_000).rate == pytest.approx(600)


@pytest.mark.parametrize(
    ("handled", "complaint"),
    [(0, "not one of 300 jobs was done in 5 s"), (301, "301 jobs were done where 300 were sent")],
)
def test_nothing_and_too_much_make_no_rate(handled: int, complaint: str) -> None:
    with pytest.raises(BenchError, match=complaint):
        Finish.of(Course(jobs=300, processes=2, seconds=5.0), handled, 500_000_000)


def test_jobs_that_are_sent_while_the_processes_are_held_wait_for_them(url: str) -> None:
    with stand() as here, Team.started(here, OURS, url, processes=2) as team:
        team.warm_up()
        assert all(tally.handled for tally in team.tallies)
        before = team.handled
        with team.held():
            team.send(100)
            assert not team.wait_for(before + 1, 0.2)
        assert team.wait_for(before + 100, PATIENCE)


def test_a_worker_process_that_ends_ends_the_race(url: str) -> None:
    with stand() as here, Team.started(here, OURS, url, processes=2) as team:
        team.warm_up()
        team.workers[1].process.kill()
        with pytest.raises(BenchError, match="a worker process of antiphon ended"):
            team.wait_for(team.handled + 1, PATIENCE)
        with pytest.raises(BenchError, match="a worker process of antiphon ended"), team.held():
            pass


def test_a_server_that_is_away_ends_the_race() -> None:
    with pytest.raises(BenchError, match="does not answer"):
        race.run(OURS, f"redis://127.0.0.1:{servers.free_port()}", Course(jobs=1, processes=1, seconds=1.0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_race_that_is_ended_leaves_no_process(
    number: signal.Signals,
    tmp_path: Path,
    run: Callable[..., Any],
    until: Callable[[Callable[[], bool], str], None],
    is_alive: Callable[[int], bool],
) -> None:
    racing = run(sys.executable, str(PROGRAM), env={**os.environ, "TMPDIR": str(tmp_path)})
    workers = racing.hear("held")["workers"]
    others = [pid for pid in in_session(racing.process.pid) if pid != racing.process.pid]
    assert set(workers) < set(others)  # the server and the sender are there too
    racing.signal(number)
    racing.end()
    until(lambda: not any(is_alive(pid) for pid in others), "the end of all that was started")


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless_threads")
def test_a_tally_counts_for_another_process_what_many_threads_did(tmp_path: Path) -> None:
    ours = Tally(tmp_path / "tally")
    theirs = Tally(tmp_path / "tally")
    before = time.monotonic_ns()
    with ThreadPoolExecutor(8) as threads:
        for _ in range(8):
            threads.submit(count, ours, 2000)
    assert theirs.handled == 16000
    assert before < theirs.last <= time.monotonic_ns()


def test_we_stand_beside_the_best_of_the_peers_and_beside_each(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    peers = (SYSTEMS["SAQ"], SYSTEMS["dramatiq"], RQ)
    monkeypatch.setattr(standings, "PEERS", peers)
    told: list[str] = []
    found = standings.standings(Effort(quick=True), told.append, url)
    assert told == ["Redis, 2 of each system, round 1 of 1", "Redis, 1 of each system, round 1 of 1"]
    beside_best, *beside_each, one_by_one, one_process = [each for each in found if isinstance(each, Figure)]
    best = max((each.against for each in beside_each), key=lambda against: against.measured.value)
    assert [each.against.what for each in beside_each] == [peer.title for peer in peers]
    assert beside_best.against == one_by_one.against == Against(f"the best peer, {best.what}", best.measured)
    assert re.fullmatch(r"(SAQ|dramatiq|RQ) [0-9.]+", best.what)
    assert one_process.against.what == best.what
    assert beside_best.target == Target("ratio", ">=", 1.0)
    assert {each.target for each in (*beside_each, one_by_one, one_process)} == {None}


@pytest.mark.parametrize("entrant", [OURS, OURS_ONE_BY_ONE], ids=lambda entrant: entrant.name)
def test_what_we_handle_we_ack(entrant: Entrant, url: str, until: Callable[[Callable[[], bool], str], None]) -> None:
    with stand() as here, Team.started(here, entrant, url, processes=1) as team:
        team.warm_up()
        until(lambda: asyncio.run(depth(url)) == 0, "an empty queue")


def test_peers_that_are_not_installed_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    absent = Entrant("Absent", "absent", "Absent", ("absent-queue",))
    monkeypatch.setattr(standings, "PEERS", (absent,))
    assert standings.standings(Effort(quick=True), lambda _: None, url) == [
        LeftOut("no-op jobs through Absent", "not installed: absent-queue")
    ]


async def depth(url: str) -> int:
    async with open_queue(url) as queue:
        return sum(depth.alive for depth in (await queue.depth()).values())


def count(tally: Tally, jobs: int) -> None:
    for _ in range(jobs):
        tally.add()


def in_session(leader: int) -> list[int]:
    """The processes of a session (proc(5))."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _session(entry) == leader]


def _session(entry: Path) -> int | None:
    try:
        return os.getsid(int(entry.name))
    except ProcessLookupError:
        return None
