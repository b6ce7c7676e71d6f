"""What an API server answers when it does not do what it was asked."""

from __future__ import annotations

import json

from kubernetes.client.exceptions import ApiException

from harness.core.errors import HarnessError

PASSING = (0, 429, 500, 502, 503, 504)  # answers of a server that is not itself


class Rejected(HarnessError):
    """The API server understood, and said no. `status` is that of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def refusal(error: ApiException) -> str:
    """Return why a server said no, in one line."""
    try:
        return " ".join(str(json.loads(error.body or "")["message"]).split())
    except (TypeError, ValueError, KeyError):
        return " ".join(f"{error.status or ''} {error.reason}".split())


def said(error: Exception) -> str:
    """Return the last of what a chain of network errors says: the first of it names objects of Python."""
    reason = getattr(error, "reason", None)
    said = str(reason if reason is not None else error)
    return " ".join(said.rpartition(": ")[2].split()) or type(error).__name__
