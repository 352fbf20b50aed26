from pathlib import Path

import pytest

from antiphon_cli.artifacts import ARTIFACTS, Format, Wish, file_name, refuse_clashes, write
from antiphon_cli.errors import CommandError, UsageError
from antiphon_speech.formats import FORMATS


def test_every_format_that_is_rendered_can_be_asked_for_by_its_name() -> None:
    assert {form.lower(): name for form, name in ARTIFACTS.items()} == {
        word: form.name for word, form in FORMATS.items()
    }


@pytest.mark.parametrize(
    ("formats", "out", "names"),
    [
        ([], None, ["transcript.txt"]),
        ([], Path("out"), list(ARTIFACTS.values())),
        ([Format.SRT], None, ["transcript.srt"]),
        ([Format.CSV, Format.TXT], Path("out"), ["transcript.txt", "pitch.csv"]),
        ([Format.ALL], Path("out"), list(ARTIFACTS.values())),
    ],
)
def test_without_a_format_the_transcript_is_printed_and_everything_written(
    formats: list[Format], out: Path | None, names: list[str]
) -> None:
    assert list(Wish.of(formats, out).names) == names


@pytest.mark.parametrize("formats", [[Format.ALL], [Format.TXT, Format.SRT]])
def test_several_formats_are_not_mixed_on_standard_output(formats: list[Format]) -> None:
    with pytest.raises(UsageError, match="--out"):
        Wish.of(formats, None)


def test_what_was_asked_for_by_name_must_be_there_and_of_all_whatever_there_is() -> None:
    there = {"transcript.txt": b"hello"}
    assert Wish.of([Format.ALL], Path("out")).granted(there) == there
    with pytest.raises(CommandError, match=r"no pitch\.csv"):
        Wish.of([Format.CSV], None).granted(there)


@pytest.mark.parametrize(
    ("recording", "name"),
    [
        ("clip.wav", "clip.TextGrid"),
        ("a.b.wav", "a.b.TextGrid"),
        ("../../etc/passwd", "passwd.TextGrid"),
        ("C:\\temp\\x.wav", "x.TextGrid"),
        ("..", "...TextGrid"),
        ("", "recording.TextGrid"),
    ],
)
def test_a_file_stays_in_its_directory_whatever_the_recording_is_called(recording: str, name: str) -> None:
    assert file_name(recording, "words.TextGrid") == name


def test_two_recordings_that_would_overwrite_each_other_are_refused() -> None:
    refuse_clashes([Path("a/x.wav"), Path("a/y.wav")])
    with pytest.raises(UsageError, match=r"a/x\.wav and b/x\.mp3"):
        refuse_clashes([Path("a/x.wav"), Path("b/x.mp3")])


def test_a_directory_that_cannot_be_made_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="cannot write to"):
        write({"transcript.txt": b""}, "x.wav", tmp_path / "file" / "out")
