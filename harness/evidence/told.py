"""`told.json` in a record folder: who was told about the outcome. It is written after the record is concluded."""

import json
from dataclasses import asdict
from pathlib import Path

from harness.core.told import Told

NAME = "told.json"


def write_told(folder: Path, told: tuple[Told, ...]) -> None:
    """Write the deliveries of one outcome. Raises OSError."""
    text = json.dumps([asdict(one) for one in told], indent=1, ensure_ascii=False)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")


def read_told(folder: Path) -> tuple[Told, ...]:
    """Return the deliveries of a record, () where nobody was told or the file cannot be read."""
    try:
        return tuple(Told(**row) for row in json.loads((folder / NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return ()
