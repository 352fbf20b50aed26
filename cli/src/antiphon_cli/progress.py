"""Shows how far recordings are, on standard error: bars on a terminal, plain lines elsewhere, or nothing."""

import abc
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Self

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID


_WAITING = 8
"""How many recordings get a bar before anything happens to them."""
_NAME = 28


class Progress(abc.ABC):
    """The recordings that are being worked on, each under its name."""

    @abc.abstractmethod
    def at(self, name: str, what: str, percent: float) -> None:
        """`name` is at the stage `what`, `percent` done in all."""

    @abc.abstractmethod
    def end(self, name: str, sentence: str, *, good: bool) -> None:
        """`name` has ended, as the sentence says."""

    def paused(self) -> AbstractContextManager[None]:
        """While this is entered, others may write to the terminal."""
        return nullcontext()


class OnlyTrouble(Progress):
    """Says what went wrong, and nothing else."""

    def at(self, name: str, what: str, percent: float) -> None:
        pass

    def end(self, name: str, sentence: str, *, good: bool) -> None:
        if not good:
            typer.echo(f"{name}: Error: {sentence}", err=True)


class Lines(Progress):
    """One line for each stage of each recording."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def at(self, name: str, what: str, percent: float) -> None:
        if self._last.get(name) != what:
            self._last[name] = what
            typer.echo(f"{name}: {what} ({percent:.0f} %)", err=True)

    def end(self, name: str, sentence: str, *, good: bool) -> None:
        typer.echo(f"{name}: {'' if good else 'Error: '}{sentence}", err=True)


class Bars(Progress):
    """One bar for each recording, gone once it has ended; what came of it stays as a line."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        self._console = Console(stderr=True, highlight=False)
        self._bars = RichProgress(
            SpinnerColumn(style="cyan"),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[what]}", style="cyan", markup=False, table_column=Column(width=12, no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def at(self, name: str, what: str, percent: float) -> None:
        if name in self._tasks:
            self._bars.update(self._tasks[name], completed=percent, what=what, visible=True)
        else:
            few = len(self._tasks) < _WAITING
            self._tasks[name] = self._bars.add_task(_end_of(name), total=100.0, what=what, visible=few)

    def end(self, name: str, sentence: str, *, good: bool) -> None:
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        from rich.text import Text

        mark = Text("✓ ", "green") if good else Text("✗ ", "red")
        self._console.print(Text.assemble(mark, Text(name, "bold"), "  ", sentence), soft_wrap=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._bars.stop()
        try:
            yield
        finally:
            sys.stdout.flush()
            self._bars.start()


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """What fits standard error."""
    if quiet:
        yield OnlyTrouble()
    elif sys.stderr.isatty():
        with Bars() as bars:
            yield bars
    else:
        yield Lines()


def _end_of(name: str) -> str:
    """The end of a path tells more than its beginning."""
    return name if len(name) <= _NAME else f"…{name[-_NAME + 1 :]}"
