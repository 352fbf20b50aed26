"""Who may use what lies below /v1/internal, asked of every operation there will be."""

import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from antiphon_api.bodies import MAX_BYTES
from antiphon_api.settings import ApiSettings

Submit = Callable[..., Awaitable[httpx.Response]]
BEARER = "correct-horse-battery-staple"
DISABLED = "internal_disabled"
REQUIRED = "token_required"


@pytest.fixture
def settings(settings: ApiSettings) -> ApiSettings:
    return settings.model_copy(update={"internal_token": SecretStr(BEARER)})


@pytest.fixture
def operations(app: FastAPI) -> list[tuple[str, str]]:
    """(method, path) of everything that says it wants the token."""
    return [
        (method.upper(), path.replace("{pool}", "default").replace("{job}", "01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11"))
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") == [{"internalToken": []}]
    ]


def test_everything_internal_wants_the_token(app: FastAPI) -> None:
    document = app.openapi()
    assert document["components"]["securitySchemes"]["internalToken"]["scheme"] == "bearer"
    wants = {
        path for path, methods in document["paths"].items() for operation in methods.values() if "security" in operation
    }
    assert {path for path in document["paths"] if path.startswith("/v1/internal/")} <= wants
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert ({"401", "403"} <= operation["responses"].keys()) == (path in wants)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": ""},
        {"Authorization": BEARER},
        {"Authorization": f"Basic {BEARER}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {BEARER[:-1]}"},
        {"Authorization": f"Bearer {BEARER}x"},
        {"Authorization": f"Bearer {BEARER.upper()}"},
        {"Authorization": b"Bearer \xfc\xff"},
        {"X-Token": BEARER},
    ],
    ids=str,
)
async def test_nobody_gets_in_without_the_token(
    client: httpx.AsyncClient, operations: list[tuple[str, str]], header: dict[str, str]
) -> None:
    assert len(operations) >= 6
    for method, path in operations:
        refused = await client.request(method, path, headers=header)
        assert (refused.status_code, refused.json()["code"]) == (401, REQUIRED), path
        assert refused.headers["WWW-Authenticate"].startswith('Bearer realm="antiphon"')
        assert BEARER not in refused.text


async def test_a_wrong_token_is_told_from_a_missing_one(client: httpx.AsyncClient) -> None:
    path = "/v1/internal/queues/default/dead"
    missing = await client.get(path)
    wrong = await client.get(path, headers={"Authorization": "Bearer wrong"})
    assert "invalid_token" not in missing.headers["WWW-Authenticate"]
    assert wrong.headers["WWW-Authenticate"].endswith('error="invalid_token"')
    assert missing.json()["detail"] != wrong.json()["detail"]


async def test_the_holder_gets_in(client: httpx.AsyncClient) -> None:
    for scheme in ("Bearer", "bearer"):
        answer = await client.get("/v1/internal/queues/default/dead", headers={"Authorization": f"{scheme} {BEARER}"})
        assert answer.status_code == 200


async def test_without_a_token_of_its_own_an_installation_lets_nobody_in(
    app: FastAPI, client: httpx.AsyncClient, operations: list[tuple[str, str]], settings: ApiSettings
) -> None:
    object.__setattr__(app.state.context, "settings", settings.model_copy(update={"internal_token": None}))
    for token in ("", "None", BEARER):
        for method, path in operations:
            refused = await client.request(method, path, headers={"Authorization": f"Bearer {token}"})
            assert (refused.status_code, refused.json()["code"]) == (403, DISABLED), path


async def test_strangers_learn_nothing_from_what_else_they_send(client: httpx.AsyncClient) -> None:
    for method, path, body in (
        ("GET", "/v1/internal/queues/nowhere/messages?limit=many", b""),
        ("POST", "/v1/internal/queues/default/redrive", b"{"),
        ("POST", "/v1/internal/queues/default/purge", b"x" * (MAX_BYTES + 1)),
    ):
        assert (await client.request(method, path, content=body)).status_code == 401


@pytest.mark.parametrize(
    ("token", "accepted"),
    [
        ("a" * 16, True),
        ("a" * 15, False),
        ("aZ09._~+/-aZ09._~+/-==", True),
        ("with a space in it", False),
        ("trailing-newline-of-a-file\n", False),
        ("naïve-but-long-enough", False),
    ],
)
def test_a_token_is_long_and_fits_into_a_header(token: str, accepted: bool) -> None:
    if accepted:
        settings = ApiSettings(internal_token=token)
        assert settings.internal_token is not None
        assert settings.internal_token.get_secret_value() == token
    else:
        with pytest.raises(ValidationError) as error:
            ApiSettings(internal_token=token)
        assert token not in str(error.value.errors(include_input=False))


def test_an_empty_token_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_INTERNAL_TOKEN", "")
    assert ApiSettings().internal_token is None


def test_the_token_never_shows_in_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_INTERNAL_TOKEN", BEARER)
    settings = ApiSettings()
    assert (
        BEARER not in f"{settings!r} {settings} {settings.model_dump_json()} {json.dumps(str(settings.model_dump()))}"
    )
