"""Settings of the programs as this process's environment gives them."""

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from antiphon_cli.errors import UsageError

S = TypeVar("S", bound=BaseSettings)


def read(kind: type[S], **given: Any) -> S:
    """The settings, `given` before the environment. Raises UsageError with a line for each wrong value."""
    try:
        return kind(**given)
    except ValidationError as error:
        raise UsageError("\n".join(f"{variable}: {message}" for variable, message in faults(kind, error))) from None


def variable(kind: type[BaseSettings], name: str) -> str:
    """The environment variable of a setting."""
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def faults(kind: type[BaseSettings], error: ValidationError) -> list[tuple[str, str]]:
    """What is wrong with which variable."""
    return [(variable(kind, str(fault["loc"][0])), sentence(fault["msg"])) for fault in error.errors()]


def sentence(message: str) -> str:
    """What a validator of ours said, without what pydantic puts before it."""
    return message.removeprefix("Value error, ")
