"""Look-up of kind and kubectl."""

import shutil
from pathlib import Path

from harness.core.errors import MissingPart
from harness.images.kind.node import programs_folder


def kind_program() -> Path:
    """Return the path of kind: built with the node image, else on PATH. Raises MissingPart."""
    return _find("kind")


def kubectl_program() -> Path:
    """Return the path of kubectl: built with the node image, else on PATH. Raises MissingPart."""
    return _find("kubectl")


def _find(name: str) -> Path:
    ours = programs_folder() / "bin" / name
    if ours.is_file():
        return ours
    found = shutil.which(name)
    if found is None:
        raise MissingPart(f"{name}: neither in the cache nor on PATH; run `make images`, or install {name}")
    return Path(found)
