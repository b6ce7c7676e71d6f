"""A backup can be read without this project: with Tink, `cryptography`, zstd and docs/FORMAT.md."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from harness.pem import fingerprint
from harness.repository.catalogue import Repository
from harness.repository.format.recipients import read_public
from tests.repository.store_servers import Recipients, back_up

FORMAT = Path(__file__).resolve().parents[2] / "docs/FORMAT.md"
SHOP = b"PGDMP and the rows of the shop, " * 300_000


def program_in_the_docs() -> str:
    """Return the program that docs/FORMAT.md contains."""
    blocks = re.findall(r"```python\n(.*?)```", FORMAT.read_text(encoding="utf-8"), re.DOTALL)
    (program,) = [block for block in blocks if "new_decrypting_stream" in block]
    return str(program)


@pytest.mark.parametrize("recipient", ["dr", "escrow"])
def test_the_documented_program_opens_a_backup(
    repository: Repository, recipients: Recipients, tmp_path: Path, recipient: str
) -> None:
    receipt = back_up(repository, recipients, globals=b"CREATE ROLE odoo;", databases__shop=SHOP)
    # Only a copy of the bucket and one recipient's private key.
    layout = repository.layout
    path = "databases/shop"
    for name, key in (
        ("commit.json", layout.commit(receipt.backup_id)),
        ("manifest", layout.manifest(receipt.backup_id)),
        ("wrapped", layout.keys(receipt.backup_id, fingerprint(read_public(getattr(recipients, recipient)[1])))),
        ("object", layout.data(receipt.backup_id, path)),
    ):
        (tmp_path / name).write_bytes(b"".join(repository.store.get(key)))
    (tmp_path / "recipient.pem").write_bytes(getattr(recipients, recipient)[0])
    (tmp_path / "writer.pub").write_bytes(recipients.writer[1])
    source = program_in_the_docs()
    assert "harness" not in source
    assert "databases/0001.dump" in source
    (tmp_path / "reader.py").write_text(source.replace("databases/0001.dump", path), encoding="utf-8")
    run_reader(tmp_path)
    compressed = (tmp_path / "object.zst").read_bytes()
    if zstd := shutil.which("zstd"):
        done = subprocess.run([zstd, "-dc"], input=compressed, capture_output=True, check=True, timeout=30)
        assert done.stdout == SHOP
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(compressed), read_across_frames=True)
    assert reader.read() == SHOP


def run_reader(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "reader.py"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
