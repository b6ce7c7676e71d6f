"""Where a program is."""

from __future__ import annotations

import os
import shutil

from harness.core.errors import MissingPart
from harness.parts.recipes import where
from harness.parts.table import bringer

FROM = "BLACKSTART_PROGRAMS"  # `path` in the image of blackstart, whose programs are not parts but on PATH


def program(name: str) -> str:
    """Return the absolute path of a program of the table, or of a folder such as odoo-addons.

    n8n, allure and npm are JavaScript: run them with `node`. Where $BLACKSTART_PROGRAMS is `path`, a program on PATH
    serves when its part is not installed. Raises MissingPart when it is not to be had.
    """
    part, brought = bringer(name)
    for path in where(part.name).glob(brought.path):
        return str(path)
    if os.environ.get(FROM) == "path" and (found := shutil.which(name)):
        return found
    raise MissingPart(f"{name}: the part {part.name} is not installed; run `blackstart prepare`")
