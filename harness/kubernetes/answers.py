"""Errors of an API server: refused requests, and the reason in one line."""

import json

from kubernetes.client.exceptions import ApiException

from harness.core.errors import HarnessError

TRANSIENT = (0, 429, 500, 502, 503, 504)  # HTTP status of a server that is starting, stopping or overloaded


class ApiRefused(HarnessError):
    """The API server refused a request. `status`: of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def refusal(error: ApiException) -> str:
    """Return the reason of a refused request in one line."""
    try:
        return " ".join(str(json.loads(error.body or "")["message"]).split())
    except (TypeError, ValueError, KeyError):
        return " ".join(f"{error.status or ''} {error.reason}".split())


def said(error: Exception) -> str:
    """Return the innermost message of a chain of network errors: the outer ones name objects of Python."""
    reason = getattr(error, "reason", None)
    said = str(reason if reason is not None else error)
    return " ".join(said.rpartition(": ")[2].split()) or type(error).__name__
