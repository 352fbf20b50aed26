"""What the suites need to know of PostgreSQL."""

import pytest
from tests.contract.conftest import EventsBackend

from antiphon.events import Events
from antiphon.events.postgresql import PostgresqlEvents


class PostgresqlEventsBackend(EventsBackend):
    """A database of the test's own. Nothing but a notification wakes anybody, so there is no change to commit."""

    change_program = "pass"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.url = request.getfixturevalue("postgres_url")

    def connect(self) -> Events:
        return PostgresqlEvents(self.url)

    async def change(self) -> None:
        """Nothing; see above."""
