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


class InDoubt(Unavailable):
    """The store broke off during a commit: the change was made, or will be in a moment, or was not."""


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


class RetentionOver(JobDeleted):
    """The time for which the job was to be kept is over (option `retention`); only its tombstone is left."""

    code = "retention_over"

    def __init__(self, job: str) -> None:
        AntiphonError.__init__(self, f"the job {job} was erased, since the time for which it was to be kept is over")


class JobHeld(AntiphonError):
    """A legal hold keeps the job from being erased."""

    code = "job_held"

    def __init__(self, job: str) -> None:
        super().__init__(
            f"the job {job} is under a legal hold and may not be erased; whoever holds the internal token can lift it: "
            f"DELETE /v1/jobs/{job}/legal-hold"
        )


class JobEphemeral(AntiphonError):
    """An ephemeral job cannot be held: the blobs' backend may erase its files by a rule of its own."""

    code = "job_ephemeral"

    def __init__(self, job: str) -> None:
        super().__init__(
            f"the job {job} is ephemeral and cannot be held, since its files may be erased at any time; "
            "fetch what is to be kept, or submit it again with another `retention`"
        )


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


class PoolNotFound(AntiphonError):
    """No pool of this name is registered."""

    code = "pool_not_found"

    def __init__(self, pool: str) -> None:
        super().__init__(f"there is no pool {pool!r}")


class NoPool(AntiphonError):
    """No pool serves what a job needs."""

    code = "not_available"


class MessageInvalid(AntiphonError):
    """The body of a message is not one that this version reads."""

    code = "message_invalid"
