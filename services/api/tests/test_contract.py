"""The running program keeps what its description promises, whatever it is sent."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from antiphon_api.settings import ApiSettings

Program = Any
BOUNDED = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

# what a schema cannot say: which stages and models this installation has, which cursors it has given out
UNKNOWABLE: dict[str, Any] = {"POST /v1/jobs": [positive_data_acceptance], "GET /v1/jobs": [positive_data_acceptance]}


@pytest.fixture(scope="module")
def program(launch: Callable[..., Program], tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Program:
    data = tmp_path_factory.mktemp("data")
    shutil.copy(empty_store, data / "store.db")
    return launch(ApiSettings(data=data))


@pytest.fixture(scope="module")
def cancelled(program: Program) -> str:
    """A job that has ended, so that its event stream does."""
    with httpx.Client(base_url=program.url) as http:
        job: str = http.post("/v1/jobs", files={"file": ("clip.wav", b"some audio")}).json()["id"]
        http.post(f"/v1/jobs/{job}/cancel")
    return job


@pytest.fixture(scope="module")
def description(program: Program) -> Any:
    return schemathesis.openapi.from_url(f"{program.url}/v1/openapi.json")


def operations(description: Any) -> Iterator[Any]:
    for operation in description.get_all_operations():
        yield operation.ok()


def ask_anything(operation: Any, check: Callable[[Any], object]) -> None:
    """Check many generated requests for an operation."""

    @BOUNDED
    @given(case=operation.as_strategy())
    def asked(case: Any) -> None:
        check(case)

    asked()


def test_every_request_is_answered_as_described(description: Any) -> None:
    for operation in operations(description):
        excluded = UNKNOWABLE.get(operation.label, [])
        ask_anything(operation, partial(schemathesis.Case.call_and_validate, excluded_checks=excluded))


def test_requests_for_a_job_that_is_there_are_answered_as_described(description: Any, cancelled: str) -> None:
    def answered(case: Any) -> None:
        case.path_parameters["job"] = cancelled
        response = case.call()
        assert response.status_code < 500
        case.validate_response(response)

    for operation in operations(description):
        if operation.method == "get" and "{job}" in operation.path:
            ask_anything(operation, answered)
