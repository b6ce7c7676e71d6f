"""Secret references, `env:NAME` or `file:/path`, and the values behind them."""

import os
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.text import odd_in


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
    """Return `read_secret` as text; raises UsageError, also when it is not UTF-8."""
    try:
        return read_secret(reference).decode()
    except UnicodeDecodeError:
        raise UsageError(f"secret {reference}: not UTF-8 text; store it as UTF-8") from None


def read_store_keys(access_ref: str, secret_ref: str) -> tuple[str, str]:
    """Return the two keys of an object store. Raises UsageError, without any value, for one that is none.

    An empty one, one with a line break or another character that is not shown, or a space at an end; an access key that
    is not ASCII, which no request can carry.
    """
    keys = []
    for reference in (access_ref, secret_ref):
        key = read_text_secret(reference)
        wrong = "is empty" if not key.strip() else "begins or ends with a space" if key != key.strip(" ") else ""
        if odd := odd_in(key):
            wrong = f"has a character {odd} in it" + (", of Windows' line ends" if odd == "U+000D" else "")
        if not wrong and reference == access_ref and not key.isascii():
            wrong = "is not ASCII"
        if wrong:
            raise UsageError(f"secret {reference}: a key of an object store {wrong}; store the key alone, on one line")
        keys.append(key)
    return keys[0], keys[1]


def for_password_file(reference: str) -> str:
    """Return a password as libpq's password file has it, special characters escaped. Raises UsageError for a newline.

    Format: https://www.postgresql.org/docs/current/libpq-pgpass.html
    """
    password = read_text_secret(reference)
    if "\n" in password:
        raise UsageError(f"secret {reference}: a password file cannot hold a newline; choose another password")
    return password.replace("\\", "\\\\").replace(":", "\\:")
