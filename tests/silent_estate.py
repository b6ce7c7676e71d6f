"""The declaration of an estate whose servers do not listen, and its secrets."""

from __future__ import annotations

from pathlib import Path

from harness.estate.secrets import RECIPIENTS, SIGNING_KEY
from harness.postgres.server import SUPERUSER_PASSWORD
from harness.repository.format.recipients import new_pair
from harness.s3.server import ACCESS, SECRET
from harness.signing import new_signing_pair
from tests.cases.production import DECLARATION, PRIMARY

NOWHERE = "127.0.0.1:9"


def silent_estate(folder: Path, *alerts: str) -> Path:
    """Make a folder with it; return the declaration. `alerts`: references to the targets."""
    private, public = new_signing_pair()
    files = dict.fromkeys((SUPERUSER_PASSWORD, ACCESS, SECRET), b"x")
    files |= {name: new_pair()[1] for name in RECIPIENTS} | {SIGNING_KEY: private, "writer-1.pub": public}
    for name in ("primary", "offsite"):
        (folder / "secrets" / name).mkdir(parents=True)
        for file, data in files.items():
            (folder / "secrets" / name / file).write_bytes(data)
    text = DECLARATION.format(offsite=NOWHERE, read_only="false") + PRIMARY.format(sql=NOWHERE, s3=NOWHERE)
    named = ", ".join(f'"{one}"' for one in alerts)
    (folder / "estate.toml").write_text(f"{text}[backup]\nalerts = [{named}]\n")
    return folder / "estate.toml"
