import pytest

from antiphon_cli.sse import ServerSentEvent, events

STREAM = (
    ': keep-alive\n\nid: 1\nevent: state\ndata: {"a": 1}\n\n'
    'event: progress\r\ndata: {"b": "\u2028é"}\r\n\r\nid:2\rdata:one\rdata: two\r\rid: 3\ndata: never ended\n'
).encode()
EVENTS = [
    ServerSentEvent("state", '{"a": 1}', "1"),
    ServerSentEvent("progress", '{"b": "\u2028é"}', "1"),
    ServerSentEvent("message", "one\ntwo", "2"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_events_are_the_same_in_chunks_of_any_size(size: int) -> None:
    chunks = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert list(events(chunks)) == EVENTS


def test_events_are_the_same_wherever_the_stream_is_cut() -> None:
    for cut in range(len(STREAM)):
        assert list(events([STREAM[:cut], STREAM[cut:]])) == EVENTS, cut
