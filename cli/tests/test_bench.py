"""The benches run, and say what they are to say. Nothing here looks at a time."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from typer.testing import CliRunner

from antiphon_cli.bench import catalogue, checkout, servers
from antiphon_cli.bench.command import app
from antiphon_cli.bench.recordings import SHORT, recording
from antiphon_cli.bench.report import BenchError, LeftOut

QUEUE = [
    ("send, receive and ack, one by one", "jobs/s", "ratio >= 0.5"),
    ("send, receive and ack, one by one", "jobs/s", None),
    ("send, receive and ack, in tens", "jobs/s", "ratio >= 0.5"),
    ("send, receive and ack, in tens", "jobs/s", None),
    ("pickup by a waiting process, p50", "ms", None),
    ("pickup by a waiting process, p95", "ms", "< 10 ms"),
    ("pickup by a waiting process, p99", "ms", None),
    ("pickup by a waiting process on Redis, p50", "ms", None),
    ("pickup by a waiting process on Redis, p95", "ms", "< 2 ms"),
    ("pickup by a waiting process on Redis, p99", "ms", None),
    ("no-op jobs on Redis, 2 processes", "jobs/s", "ratio >= 1"),
    *[("no-op jobs on Redis, 2 processes", "jobs/s", None)] * 5,
    ("no-op jobs on Redis, 2 processes, acked one by one", "jobs/s", None),
    ("no-op jobs on Redis, 1 process", "jobs/s", None),
    ("calls to SQS per no-op job, in tens", "calls", "<= 0.35 calls"),
    ("full platform on SQLite, 1 at once", "jobs/s", None),
    ("full platform on SQLite, 32 at once", "jobs/s", None),
    ("store transactions on SQLite, 1 at once", "a job", "<= 3 a job"),
    ("store transactions on SQLite, 32 at once", "a job", "<= 3 a job"),
    ("full platform on PostgreSQL and Redis, 1 at once", "jobs/s", None),
    ("full platform on PostgreSQL and Redis, 32 at once", "jobs/s", None),
    ("store transactions on PostgreSQL and Redis, 1 at once", "a job", "<= 3 a job"),
    ("store transactions on PostgreSQL and Redis, 32 at once", "a job", "<= 3 a job"),
]
SPEECH = [
    ("7 s clip, submitted to fetched", "ms", "ratio < 1.1"),
    ("7 s clip, added by the platform (run by run)", "ms", None),
    ("7 s clip, the stages alone", "ms", None),
    ("3 s clip, submitted to fetched", "ms", None),
    ("3 s clip, added by the platform (run by run)", "ms", "< 60 ms"),
    ("3 s clip, the stages alone", "ms", None),
    ("3 s clip, of which: upload and acceptance", "ms", None),
    ("3 s clip, of which: until a worker has claimed it", "ms", None),
    ("3 s clip, of which: stage decode", "ms", None),
    ("3 s clip, of which: stage transcribe", "ms", None),
    ("3 s clip, of which: between and after the stages", "ms", None),
    ("3 s clip, of which: until the client has heard of its end", "ms", None),
    ("3 s clip, of which: fetching the result", "ms", None),
]
API = [
    ("POST /v1/jobs, 500 KB, p50", "ms", None),
    ("POST /v1/jobs, 500 KB, p99", "ms", "< 25 ms"),
    ("GET /healthz of the API, p50", "ms", None),
    ("GET /healthz of the API, p99", "ms", "< 50 ms"),
    ("GET /healthz of the worker, p50", "ms", None),
    ("GET /healthz of the worker, p99", "ms", "< 50 ms"),
    ("upload of 20 MB, added memory", "MB", "< 20 MB"),
    ("upload of 20 MB", "MB/s", None),
]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the bench puts what it needs for a while; not in `tmp_path`, which a server's account may not enter."""
    with tempfile.TemporaryDirectory(prefix="antiphon-test-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield directory


@pytest.mark.parametrize(("bench", "figures"), [("queue", QUEUE), ("speech", SPEECH), ("api", API)])
def test_a_bench_measures_every_figure_beside_another_writes_them_down_and_leaves_nothing_behind(
    bench: str, figures: list[tuple[str, str, str | None]], empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "new" / "benchmarks.md"
    before = children()
    # a bench must never work on whatever installation its user has
    monkeypatch.setenv("ANTIPHON_STORE_URL", "sqlite:////nowhere/store.db")
    monkeypatch.setenv("ANTIPHON_MODEL", "nothing")
    told = run(bench, "--quick", "--json", "--runs", "1", "--write", str(page))
    assert told["bench"] == bench
    assert told["command"] == f"antiphon bench {bench} --quick --runs 1"
    assert [(each["figure"], each["unit"], each["target"]) for each in told["figures"]] == figures
    assert "left_out" not in told
    for each in told["figures"]:
        assert each["spread"]["low"] <= each["spread"]["high"]
        assert each["against"]["what"]
        assert each["against"]["spread"]["of"]
        assert each["met"] is not None or each["target"] is None
    assert list(empty.iterdir()) == []
    assert [child for child in children() if child not in before] == []
    text = page.read_text()
    assert text.startswith("# Benchmarks\n")
    assert f"\n## {bench}\n" in text
    assert f"`antiphon bench {bench} --quick --runs 1`" in text
    assert str(tmp_path) not in text
    assert text.count("\n| ") == 1 + len(figures)


def test_the_server_that_a_bench_is_given_may_hold_nothing() -> None:
    with servers.redis() as url, Redis.from_url(url) as server:
        server.set("somebody's", "data")
        with pytest.raises(BenchError, match="holds 1 keys"):
            run("queue", "--quick", "--redis-url", url)


def test_what_is_left_out_is_printed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue.Bench, "measure", lambda *_: [LeftOut("Redis [7]", "there is none on PATH")])
    assert "Left out: Redis [7] (there is none on PATH).\n" in CliRunner().invoke(app, ["queue"]).stdout


def test_without_a_checkout_the_recordings_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "CLIPS", Path("no", "such", "directory"))
    with pytest.raises(BenchError, match="clone the repository"):
        recording(SHORT, tmp_path / "clip.wav")


def run(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def children() -> list[str]:
    """The processes of ours that still run."""
    tasks = Path("/proc/self/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]
