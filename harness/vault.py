"""Secret references, `env:NAME` or `file:/path`, and the values behind them."""

import os
from pathlib import Path

from harness.core.errors import UsageError


def read_secret(reference: str) -> bytes:
    """Return the bytes of `env:NAME` or `file:PATH`, no last newline. Raises UsageError, without any value."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = os.environ.get(name)
        if value is None:
            raise UsageError(f"secret {reference}: environment variable {name} is not set; set it")
        return value.encode()
    if kind == "file":
        try:
            return Path(name).read_bytes().rstrip(b"\n")
        except OSError as error:
            raise UsageError(f"secret {reference}: {error.strerror}; check the path and its mode") from None
    raise UsageError(f"secret {reference!r}: not a reference; write env:NAME or file:PATH")


def read_text_secret(reference: str) -> str:
    """Return `read_secret` as text; raises UsageError."""
    return read_secret(reference).decode()
