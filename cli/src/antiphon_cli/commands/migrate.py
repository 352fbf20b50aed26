"""`antiphon migrate`: bring the store up to date."""

import json

import typer

from antiphon_cli import parameters
from antiphon_cli.errors import CommandError


def migrate(as_json: parameters.Json = False, quiet: parameters.Quiet = False) -> None:
    """Bring the store's tables to the version that this program needs. `antiphon up` does it by itself."""
    import asyncio

    from antiphon.errors import AntiphonError
    from antiphon.ports import PortSettings
    from antiphon.store.schema import HEAD
    from antiphon.store.schema import migrate as migrate_store
    from antiphon_cli import settings
    from antiphon_cli.masking import masked

    url = settings.read(PortSettings).store()
    try:
        asyncio.run(migrate_store(url))
    except AntiphonError as error:
        raise CommandError(str(error)) from None
    if as_json:
        typer.echo(json.dumps({"store": masked(url), "schema": HEAD}))
    elif not quiet:
        typer.echo(f"{masked(url)} is at schema version {HEAD}")
