"""Python packages for images: locked versions, for the Python and the C library of the base image."""

import platform
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.parts.command import environment, run
from harness.parts.places import FILES
from harness.parts.sources.wheels import LOCKS, UV, locked
from harness.patience import PATIENCE

PYTHON = "3.11"  # the base image's
PLATFORM = f"{platform.machine()}-manylinux_2_36"
LOCK = FILES / "requirements.lock"
NOTIFIER = ("apprise", "minio", "psycopg", "psycopg-binary", "starlette", "uvicorn")
DJANGO = ("django", "minio", "psycopg", "psycopg-binary")
HARNESS = (
    *NOTIFIER, "apscheduler", "cryptography", "dnspython", "docker", "jinja2", "kubernetes", "pydantic", "requests",
    "rich", "typer", "urllib3", "zstandard",
)  # fmt: skip


def lock_text() -> str:
    """Return the lock of the project."""
    return LOCK.read_text(encoding="utf-8")


def install_locked(names: Iterable[str], into: Path) -> None:
    """Install packages and their dependencies in locked versions. Raises MissingPart, HarnessError."""
    lock = lock_text()
    with tempfile.TemporaryDirectory(prefix="blackstart-wheels-") as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text("\n".join(locked(name, lock) for name in names) + "\n", encoding="utf-8")
        _install(into, "-r", str(wanted), "-c", str(LOCK))


def install_odoo_wheels(into: Path) -> None:
    """Install Odoo's dependencies from its lock file. Raises HarnessError with uv's message."""
    _install(into, "-r", str(LOCKS / "odoo.lock"))


def _install(into: Path, *words: str) -> None:
    run(
        [*UV, "pip", "install", "--quiet", "--target", str(into), "--python-version", PYTHON,
         "--python-platform", PLATFORM, "--require-hashes", *words],
        env=environment(), patience=PATIENCE.image_wheels,
    )  # fmt: skip
