"""What the supervisor knows of a program that it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HEALTH_PORT = "{health_port}"
"""In a command, an environment or a readiness URL: a port that is free at the time of that start."""

LIFELINE = "{lifeline}"
"""In a command: the descriptor of the pipe that closes when the supervisor ends, however it ends."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program to keep running. It ends by itself on SIGTERM, and when its lifeline closes."""

    name: str
    command: tuple[str, ...]
    ready: str
    """The URL that answers 200 as soon as the program can work."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What is set besides the supervisor's own environment."""
    inherits: tuple[int, ...] = ()
    """Descriptors that it gets besides its lifeline."""
    grace: float = 10.0
    """Seconds from SIGTERM to SIGKILL."""
