"""Tables on standard output: as wide as the terminal, and uncut where something else reads them."""

import sys
from collections.abc import Collection, Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNBOUNDED = 10_000


def print_table(headers: Iterable[str], rows: Iterable[Iterable[str | Text]], *, numbers: Collection[str] = ()) -> int:
    """Print `rows`, and return how many there were. Columns of `numbers` are aligned right; only the last one wraps."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    *first, last = headers
    for header in first:
        table.add_column(header, justify="right" if header in numbers else "left", no_wrap=True)
    table.add_column(last, justify="right" if last in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    if table.row_count:
        Console(width=None if sys.stdout.isatty() else _UNBOUNDED, highlight=False).print(table)
    return table.row_count
