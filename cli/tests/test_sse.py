from hypothesis import given
from hypothesis import strategies as st

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


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=20).map(sorted))
def test_events_are_the_same_wherever_the_stream_is_cut_into_chunks(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    chunks = [STREAM[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    assert list(events(chunks)) == EVENTS
