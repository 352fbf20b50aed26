"""The description that programs read is complete; what is asserted here is asked of every operation there will be."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_operation_says_what_it_is_for(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids)) >= 15
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert set(operation["tags"]) <= tags, where
        assert operation["operationId"].isidentifier(), where


def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), f"{method} {path}: {parameter['name']}"


def test_every_error_is_a_problem_document_with_an_example_for_each_code(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert "default" in operation["responses"], f"{method} {path}"
        for status, response in operation["responses"].items():
            if status != "default" and int(status) < 400:
                continue
            content = response["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            for example in content.get("examples", {}).values():
                assert example["value"]["status"] == int(status)
                assert example["value"]["code"]


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("post", "/v1/jobs", {"202", "400", "413", "415", "422", "503"}),
        ("get", "/v1/jobs", {"200", "422", "503"}),
        ("get", "/v1/jobs/{job}", {"200", "404", "410", "503"}),
        ("delete", "/v1/jobs/{job}", {"204", "404", "409", "410", "503"}),
        ("put", "/v1/jobs/{job}/legal-hold", {"200", "401", "403", "404", "409", "410", "503"}),
        ("delete", "/v1/jobs/{job}/legal-hold", {"200", "401", "403", "404", "410", "503"}),
        ("post", "/v1/jobs/{job}/cancel", {"200", "404", "409", "410", "503"}),
        ("post", "/v1/jobs/{job}/redrive", {"202", "404", "409", "410", "503"}),
        ("get", "/v1/jobs/{job}/result", {"200", "304", "404", "409", "410", "503"}),
        ("get", "/v1/jobs/{job}/result/{artifact}", {"200", "206", "304", "404", "409", "410", "416", "503"}),
        ("get", "/v1/jobs/{job}/artifacts", {"200", "404", "409", "410", "503"}),
        ("get", "/v1/jobs/{job}/events", {"200", "204", "400", "404", "410", "503"}),
        ("get", "/v1/queues", {"200", "503"}),
        ("get", "/v1/pools", {"200", "503"}),
        ("get", "/v1/internal/queues/{pool}/messages", {"200", "401", "403", "404", "422", "503"}),
        ("get", "/v1/internal/queues/{pool}/dead", {"200", "401", "403", "404", "422", "503"}),
        ("post", "/v1/internal/queues/{pool}/redrive", {"200", "401", "403", "404", "413", "415", "422", "503"}),
        ("post", "/v1/internal/queues/{pool}/purge", {"200", "401", "403", "404", "413", "415", "422", "503"}),
        ("post", "/v1/internal/queues/{pool}/pause", {"200", "401", "403", "404", "503"}),
        ("post", "/v1/internal/queues/{pool}/resume", {"200", "401", "403", "404", "503"}),
        ("get", "/healthz", {"200"}),
        ("get", "/readyz", {"200", "503"}),
        ("get", "/metrics", {"200"}),
    ],
)
def test_the_contract_is_this(document: dict[str, Any], method: str, path: str, statuses: set[str]) -> None:
    assert document["paths"][path][method]["responses"].keys() == statuses | {"default"}


def test_every_success_has_a_schema(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if status in ("200", "202", "206"):
                [content] = response["content"].values()
                assert content.get("schema") or content["itemSchema"], f"{method} {path}"


def test_a_submission_is_described_with_its_options_and_examples(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]
    [(media_type, content)] = body["content"].items()
    assert (body["required"], media_type) == (True, "multipart/form-data")
    assert content["schema"]["required"] == ["file"]
    assert content["schema"]["properties"]["options"] == {"$ref": "#/components/schemas/JobOptions"}
    assert content["examples"]
    options = document["components"]["schemas"]["JobOptions"]
    assert options["additionalProperties"] is False
    for name in ("pipeline", "language", "model", "priority", "expires_in", "metadata", "reference_id", "webhook_url"):
        assert options["properties"][name]["description"]


def test_every_schema_that_is_named_is_there_and_every_one_that_is_there_is_used(document: dict[str, Any]) -> None:
    named = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert named == document["components"]["schemas"].keys()


def test_every_field_of_what_is_answered_is_explained_or_shown(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    jobs, queues = (
        ("Accepted", "JobOut", "ArtifactOut", "Problem"),
        ("QueueOut", "PoolOut", "MessageOut", "DeadLetterOut"),
    )
    for name in (*jobs, *queues, "RedriveIn", "RedrivenOut", "SkippedOut", "PurgeIn", "PurgedOut"):
        for field, schema in schemas[name]["properties"].items():
            told = {"description", "examples", "$ref", "enum", "format", "anyOf"} & schema.keys()
            assert told or field == "metadata" or schema.get("type") == "string", f"{name}.{field}"
