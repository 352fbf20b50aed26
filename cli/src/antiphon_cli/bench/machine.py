"""On what the figures were taken. No names of hosts or users, no paths: the report is published."""

import os
import platform
import sqlite3
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from antiphon_cli.bench.checkout import checkout


@dataclass(frozen=True, slots=True)
class Machine:
    """`temporary_files`: the kind of file system on which the benches worked; an fsync on tmpfs costs nothing."""

    cores: int
    cpu: str
    memory_gib: float
    kernel: str
    python: str
    sqlite: str
    temporary_files: str

    def sentence(self) -> str:
        return (
            f"{self.cores} cores ({self.cpu}), {self.memory_gib:g} GiB, {self.kernel}, Python {self.python}, "
            f"SQLite {self.sqlite}, temporary files on {self.temporary_files}"
        )


def this_machine() -> Machine:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=_cpu(),
        memory_gib=round(memory / (1 << 30), 1),
        kernel=f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        temporary_files=_file_system(Path(tempfile.gettempdir()).resolve()),
    )


def commit() -> str | None:
    """The commit of the checkout, with `-dirty` if it was changed since; None without a checkout."""
    root = checkout()
    if root is None:
        return None
    described = _git(root, "rev-parse", "--short=12", "HEAD")
    if not described:
        return None
    return described + ("-dirty" if _git(root, "status", "--porcelain") else "")


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603, S607
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _file_system(directory: Path) -> str:
    """The type of the file system that `directory` lies on: that of the longest mount point above it (proc(5))."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "an unknown file system"
    above = [(len(point), kind) for _, point, kind, *_ in mounts if directory.is_relative_to(point)]
    return max(above)[1] if above else "an unknown file system"
