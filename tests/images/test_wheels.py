"""The image of blackstart has every package that its code imports."""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

from harness.images.build.wheels import HARNESS
from harness.images.context import project_files

ROOT = Path(__file__).resolve().parents[2]
OURS = {"harness", "notifier"}
NOT_THERE = {"testcontainers"}  # a site made of containers is not made inside one
NAME = re.compile(r"[A-Za-z0-9._-]+")


def imported() -> set[str]:
    """Return the top-level packages that the project's code in the image imports, without the standard library's."""
    found = set()
    for name in project_files("harness"):
        if name.endswith(".py"):
            for node in ast.walk(ast.parse((ROOT / name).read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - OURS


def with_dependencies(names: tuple[str, ...]) -> set[str]:
    """Return distributions and what they require, extras left out."""
    found: set[str] = set()
    todo = [name.lower() for name in names]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        try:
            lines = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:  # required on another Python or platform
            continue
        for line in lines:
            if "extra ==" not in line and (match := NAME.match(line)):
                todo.append(match.group().lower().replace("_", "-"))
    return found


def test_every_import_is_in_the_image() -> None:
    installed, there = metadata.packages_distributions(), with_dependencies(HARNESS)
    lacking = {
        name for name in imported() if not {one.lower().replace("_", "-") for one in installed.get(name, ())} & there
    }
    assert lacking == NOT_THERE
