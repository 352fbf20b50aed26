from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon_api.errors import MediaTypeNotSupported, MultipartInvalid
from antiphon_api.multipart import boundary_of, parts

BOUNDARY = b"a-boundary"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return (
        b"--"
        + BOUNDARY
        + b'\r\nContent-Disposition: form-data; name="'
        + name.encode()
        + b'"'
        + file.encode()
        + b"\r\nContent-Type: audio/wav\r\n\r\n"
        + content
        + b"\r\n"
    )


END = b"--" + BOUNDARY + b"--\r\n"


async def pieces(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(chunks: Sequence[bytes]) -> list[tuple[str, str | None, bytes]]:
    return [
        (part.name, part.filename, b"".join([chunk async for chunk in part]))
        async for part in parts(pieces(chunks), BOUNDARY)
    ]


def cut(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(cut % len(body) for cut in cuts), len(body)]
    return [body[start:end] for start, end in pairwise(places) if start < end]


# content that looks like boundaries, since that is where a parser goes wrong
tricky = (
    st.lists(
        st.one_of(
            st.binary(max_size=20), st.sampled_from([b"\r\n", b"\r\n--", b"\r\n--a-bound", b"--a-boundary", b"\r"])
        )
    )
    .map(b"".join)
    .filter(lambda content: b"\r\n--" + BOUNDARY not in content)
)


@given(tricky, tricky, st.lists(st.integers(min_value=0), max_size=20))
async def test_a_form_is_read_the_same_however_it_is_cut(first: bytes, second: bytes, cuts: list[int]) -> None:
    body = part("file", first, "clip.wav") + part("options", second) + END
    assert await read(cut(body, cuts)) == [("file", "clip.wav", first), ("options", None, second)]


@given(st.integers(min_value=0))
async def test_a_form_that_ends_early_is_refused_wherever_it_ends(place: int) -> None:
    body = part("file", b"some audio", "clip.wav") + END
    whole = len(body) - len(b"--\r\n")
    with pytest.raises(MultipartInvalid):
        await read([body[: place % whole]])


async def test_what_follows_the_last_boundary_is_ignored() -> None:
    assert await read([part("file", b"x") + END + b"an epilogue"]) == [("file", None, b"x")]


@pytest.mark.parametrize(
    "body",
    [
        b"no form at all",
        b"--another-boundary\r\n\r\nx\r\n--another-boundary--\r\n",
        b"--a-boundary\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a-boundary--\r\n",
        b"--a-boundary\r\n\r\nx\r\n--a-boundary--\r\n",
        b"--a-boundary\r\nbad header\r\n\r\nx\r\n--a-boundary--\r\n",
        b"--a-boundary\r\n" + b"x: y\r\n" * 100 + b"\r\nx\r\n--a-boundary--\r\n",
        b"--a-boundary\r\nx: " + b"y" * 100_000 + b"\r\n\r\nx\r\n--a-boundary--\r\n",
    ],
)
async def test_a_malformed_form_is_refused(body: bytes) -> None:
    with pytest.raises(MultipartInvalid):
        await read([body])


async def test_a_small_part_is_read_at_once_and_a_large_one_is_cut_off() -> None:
    async for small in parts(pieces([part("options", b"{}") + END]), BOUNDARY):
        assert await small.text(2) == b"{}"
    async for large in parts(pieces([part("options", b"{ }") + END]), BOUNDARY):
        assert await large.text(2) is None
        break


def test_the_boundary_stands_in_the_content_type() -> None:
    assert boundary_of('multipart/form-data; boundary="a b"') == b"a b"
    assert boundary_of("Multipart/Form-Data; BOUNDARY=abc") == b"abc"


@pytest.mark.parametrize("content_type", ["", None, "application/json", "multipart/mixed; boundary=x"])
def test_only_forms_are_read(content_type: str | None) -> None:
    with pytest.raises(MediaTypeNotSupported):
        boundary_of(content_type)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 71}"],
)
def test_a_form_without_a_usable_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(MultipartInvalid):
        boundary_of(content_type)
