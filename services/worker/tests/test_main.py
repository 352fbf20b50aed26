"""The worker's program: how it refuses to start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def start(tmp_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANTIPHON_DATA": str(tmp_path), "ANTIPHON_HEALTH_PORT": "0", **settings}
    return subprocess.run(
        [sys.executable, "-m", "antiphon_worker"], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    program = "import asyncio, sys; from antiphon.store.schema import migrate; asyncio.run(migrate(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, f"sqlite:///{tmp_path}/store.db"], check=True)
    return tmp_path


def test_a_wrong_setting_ends_it_with_one_line_that_names_it(tmp_path: Path) -> None:
    ended = start(tmp_path, ANTIPHON_SLOTS="none")
    assert ended.returncode == os.EX_CONFIG
    [line] = ended.stderr.splitlines()
    assert "ANTIPHON_SLOTS" in line


def test_a_store_that_was_never_migrated_ends_it_with_what_to_do(tmp_path: Path) -> None:
    ended = start(tmp_path)
    assert ended.returncode == os.EX_CONFIG
    assert "antiphon migrate" in ended.stderr.splitlines()[-1]


def test_a_model_that_cannot_be_had_ends_it_with_where_to_get_one(migrated: Path) -> None:
    ended = start(migrated, ANTIPHON_MODEL="no-such-model")
    assert ended.returncode == os.EX_CONFIG
    assert "no-such-model" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
