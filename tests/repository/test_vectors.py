"""The stored test vectors of docs/FORMAT.md: a backup of an earlier day opens with its keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.repository.catalogue import Repository, Trust
from harness.signing import read_verify_key
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import contents

VECTORS = Path(__file__).with_name("vectors")


@pytest.mark.parametrize("name", ["recipient.pem", "escrow.pem"])
def test_the_vectors_open(name: str) -> None:
    store, bucket = MemoryStore(), VECTORS / "bucket"
    for path in (path for path in bucket.rglob("*") if path.is_file()):
        store.put(str(path.relative_to(bucket)), (path.read_bytes(),))
    trust = Trust((read_verify_key((VECTORS / "writer.pub").read_bytes()),))
    chosen = Repository(store, "vectors", trust=trust).latest_valid((VECTORS / name).read_bytes())
    assert (chosen.findings, chosen.passed_over) == ((), ())
    assert chosen.backup.manifest.contents == contents()
    assert b"".join(chosen.backup.read("server.json")) == b'{"roles": []}'
    assert b"".join(chosen.backup.read("databases/0001.dump")) == bytes(range(256)) * 4500
