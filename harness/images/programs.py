"""kind and kubectl."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.core.errors import MissingPart
from harness.images.kind.node import programs_folder


def kind_program() -> Path:
    """Return kind: the one that was built along with the node image, else the one on PATH. Raises MissingPart."""
    return _find("kind")


def kubectl_program() -> Path:
    """Return kubectl: the one that was built along with the node image, else the one on PATH. Raises MissingPart."""
    return _find("kubectl")


def _find(name: str) -> Path:
    ours = programs_folder() / "bin" / name
    if ours.is_file():
        return ours
    found = shutil.which(name)
    if found is None:
        raise MissingPart(f"{name}: neither built nor on PATH; run `make images`, or install {name} as its makers say")
    return Path(found)
