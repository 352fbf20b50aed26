"""Identifiers: UUIDv7, so that they sort by the time at which they were made (RFC 9562, section 5.7)."""

import uuid

import uuid_utils


def new_id() -> str:
    """A fresh UUIDv7 in its canonical form."""
    return str(uuid_utils.uuid7())


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in canonical form."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
