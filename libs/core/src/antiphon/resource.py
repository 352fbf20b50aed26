"""What every port is besides its promises: something that is opened, answers, and is closed."""

import abc
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What an examination found about one thing, and what to do about it if it is not well."""

    verdict: Verdict
    finding: str
    advice: str = ""


class Resource(abc.ABC):
    """An adapter to a backend, used as an async context manager."""

    @abc.abstractmethod
    async def open(self) -> None:
        """Connect. Raises Unavailable, with the address and without credentials, if the backend does not answer."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Disconnect; fine to call twice, and after an `open` that failed."""

    @abc.abstractmethod
    async def ping(self) -> None:
        """Raise Unavailable unless the backend answers and can do its work."""

    async def examine(self) -> list[Finding]:
        """Whether we have every right that the work needs, and none that it does not; for `antiphon doctor`.

        Changes nothing that anybody could notice. Raises Unavailable if the backend does not answer.
        """
        await self.ping()
        return []

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.close()  # what was opened before the failure is nobody else's to close
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
