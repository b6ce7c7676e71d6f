"""Update of all lock files, for `make lock`. They contain hashes and no addresses of registries."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.parts.command import environment, run
from harness.parts.install import ensure
from harness.parts.places import CODE
from harness.parts.programs import program
from harness.parts.sources.wheels import LOCKS, UV
from harness.parts.table import PARTS, Source
from harness.patience import PATIENCE

_OLDEST_PYTHON = "3.11"
_OPTIONS = ("--quiet", "--upgrade", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header")


def lock_wheels(requirements: Path, *more: str, lock: str = "") -> None:
    """Write the .lock beside a .in file, or the file called `lock` there. Raises HarnessError as uv says."""
    run(
        [*UV, "pip", "compile", *_OPTIONS, "--python-version", _OLDEST_PYTHON, *more,
         requirements.name, "--output-file", lock or requirements.with_suffix(".lock").name],
        cwd=requirements.parent, env=environment(), patience=PATIENCE.part_install,
    )  # fmt: skip


def lock_npm(folder: Path) -> None:
    """Write the package-lock.json of a package.json. Raises HarnessError with npm's message."""
    ensure("node")
    with TemporaryDirectory() as scratch:
        shutil.copyfile(folder / "package.json", Path(scratch) / "package.json")
        run(
            [program("node"), program("npm"), "install", "--package-lock-only", "--ignore-scripts", "--no-audit",
             "--no-fund", "--omit-lockfile-registry-resolved", "--loglevel=error"],
            cwd=Path(scratch), env=environment(), patience=PATIENCE.part_install,
        )  # fmt: skip
        shutil.copyfile(Path(scratch) / "package-lock.json", folder / "package-lock.json")


def main() -> int:
    """Write every lock file; returns the exit code 0."""
    lock_wheels(CODE / "pyproject.toml", "--all-extras", lock="requirements.lock")
    lock_wheels(CODE / "requirements-dev.in")
    lock_wheels(LOCKS / "odoo.in", "--no-annotate")
    lock_wheels(LOCKS / "programs.in", "--no-annotate", "--no-deps")
    lock_wheels(LOCKS / "bootstrap.in", "--no-annotate", "--no-deps")
    for one in PARTS:
        if one.source is Source.NPM:
            lock_npm(LOCKS / one.name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
