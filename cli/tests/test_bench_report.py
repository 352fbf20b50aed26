"""The arithmetic of a report: what many measurements come to, and whether a target was met."""

import json
import socket
import time

import pytest

from antiphon_cli.bench.machine import Machine, this_machine
from antiphon_cli.bench.rendering import markdown, number
from antiphon_cli.bench.report import Against, Figure, LeftOut, Measured, Report, Spread, Target
from antiphon_cli.bench.sampling import in_turn, largest, median, paced, percentile, tail

MACHINE = Machine(2, "a processor", 24.0, "Linux 6.1", "3.11.7", "3.40.1", "ext4")


def exactly(value: float) -> Measured:
    return Measured(value, Spread(value, value, "min..max of 1"))


def figure(ours: float, theirs: float, target: Target | None = None) -> Figure:
    return Figure("a | figure", "ms", exactly(ours), Against("a floor", exactly(theirs)), target)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 99, 7.0),
        ([1.0, 2.0, 3.0], 50, 2.0),
        ([3.0, 1.0, 4.0, 2.0], 50, 2.5),
        ([float(number) for number in range(101)], 95, 95.0),
        ([0.0, 10.0], 99, 9.9),
        ([5.0, 1.0], 0, 1.0),
        ([5.0, 1.0], 100, 5.0),
    ],
)
def test_a_percentile_lies_between_its_neighbours(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == pytest.approx(expected)


def test_nothing_measured_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 50)


def test_a_median_leaves_an_outlier_out_of_its_spread() -> None:
    found = median([*(float(number) for number in range(10)), 1000.0])
    assert found == Measured(5.0, Spread(1.0, 9.0, "p10..p90 of 11"))


def test_a_tail_is_that_of_all_rounds_and_spreads_over_theirs() -> None:
    found = tail([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]], 50)
    assert found == Measured(4.0, Spread(2.0, 6.0, "min..max of 2 rounds"))


def test_the_largest_counts_where_none_may_be_larger() -> None:
    assert largest([3.0, 9.0, 1.0]) == Measured(9.0, Spread(1.0, 9.0, "min..max of 3"))


def test_sides_take_turns() -> None:
    order: list[str] = []
    found = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, lambda _: None)
    assert order == ["a", "b"] * 3
    assert {side: len(values) for side, values in found.items()} == {"a": 3, "b": 3}


def test_a_call_that_was_kept_waiting_counts_from_when_it_was_due() -> None:
    pauses = iter([0.1, 0.0, 0.0, 0.0])
    first, second, *_ = paced(lambda: time.sleep(next(pauses)), 4, rate=50.0)
    assert first >= 0.1
    assert second >= 0.07


@pytest.mark.parametrize(
    ("ours", "theirs", "target", "met"),
    [
        (59.9, 500.0, Target("value", "<", 60.0), True),
        (60.0, 500.0, Target("value", "<", 60.0), False),
        (5.0, 10.0, Target("ratio", ">=", 0.5), True),
        (4.9, 10.0, Target("ratio", ">=", 0.5), False),
        (10.9, 10.0, Target("ratio", "<", 1.10), True),
        (11.1, 10.0, Target("ratio", "<", 1.10), False),
        (0.35, 3.0, Target("value", "<=", 0.35), True),
        (0.36, 3.0, Target("value", "<=", 0.35), False),
        (1.0, 0.0, Target("ratio", "<", 1.10), None),
        (1.0, 0.0, Target("value", "<", 2.0), True),
        (1.0, 2.0, None, None),
    ],
)
def test_a_target_is_met_by_the_value_or_by_the_ratio(
    ours: float, theirs: float, target: Target | None, met: bool | None
) -> None:
    assert figure(ours, theirs, target).met is met


def test_a_report_is_json_of_the_documented_form() -> None:
    missed = figure(70.1234567, 35.0, Target("value", "<", 60.0))
    report = Report("speech", "antiphon bench speech", MACHINE, "abc-dirty", [figure(1.0, 0.0), missed])
    told = json.loads(json.dumps(report.json_object()))
    assert list(told) == ["bench", "command", "machine", "commit", "figures"]
    assert told["machine"]["cores"] == 2
    assert told["figures"][1] == {
        "figure": "a | figure",
        "unit": "ms",
        "value": 70.123,
        "spread": {"low": 70.123, "high": 70.123, "of": "min..max of 1"},
        "against": {"what": "a floor", "value": 35.0, "spread": {"low": 35.0, "high": 35.0, "of": "min..max of 1"}},
        "ratio": 2.0035,
        "target": "< 60 ms",
        "met": False,
    }
    assert told["figures"][0]["ratio"] is None
    assert report.missed == [missed]


def test_the_page_has_a_row_for_each_figure() -> None:
    report = Report("speech", "antiphon bench speech", MACHINE, "abc", [figure(70.0, 35.0, Target("value", "<", 60.0))])
    page = markdown([("What it is about.", report)])
    assert "## speech\n\nWhat it is about.\n\n`antiphon bench speech`, commit abc: 2 cores (a processor)" in page
    assert r"| a \| figure | 70.0 ms | 70.0 to 70.0 (min..max of 1) | a floor: 35.0 ms (35.0 to 35.0) | 2 |" in page
    assert "| < 60 ms | **no** |" in page


def test_a_report_says_what_was_left_out_and_why() -> None:
    left_out = [LeftOut("Redis [7]", "there is none on PATH")]
    report = Report("queue", "antiphon bench queue", MACHINE, "abc", [], left_out)
    assert report.json_object()["left_out"] == [{"what": "Redis [7]", "why": "there is none on PATH"}]
    assert markdown([("What it is about.", report)]).endswith("\n\nLeft out: Redis [7] (there is none on PATH).\n")


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12,346"), (99.44, "99.4"), (1.234, "1.23"), (-20.0, "-20.0")])
def test_a_number_has_as_many_digits_as_mean_something(value: float, text: str) -> None:
    assert number(value) == text


def test_the_machine_is_described_without_its_name() -> None:
    described = this_machine().sentence()
    assert socket.gethostname() not in described.split()
