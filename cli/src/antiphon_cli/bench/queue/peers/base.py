"""What every system in the race does, and nothing else."""

import abc
from collections.abc import Callable


class System(abc.ABC):
    """One process of a queue on the Redis at `url`, with one kind of job, which only calls `handled`."""

    def __init__(self, url: str, handled: Callable[[], None]) -> None:
        self.url = url
        self.handled = handled

    @abc.abstractmethod
    def send(self, jobs: int) -> None:
        """Queue so many, and return once the server has them. Called several times in one process."""

    @abc.abstractmethod
    def work(self) -> None:
        """Work jobs off as a worker process of the system does, until the process is ended."""
