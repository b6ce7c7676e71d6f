"""Where a program is."""

from __future__ import annotations

from harness.core.errors import MissingPart
from harness.parts.recipes import where
from harness.parts.table import bringer


def program(name: str) -> str:
    """Return the absolute path of a program of the table, or of a folder such as odoo-addons.

    n8n, allure and npm are JavaScript: run them with `node`. Raises MissingPart when its part is not installed.
    """
    part, brought = bringer(name)
    for path in where(part.name).glob(brought.path):
        return str(path)
    raise MissingPart(f"{name}: the part {part.name} is not installed; `make setup`")
