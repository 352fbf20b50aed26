"""`antiphon queue`: how full the queues are."""

import json

import typer

from antiphon_cli import parameters


def queue(url: parameters.Url = parameters.DEFAULT_URL, as_json: parameters.Json = False) -> None:
    """Show how many messages wait, are with a worker, are delayed, are dead, by pool and priority."""
    from antiphon_cli.client import Client

    with Client(url) as client:
        queues = client.queues()
    if as_json:
        typer.echo(json.dumps({"queues": [each.json_object() for each in queues]}))
        return

    from rich.text import Text

    from antiphon_cli.tables import print_table

    def count(messages: int, colour: str = "") -> Text:
        return Text(str(messages), colour if messages else "dim")

    counts = ("available", "in flight", "delayed", "dead")
    rows = (
        (q.pool, q.priority, count(q.available), count(q.in_flight), count(q.delayed), count(q.dead, "red"))
        for q in queues
    )
    if not print_table(("pool", "priority", *counts), rows, numbers=counts):
        typer.echo("No pool is registered.", err=True)
