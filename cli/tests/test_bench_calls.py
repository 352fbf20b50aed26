"""The calls to SQS that a job takes are counted on an emulator."""

import pytest

from antiphon_cli.bench.effort import Effort
from antiphon_cli.bench.queue.calls import calls


def test_calls_are_counted_in_tens_and_one_by_one_with_nobodys_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "somebody")
    figure = calls(Effort(runs=1, quick=True), lambda _: None)
    assert 0.3 <= figure.measured.value < 0.6
    assert 3.0 <= figure.against.measured.value < 3.6
