"""What can go wrong, each with the one line that a client or an operator reads."""

from __future__ import annotations


class ConfigurationError(Exception):
    """The environment does not say how to run."""


class BadMessage(Exception):
    """The client sent something that cannot be accepted."""


class Unavailable(Exception):
    """The database or the object store does not answer; `what` is which."""

    def __init__(self, what: str, reason: str) -> None:
        lines = reason.strip().splitlines()
        super().__init__(f"{what}: {lines[0] if lines else 'no answer'}")
        self.what = what


class Damaged(Exception):
    """An attachment that was accepted is not there, or is not what was accepted."""
