"""Base backup and WAL are read without this project, by the programs of docs/FORMAT.md; PostgreSQL starts from it."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import psycopg
import zstandard

from harness.core.clock import wait_until
from harness.core.journal import MemoryJournal
from harness.pem import fingerprint
from harness.physical.backup import take_physical
from harness.physical.private_server import Running, running_server
from harness.physical.programs import programs_of
from harness.repository.format.recipients import read_public
from harness.repository.wal.catalogue import Shipped, read_wal
from tests.physical.conftest import Archive
from tests.repository.test_independence import program_in_the_docs, run_reader

FORMAT = Path(__file__).resolve().parents[2] / "docs/FORMAT.md"


def program_for_wal() -> str:
    blocks = re.findall(r"```python\n(.*?)```", FORMAT.read_text(encoding="utf-8"), re.DOTALL)
    (program,) = [block for block in blocks if "list.json" in block]
    assert "harness" not in program
    return str(program)


def copied(archive: Archive, folder: Path, files: dict[str, str]) -> Path:
    """Write objects of the bucket, the private key of the offline recipient and the writer's key into a folder."""
    folder.mkdir()
    for name, key in files.items():
        (folder / name).write_bytes(b"".join(archive.repository.store.get(key)))
    (folder / "recipient.pem").write_bytes(archive.keys.escrow[0])
    (folder / "writer.pub").write_bytes(archive.keys.writer[1])
    return folder


def test_a_server_starts_from_what_the_documented_programs_read(archive: Archive, tmp_path: Path) -> None:
    archive.db.execute("postgres", "CREATE TABLE read_elsewhere AS SELECT generate_series(1, 500) i")
    receipt = take_physical(archive.source, MemoryJournal())
    layout, own = archive.repository.layout, fingerprint(read_public(archive.keys.escrow[1]))
    path = "base/base.tar"
    names = {
        "commit.json": layout.commit(receipt.backup_id),
        "manifest": layout.manifest(receipt.backup_id),
        "wrapped": layout.keys(receipt.backup_id, own),
        "object": layout.data(receipt.backup_id, path),
    }
    base = copied(archive, tmp_path / "base", names)
    (base / "reader.py").write_text(program_in_the_docs().replace("databases/0001.dump", path), encoding="utf-8")
    run_reader(base)
    packed = io.BytesIO((base / "object.zst").read_bytes())
    plain = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with tarfile.open(fileobj=io.BytesIO(plain.read())) as tar:
        tar.extractall(data, filter="data")
    files = [one for found in read_wal(archive.repository).segments.values() for one in found[:1]]
    for number, one in enumerate(files):
        read_one(archive, tmp_path / f"wal{number}", one, data / "pg_wal")
    (data / "recovery.signal").touch()
    place = tmp_path / "run"
    place.mkdir(mode=0o700)
    with running_server(programs_of(18), data, place, {"hot_standby": "off"}) as process:
        wait_until(Running(process, place, "postgres").promoted, patience=30)
        with psycopg.connect(host=str(place), user="postgres", dbname="postgres") as session:
            assert session.execute("SELECT count(*) FROM read_elsewhere").fetchone() == (500,)
    archive.db.execute("postgres", "DROP TABLE read_elsewhere")


def read_one(archive: Archive, folder: Path, shipped: Shipped, into: Path) -> None:
    layout, listed, entry = archive.repository.layout, shipped.listed, shipped.entry
    names = {
        "list.json": layout.wal_list(listed.sequence, listed.run, listed.tail),
        "wrapped": layout.wal_keys(listed.run, fingerprint(read_public(archive.keys.escrow[1]))),
        "object": layout.wal(listed.run, entry.path),
    }
    copied(archive, folder, names)
    (folder / "wal.py").write_text(program_for_wal(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "wal.py", entry.name], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (into / entry.name).write_bytes((folder / entry.name).read_bytes())
