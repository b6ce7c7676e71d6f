"""Look-up of the programs of installed parts."""

import os
import shutil

from harness.core.errors import MissingPart
from harness.parts.recipes import where
from harness.parts.table import bringer

FROM = "BLACKSTART_PROGRAMS"  # `path` in the image of blackstart, where programs are on PATH instead of in parts


def program(name: str) -> str:
    """Return a program's absolute path, on PATH only if $BLACKSTART_PROGRAMS is `path`. Raises MissingPart."""
    part, brought = bringer(name)
    for path in where(part.name).glob(brought.path):
        return str(path)
    if os.environ.get(FROM) == "path" and (found := shutil.which(name)):
        return found
    raise MissingPart(f"{name}: the part {part.name} is not installed; run `blackstart prepare`")
