"""What is below /v1/internal keeps what its description promises, to the holder of the token too."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance
from services.api.tests.test_contract import ask_anything, operations

from antiphon_api.settings import ApiSettings

BEARER = "correct-horse-battery-staple"
UNKNOWABLE = [positive_data_acceptance]  # for JSON Schema 20.0 is an integer, for us it is none


@pytest.fixture(scope="module")
def description(launch: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Any:
    data = tmp_path_factory.mktemp("data")
    shutil.copy(empty_store, data / "store.db")
    program = launch(ApiSettings(data=data), ANTIPHON_INTERNAL_TOKEN=BEARER)
    return schemathesis.openapi.from_url(f"{program.url}/v1/openapi.json")


def test_every_request_of_the_holder_is_answered_as_described(description: Any) -> None:
    def answered(pool: str, case: Any) -> None:
        case.path_parameters["pool"] = pool
        case.call_and_validate(headers={"Authorization": f"Bearer {BEARER}"}, excluded_checks=UNKNOWABLE)

    internal = [each for each in operations(description) if each.path.startswith("/v1/internal/queues/")]
    assert internal
    for operation in internal:
        ask_anything(operation, partial(answered, "default"))
