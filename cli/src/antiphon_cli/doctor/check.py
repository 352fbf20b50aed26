"""What the doctor found about one thing."""

from dataclasses import dataclass

from antiphon.resource import Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, what was found, and what to do about it if it is not well."""

    name: str
    verdict: Verdict
    finding: str
    advice: str = ""
