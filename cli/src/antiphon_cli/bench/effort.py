"""How much a bench measures, and where."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """`runs`: rounds of each measurement, each bench's own number if None; `quick`: as few as prove that it runs.

    `redis_url`, `postgres_url`: servers that are there, for the benches that need them; they start their own if it is
    None.
    """

    runs: int | None = None
    quick: bool = False
    redis_url: str | None = None
    postgres_url: str | None = None

    def rounds(self, usual: int, quick: int = 2) -> int:
        return self.runs or self.of(usual, quick)

    def of(self, usual: int, quick: int) -> int:
        """A size or a count that `--runs` leaves alone."""
        return quick if self.quick else usual
