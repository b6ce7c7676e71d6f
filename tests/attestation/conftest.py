"""Records that a real judge made: drills of the estate in memory, concluded and sealed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from harness.attestation.keys import key_name
from harness.attestation.statement import seal
from harness.core.record import DrillRecord
from harness.evidence.folder import JOURNAL, RecordFolder, read_record
from harness.evidence.journal import JournalFile
from harness.restore_test.restore_test import RestoreTest
from harness.signing import new_signing_pair, read_signing_key, read_verify_key
from tests.memory_drill import drill_of, header, start
from tests.memory_estate import MemoryEstate, memory_estate
from tests.traffic.backend import Backend

__all__ = ["memory_estate"]

PAIR = new_signing_pair()
MADE: list[Path] = []
INPUTS = {
    "features/site_loss.feature": b"Feature: The estate comes back\n",
    "features/budgets.toml": b'["site loss"]\nrto_s = 3600\n',
    "estate.toml": b'[estate]\nname = "shop"\n',
}


@dataclass(frozen=True)
class Sealed:
    """A sealed record, and the pair of keys of whoever sealed it."""

    folder: Path
    private: Ed25519PrivateKey
    public: Ed25519PublicKey
    pem: Path  # the public key in a file outside the bundle

    @property
    def record(self) -> DrillRecord:
        return read_record(self.folder)


def drilled(estate: MemoryEstate, reports: Path, key: Ed25519PrivateKey | None) -> Path:
    """Return the folder of a drill that was carried out in memory, judged and sealed."""
    about = replace(header(), inputs=INPUTS, signing_key=key_name(key), approver="the owner", expected="KEPT")
    drill = drill_of(estate, reports, about, on_disk=True)
    start(drill)
    drill.back_up()
    drill.strike()
    drill.recover()
    drill.conclude()
    drill.close()
    seal(drill.folder.path, key)
    return drill.folder.path


def restore_tested(estate: MemoryEstate, reports: Path, key: Ed25519PrivateKey | None, times: int = 1) -> Path:
    """Return the folder of restore tests that were carried out in memory; the record is of the last."""
    estate.backed_up()
    folder = RecordFolder.make(reports, "restore test in memory")
    estate.journal = JournalFile(folder.path / JOURNAL)
    about = replace(header("restore test"), inputs=INPUTS, signing_key=key_name(key))
    with Backend("dr") as gateway:
        for _ in range(times):
            RestoreTest(about, estate.connections, lambda: gateway.address, folder, estate.journal).run()
    seal(folder.path, key)
    return folder.path


@pytest.fixture
def sealed(memory_estate: MemoryEstate, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A record of this test's own: a copy of one that was drilled once."""
    if not MADE:
        MADE.append(drilled(memory_estate, tmp_path_factory.mktemp("sealed"), read_signing_key(PAIR[0])))
    folder = tmp_path / "reports/drills" / MADE[0].name
    shutil.copytree(MADE[0].parent, folder.parent)
    (tmp_path / "record.pem").write_bytes(PAIR[0])
    (tmp_path / "record.pub").write_bytes(PAIR[1])
    return Sealed(folder, read_signing_key(PAIR[0]), read_verify_key(PAIR[1]), tmp_path / "record.pub")
