"""Look-up of the programs of installed parts."""

import os
import shutil

from harness.core.errors import MissingPart
from harness.parts.recipes import where
from harness.parts.table import bringer

FROM = "BLACKSTART_PROGRAMS"  # `path` in the image of blackstart, where programs are on PATH instead of in parts


def program(name: str) -> str:
    """Return the absolute path of a program in the table, or of a folder such as odoo-addons.

    n8n, allure and npm are JavaScript: run them with `node`. If $BLACKSTART_PROGRAMS is `path`, a program on PATH is
    used when its part is not installed. Raises MissingPart when there is none.
    """
    part, brought = bringer(name)
    for path in where(part.name).glob(brought.path):
        return str(path)
    if os.environ.get(FROM) == "path" and (found := shutil.which(name)):
        return found
    raise MissingPart(f"{name}: the part {part.name} is not installed; run `blackstart prepare`")
