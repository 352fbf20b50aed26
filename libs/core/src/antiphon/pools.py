"""Pools: workers of one model that serve one or more lanes and are scaled together."""

import re
from dataclasses import dataclass

from antiphon.errors import SettingsError
from antiphon.messages import DEFAULT_POOL

LANES = frozenset({"cpu", "gpu", "live"})
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Pool:
    """What the registry in the store knows of a pool; `target_wait` in seconds, `concurrency` in slots per worker.

    `paused` is what `Store.pause` says, and no property of its registration: its workers begin nothing new.
    """

    name: str = DEFAULT_POOL
    model: str = "tiny.en"
    lanes: frozenset[str] = frozenset({"cpu", "gpu"})
    concurrency: int = 1
    target_wait: float = 60.0
    paused: bool = False

    def __post_init__(self) -> None:
        """Raise SettingsError for a pool that cannot be."""
        if not _NAME.fullmatch(self.name):
            raise SettingsError(
                f"{self.name!r} cannot name a pool: use at most 40 lower-case letters, digits and inner hyphens"
            )
        if not self.lanes or self.lanes - LANES:
            raise SettingsError(f"the lanes of a pool are some of {sorted(LANES)}, not {sorted(self.lanes)}")
        if self.concurrency < 1:
            raise SettingsError(f"a pool has at least one slot, not {self.concurrency}")
        if self.target_wait <= 0:
            raise SettingsError(f"the target wait of a pool is more than 0 s, not {self.target_wait:g} s")
