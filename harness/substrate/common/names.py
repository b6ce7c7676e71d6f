"""Names and paths that stay where they belong."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from harness.core.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def parts_of(volume: str, path: str) -> list[str]:
    """Return the steps of a relative path inside a volume; raises UsageError for one that could leave it."""
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\0" in path:
        raise UsageError(f"volume {volume}: {path!r} leaves the volume, or names nothing in it")
    return list(parts)


def plain(kind: str, name: str) -> str:
    """Return `name` when it can be that of a folder; raises UsageError, which calls it a `kind`."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r}: not a name for a {kind}; use letters, digits, '_', '.' and '-'")
    return name
