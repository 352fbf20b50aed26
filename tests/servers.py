"""Real servers for tests: those of `antiphon_cli.bench.servers`, and a database of a test's own.

Each runs in a directory of its own, on a free port of 127.0.0.1, and is ended with its context.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from antiphon_cli.bench.servers import aws, execute, free_port, postgres, postgres_in, redis

__all__ = ["aws", "database", "execute", "free_port", "postgres", "postgres_in", "redis"]


@contextmanager
def database(server: str) -> Iterator[str]:
    """A database of its own on a PostgreSQL, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    execute(server, f"CREATE DATABASE {name}")
    try:
        yield f"{server.rpartition('/')[0]}/{name}"
    finally:
        execute(server, f"DROP DATABASE {name} WITH (FORCE)")
