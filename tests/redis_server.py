"""A Redis or Valkey of a test's own, to be stopped and started again."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from antiphon_cli.bench.servers import free_port, redis_program, serve


class RedisServer:
    """Has the same port and the same files whenever it runs; it keeps none unless its `options` say so."""

    def __init__(self, directory: Path, options: tuple[str, ...]) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        own = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", ""]
        self._command = [redis_program(), *options, *own]
        self._running = ExitStack()

    def start(self) -> None:
        server = self._running.enter_context(serve(self._command, self.directory / "log"))
        server.wait_until(self._answers, "Redis")

    def stop(self) -> None:
        self._running.close()

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return not connection.recv(16).startswith(b"-LOADING")


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """One that runs, until the context ends."""
    with TemporaryDirectory(prefix="antiphon-redis-") as directory:
        server = RedisServer(Path(directory), options)
        server.start()
        try:
            yield server
        finally:
            server.stop()
