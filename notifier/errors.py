"""Errors of the service; each message is one line for the client or the operator."""


class ConfigurationError(Exception):
    """The environment is incomplete or invalid."""


class BadMessage(Exception):
    """The client's request is invalid."""


class Unavailable(Exception):
    """A backend does not answer. `what`: `database` or `object store`."""

    def __init__(self, what: str, reason: str) -> None:
        lines = reason.strip().splitlines()
        super().__init__(f"{what}: {lines[0] if lines else 'no answer'}")
        self.what = what


class Damaged(Exception):
    """An accepted attachment is missing or was altered."""
