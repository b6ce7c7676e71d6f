"""Who signed off a record: read from the file that `blackstart record sign-off` writes beside it."""

import json
from dataclasses import dataclass
from pathlib import Path

NAME = "sign-off.json"


@dataclass(frozen=True, slots=True)
class Signature:
    """A person's sign-off, as the file says it; `blackstart record verify` checks it."""

    name: str
    wall: str


def signature_of(folder: Path) -> Signature | None:
    """Return who signed off the record in `folder`, None where nobody did."""
    try:
        data = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return Signature(str(data["name"]), str(data["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
