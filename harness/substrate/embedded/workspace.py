"""Workspace of a node or task that is a process: folders of this machine, and a minimal environment."""

import os
from collections.abc import Mapping
from pathlib import Path

from harness.core.node import Address, NodeSpec, Task
from harness.substrate.common.filesystem import make_folder, plain
from harness.substrate.common.workspace import Workspace


def workspace_of(site: Path, name: str, spec: NodeSpec | Task, ports: Mapping[str, Address]) -> Workspace:
    """Return the workspace of a node or task called `name`, of the site with folder `site`; its folders are created."""
    home = make_folder(site / "files" / name)
    base = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": str(make_folder(site / "tmp")),
    }
    return Workspace(name, spec, ports, str(home), lambda volume: str(volume_folder(site, volume)), base)


def volume_folder(site: Path, name: str) -> Path:
    """Return the folder of a volume of the site with folder `site`; it is created."""
    return make_folder(site / "volumes" / plain("volume", name))
