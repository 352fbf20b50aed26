"""Every page's links lead somewhere, and every code block in it does what the page says.

`sh` and `python` blocks of a page run in order, in one shell and one interpreter, from a directory that looks like a
checkout; `sh background` blocks keep running until the page ends. `text` blocks are pictures and output.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from docs.reference import render

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/*/README.md"), *ROOT.glob("cli/*.md")]
    if ".venv" not in page.parts
)
RUN = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
READY = 30.0


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(found[1].strip(), found[2], text[: found.start()].count("\n") + 1)
        for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose)
    dead = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_say_what_they_are(page: Path) -> None:
    for block in blocks(page):
        assert block.language in ("sh", "sh background", "python", "json", "jsonl", "text", "toml", "yaml"), (
            f"{name(page)}:{block.line}"
        )
        if block.language == "json":
            json.loads(block.code)
        elif block.language == "jsonl":
            assert all(isinstance(json.loads(line), dict) for line in block.code.splitlines())


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found for page in PAGES for found in re.findall(r"`make ([a-z-]+)", page.read_text())}
    named |= {found for page in PAGES for found in re.findall(r"^make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert named <= targets


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a reader stands in: a directory with the repository's files, that a page may write into."""
    (tmp_path / "checkout").mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in (".git", "demo-output"):
            (tmp_path / "checkout" / entry.name).symlink_to(entry)
    return tmp_path / "checkout"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A reader's shell: nothing of this machine's own Antiphon, and a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANTIPHON_DATA": str(tmp_path / "data"),
        "ANTIPHON_LISTEN_PORT": str(port),
        "ANTIPHON_HEALTH_PORT": "0",
    }


@pytest.fixture
def background() -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in running:
        process.send_signal(signal.SIGTERM)
        process.wait(READY)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline:
        assert process.poll() is None, "what was to run in the background has ended"
        try:
            if httpx.get(f"{url}/readyz", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail(f"nothing answers at {url}")


@pytest.mark.parametrize("page", [page for page in RUN if any(b.language != "text" for b in blocks(page))], ids=name)
def test_the_page_does_what_it_says(
    page: Path, checkout: Path, environment: dict[str, str], background: list[subprocess.Popen[bytes]]
) -> None:
    if "curl" in page.read_text() and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    script: dict[str, list[str]] = {"sh": [], "python": []}
    for block in blocks(page):
        if block.language == "sh background":
            command = ["bash", "-c", f"exec {block.code.strip()}"]
            environment["ANTIPHON_URL"] = f"http://127.0.0.1:{environment['ANTIPHON_LISTEN_PORT']}"
            background.append(subprocess.Popen(command, cwd=checkout, env=environment))
            wait_until_ready(environment["ANTIPHON_URL"], background[-1])
        elif block.language in script:
            script[block.language].append(block.code)
    for language, program in (("sh", ["bash", "-euo", "pipefail"]), ("python", [sys.executable])):
        if script[language]:
            code = "\n".join(script[language])
            done = subprocess.run(
                program,
                input=code,
                cwd=checkout,
                env=environment,
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", list(render.PAGES))
def test_generated_pages_are_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / "reference" / page).read_text() == render.PAGES[page](), "run `make render`"


def test_every_failure_of_a_worker_is_explained() -> None:
    sources = (ROOT / "services" / "worker" / "src").rglob("*.py")
    codes = {code for source in sources for code in re.findall(r'StageFailure\(\s*"(\w+)"', source.read_text())}
    explained = (ROOT / "docs" / "reference" / "errors.md").read_text()
    assert codes
    assert {code for code in codes if f"`{code}`" not in explained} == set()
