import pytest

from antiphon.queue.circuit import FAILURES, REST, Circuit, State


def broken(at: float) -> Circuit:
    circuit = Circuit()
    for _ in range(FAILURES):
        circuit = circuit.failed(at, "it said no")
    return circuit


def test_it_is_closed_until_several_failures_in_a_row() -> None:
    circuit = Circuit()
    for _ in range(FAILURES - 1):
        circuit = circuit.failed(10, "no")
        assert circuit.state(10) is State.CLOSED
    assert circuit.failed(10, "no").state(10) is State.OPEN


def test_a_success_in_between_starts_the_count_anew() -> None:
    circuit = Circuit()
    for _ in range(5 * FAILURES):
        circuit = circuit.failed(10, "no").succeeded()
    assert circuit.state(10) is State.CLOSED


@pytest.mark.parametrize(
    ("after", "state"), [(0, State.OPEN), (REST - 0.01, State.OPEN), (REST, State.HALF_OPEN), (1e9, State.HALF_OPEN)]
)
def test_it_is_half_open_after_a_rest(after: float, state: State) -> None:
    assert broken(at=100).state(100 + after) is state


def test_it_says_why_it_is_open() -> None:
    assert broken(at=0).why == "it said no"


def test_one_probes_and_the_others_wait_for_the_outcome() -> None:
    probing = broken(at=0).probing(REST)
    assert probing.state(REST) is State.OPEN
    assert probing.why == "it said no"
    assert probing.succeeded().state(REST) is State.CLOSED
    assert probing.failed(REST + 1, "still no").state(2 * REST) is State.OPEN
    assert probing.failed(REST + 1, "still no").state(2 * REST + 1) is State.HALF_OPEN


def test_a_probe_that_never_ends_leaves_the_next_one_to_others() -> None:
    assert broken(at=0).probing(REST).state(2 * REST) is State.HALF_OPEN
