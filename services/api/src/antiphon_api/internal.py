"""Who may use the routes below /v1/internal: whoever holds the installation's token, as a bearer (RFC 6750)."""

import secrets
from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from antiphon_api.context import Here
from antiphon_api.errors import InternalDisabled, TokenRequired

ERRORS = (TokenRequired, InternalDisabled)
"""What every route that needs the token may answer besides its own, for `problems.responses`."""

_BEARER = HTTPBearer(
    scheme_name="internalToken",
    description="The installation's token (ANTIPHON_INTERNAL_TOKEN).",
    auto_error=False,  # its answer would be no problem document
)


async def _require(here: Here, given: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]) -> None:
    token = here.settings.internal_token
    if token is None:
        raise InternalDisabled
    # bytes, since the comparison of texts refuses those that are not ASCII
    if given is None or not secrets.compare_digest(given.credentials.encode(), token.get_secret_value().encode()):
        raise TokenRequired(given=given is not None)


TOKEN = Depends(_require)
"""For the `dependencies` of a router or a route: they are looked at before anything else of the request is."""
