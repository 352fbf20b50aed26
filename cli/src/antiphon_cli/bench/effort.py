"""How much a bench measures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """`runs`: rounds of each measurement, each bench's own number if None; `quick`: as few as prove that it runs."""

    runs: int | None = None
    quick: bool = False

    def rounds(self, usual: int, quick: int = 2) -> int:
        return self.runs or self.of(usual, quick)

    def of(self, usual: int, quick: int) -> int:
        """A size or a count that `--runs` leaves alone."""
        return quick if self.quick else usual
