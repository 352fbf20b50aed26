"""Everything that Antiphon raises on purpose."""

from typing import ClassVar


class AntiphonError(Exception):
    """The root. `code` is stable and public; `retryable` says whether trying the same again can help."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False


class SettingsError(AntiphonError):
    """A setting is wrong; the program does not start."""

    code = "settings_invalid"


class Unavailable(AntiphonError):
    """A backend (store, queue, blobs) does not answer."""

    code = "unavailable"
    retryable = True


class SchemaOutdated(AntiphonError):
    """The store's tables are not the ones that this version needs."""

    code = "schema_outdated"


class JobNotFound(AntiphonError):
    """No such job belongs to the tenant."""

    code = "job_not_found"

    def __init__(self, job: str) -> None:
        super().__init__(f"there is no job {job}")


class JobDeleted(AntiphonError):
    """The job was deleted; only its tombstone is left."""

    code = "job_deleted"

    def __init__(self, job: str) -> None:
        super().__init__(f"the job {job} was deleted")


class JobTerminal(AntiphonError):
    """The job has ended, so it cannot be changed in this way. The code names its state."""

    def __init__(self, job: str, state: str) -> None:
        super().__init__(f"the job {job} is already {state}")
        self.code = f"job_{state}"  # type: ignore[misc]


class JobNotTerminal(AntiphonError):
    """The job has not ended yet. The code names its state."""

    def __init__(self, job: str, state: str) -> None:
        super().__init__(f"the job {job} is still {state}")
        self.code = f"job_{state}"  # type: ignore[misc]


class JobSucceeded(JobTerminal):
    """A job that succeeded has nothing left to redo."""

    def __init__(self, job: str) -> None:
        super().__init__(job, "succeeded")


class StaleMessage(AntiphonError):
    """The message names a round or a leg that the job has left behind; it is acked and gone."""

    code = "stale_message"


class LeaseHeld(AntiphonError):
    """Another worker's lease on the job still runs."""

    code = "lease_held"
    retryable = True

    def __init__(self, job: str, remaining: float) -> None:
        super().__init__(f"the job {job} is leased for another {remaining:.1f} s")
        self.remaining = remaining


class FenceLost(AntiphonError):
    """The job was claimed again, cancelled or deleted since our claim; nothing that we hold may be committed."""

    code = "fence_lost"


class IdempotencyMismatch(AntiphonError):
    """An idempotency key came back with another request."""

    code = "idempotency_mismatch"

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key!r} was used within 24 hours for a different request; use a new key")


class BlobNotFound(AntiphonError):
    """No blob has this key."""

    code = "blob_not_found"

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no blob {key!r}")


class NoPool(AntiphonError):
    """No pool serves what a job needs."""

    code = "not_available"


class MessageInvalid(AntiphonError):
    """The body of a message is not one that this version reads."""

    code = "message_invalid"
