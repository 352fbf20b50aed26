import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon_api.filenames import FALLBACK, MAX_LENGTH, clean


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("clip.wav", "clip.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\clip.wav", "clip.wav"),
        ("/etc/", FALLBACK),
        ("..", FALLBACK),
        (".hidden", "hidden"),
        ("", FALLBACK),
        (None, FALLBACK),
        ("a\x00b\r\nSet-Cookie: x.wav", "ab Set-Cookie: x.wav"),
        ("two\t words .wav", "two words .wav"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("e\u0301te\u0301.wav", "\u00e9t\u00e9.wav"),
        ("学习.m4a", "学习.m4a"),
        ("x" * 500 + ".wav", "x" * (MAX_LENGTH - 4) + ".wav"),
    ],
)
def test_a_file_name_is_kept_without_what_could_deceive(given_name: str | None, kept: str) -> None:
    assert clean(given_name) == kept


@given(st.text())
def test_a_clean_name_is_short_visible_and_no_path(name: str) -> None:
    cleaned = clean(name)
    assert 1 <= len(cleaned) <= MAX_LENGTH
    assert not set(cleaned) & set("/\\")
    assert all(unicodedata.category(character)[0] != "C" for character in cleaned)
    assert cleaned not in {".", ".."}


@given(st.text())
def test_cleaning_a_clean_name_changes_nothing(name: str) -> None:
    assert clean(clean(name)) == clean(name)
