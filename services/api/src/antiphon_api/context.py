"""What the routes work with, handed to them by FastAPI's dependency injection."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from antiphon.errors import JobNotFound
from antiphon.hooks import Hooks
from antiphon.ids import is_id
from antiphon.jobs import DEFAULT_TENANT
from antiphon.ports import Ports
from antiphon_api.scrape import Scrape
from antiphon_api.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Context:
    """What `create_app` was given."""

    ports: Ports
    settings: ApiSettings
    hooks: Hooks
    scrape: Scrape
    closing: asyncio.Event
    """Set when the program stops: event streams end, which no client would do by itself."""


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def _tenant() -> str:
    """Whose request this is: one tenant's, until there are accounts."""
    return DEFAULT_TENANT


def _job_id(
    job: Annotated[
        str,
        Path(
            description="The job's id, a UUIDv7.",
            examples=["01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11"],
            json_schema_extra={"format": "uuid"},
        ),
    ],
) -> str:
    """Text that is not an id names no job, so it is answered as any other job that is not there."""
    if not is_id(job):
        raise JobNotFound(job[:64])
    return job


Here = Annotated[Context, Depends(_context)]
Tenant = Annotated[str, Depends(_tenant)]
JobId = Annotated[str, Depends(_job_id)]
