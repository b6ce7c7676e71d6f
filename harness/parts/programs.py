"""Look-up of the programs of installed parts, and of PostgreSQL's client programs for a server's version."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.core.errors import MissingPart
from harness.parts.recipes import where
from harness.parts.table import bringer
from harness.patience import PATIENCE

FROM = "BLACKSTART_PROGRAMS"  # `path` in the image of blackstart, where programs are on PATH instead of in parts
CLIENTS = "BLACKSTART_PG_BIN"  # a folder with PostgreSQL's client programs, or several as in PATH
PACKAGED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")  # of Debian's and of the PostgreSQL project's packages
CLIENT = "pg_dump"  # shows the version of a folder's programs


@dataclass(frozen=True, slots=True)
class ClientPrograms:
    """A folder with PostgreSQL's client programs."""

    folder: str
    version: str

    @property
    def major(self) -> int:
        """Their major version."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])  # of 19beta1 as well

    @property
    def tls(self) -> bool:
        """Whether their libpq can encrypt connections."""
        return _has_tls(self.folder)


def program(name: str) -> str:
    """Return a program's absolute path, on PATH only if $BLACKSTART_PROGRAMS is `path`. Raises MissingPart."""
    part, brought = bringer(name)
    for path in where(part.name).glob(brought.path):
        return str(path)
    if os.environ.get(FROM) == "path" and (found := shutil.which(name)):
        return found
    raise MissingPart(f"{name}: the part {part.name} is not installed; run `blackstart prepare`")


def client_program(name: str, major: int, *, tls: bool = False) -> str:
    """Return the path of a client program for a server of that major: of the lowest version that is not older.

    `tls`: it must be able to encrypt. Raises MissingPart, one line with those that were found.
    """
    found = [one for one in client_programs() if Path(one.folder, name).is_file()]
    if fit := [one for one in found if major <= one.major and (not tls or one.tls)]:
        return str(Path(min(fit, key=lambda one: one.major).folder, name))
    there = ", ".join(f"{one.version} in {one.folder}{'' if one.tls or not tls else ' without TLS'}" for one in found)
    raise MissingPart(
        f"{name} of PostgreSQL {major} or newer{' with TLS' if tls else ''} is missing (found: {there or 'none'}); "
        f"install the client programs of PostgreSQL {major}, or name their folder in {CLIENTS}"
    )


def client_programs() -> tuple[ClientPrograms, ...]:
    """Return every folder with PostgreSQL's client programs here; the preferred one of equal versions comes first."""
    found = (ClientPrograms(folder, version) for folder in _folders() if (version := _version(folder)))
    return tuple(dict.fromkeys(found))


def _folders() -> Iterator[str]:
    named = os.environ.get(CLIENTS, "").split(os.pathsep)
    part, brought = bringer(CLIENT)
    parts = [str(path.parent) for path in where(part.name).glob(brought.path)]
    packaged = [str(path) for pattern in PACKAGED for path in sorted(Path("/").glob(pattern.lstrip("/")))]
    for folder in (*named, *parts, *packaged, *os.environ.get("PATH", "").split(os.pathsep)):
        found = Path(folder, CLIENT).resolve()
        if folder and found.is_file() and found.name == CLIENT:  # in Debian's bin it is a wrapper of all versions
            yield str(found.parent)


@cache
def _version(folder: str) -> str:
    """Return the version of the programs in a folder, "" when they do not say it."""
    said = _said(folder, "--version")
    found = re.search(r"\(PostgreSQL\) (\d+[.\w]*)", said)
    return found.group(1) if found else ""


@cache
def _has_tls(folder: str) -> bool:
    """Return whether libpq refuses no `sslmode`, which it does before it connects. No server listens in `/`."""
    return "not compiled in" not in _said(folder, "--no-password", "--dbname=host=/ port=1 sslmode=require")


def _said(folder: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [str(Path(folder, CLIENT)), *arguments],
            env={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=PATIENCE.client_version, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
