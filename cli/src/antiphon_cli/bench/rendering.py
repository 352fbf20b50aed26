"""Reports for people: a table for the terminal, Markdown for the documentation."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from antiphon_cli.bench.report import Figure, Measured, Report

if TYPE_CHECKING:
    from rich.table import Table

_COLUMNS = ("figure", "value", "spread", "against", "ratio", "target", "met")
WIDTH = 200
"""Characters of a table that nobody looks at on a terminal."""
_HEADER = """\
# Benchmarks

Written by `make bench`; do not edit. Every figure stands beside something that was measured in the same run, in turn
with it, so that the ratio holds for other machines even where the value does not. A spread `p10..p90` leaves out the
lowest and the highest tenth of the measurements; `min..max` leaves out nothing. `antiphon bench NAME --json` prints the
same for programs.
"""


def table(report: Report) -> "Table":
    from rich.table import Table
    from rich.text import Text

    title = f"{report.bench}: {report.command}" + (f" ({report.commit})" if report.commit else "")
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        drawn.add_column(column, justify="right" if column in {"value", "ratio"} else "left", overflow="fold")
    styles = {True: "green", False: "bold red", None: ""}
    for figure in report.figures:
        *cells, met = _cells(figure)
        drawn.add_row(*(Text(cell) for cell in cells), Text(met, styles[figure.met]))
    return drawn


def markdown(sections: Iterable[tuple[str, Report]]) -> str:
    """The page: for each bench what it is about, in a docstring's form, and its report."""
    found = list(sections)
    return "\n".join([_HEADER, *(_section(about, report) for about, report in found)])


def _section(about: str, report: Report) -> str:
    commit = f", commit {report.commit}" if report.commit else ""
    lines = [f"## {report.bench}", "", about, "", f"`{report.command}`{commit}: {report.machine.sentence()}.", ""]
    lines += [_row(_COLUMNS), "|---|--:|---|---|--:|---|---|", *(_row(_cells(each)) for each in report.figures), ""]
    lines += [line for each in report.left_out for line in (str(each), "")]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _cells(figure: Figure) -> tuple[str, ...]:
    other = figure.against
    return (
        figure.figure,
        f"{number(figure.measured.value)} {figure.unit}",
        _spread(figure.measured),
        f"{other.what}: {number(other.measured.value)} {figure.unit} ({_range(other.measured)})",
        "" if figure.ratio is None else f"{figure.ratio:.3g}",
        "" if figure.target is None else figure.target.text(figure.unit),
        {True: "yes", False: "**no**", None: ""}[figure.met],
    )


def _spread(measured: Measured) -> str:
    return f"{_range(measured)} ({measured.spread.of})"


def _range(measured: Measured) -> str:
    return f"{number(measured.spread.low)} to {number(measured.spread.high)}"


def number(value: float) -> str:
    """Three digits, or all before the point."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
