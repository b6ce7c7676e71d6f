"""Versions of the programs that judged: part of every record, beside those of the programs that were drilled."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from harness import __version__

PACKAGES = ("cryptography", "minio", "psycopg", "zstandard")  # what read and compared the data


def own_versions() -> Mapping[str, str]:
    """Return name -> version of blackstart, Python, the kernel and the packages that read and compare data."""
    found = {"blackstart": __version__, "python": platform.python_version(), "kernel": platform.release()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
