"""A program: backs up and restores a large file and a large object; prints the most memory that it took, in MiB.

Its arguments: a folder with the volumes `primary` and `dr`, and the two object stores as JSON, [host, port, access key,
secret key] each.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from harness.backup.pack import pack_objects
from harness.backup.tree import pack_tree
from harness.backup.unpack import unpack
from harness.core.contents import Contents, DatabaseFacts, SystemFacts
from harness.core.node import Address, Site
from harness.core.service import S3, Objects, Place, Sources, Sql, Tree
from harness.recovery.restore_files import files_lost_since
from harness.recovery.write_files import into_bucket, into_volume
from harness.substrate.common.folder_volume import FolderVolume
from tests.cases.estate import CaseService
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients

NOWHERE = Address("127.0.0.1", 9)
TREE, OBJECTS = Tree("uploads", "uploads", ""), Objects("media")


def place(folder: Path, store: list[str | int]) -> Place:
    """Return a site with one volume and one store."""
    host, port, access, secret = store
    address = Address(str(host), int(port))
    site = cast("Site", SimpleNamespace(name=folder.name, volume=lambda _name: FolderVolume(folder)))
    return Place(site, Sql(NOWHERE, NOWHERE, "", ""), S3(address, address, str(access), str(secret)), {})


def main() -> None:
    """Back up, restore, and compare."""
    folder, stores = Path(sys.argv[1]), json.loads(sys.argv[2])
    primary, dr = place(folder / "primary", stores[0]), place(folder / "dr", stores[1])
    recipients = Recipients()
    repository = recipients.repository(MemoryStore(), "case")  # what is stored there is compressed: zeros take no room
    writer = recipients.begin(repository)
    archives = {"trees/1": pack_tree(primary, TREE, None), "trees/2": pack_objects(primary, OBJECTS, None)}
    for path, archive in archives.items():
        writer.add(path, archive.chunks())
    facts = tuple(archive.facts for archive in archives.values())
    database = DatabaseFacts("a", "", "", "", 0, datetime(2026, 1, 1, tzinfo=UTC), 0.0, ())
    contents = Contents(SystemFacts("1", "18.1", 1), (database,), facts, ())
    writer.commit(contents)
    backup = repository.latest_valid(recipients.dr[0]).backup
    targets = (into_volume(dr, TREE), into_bucket(dr, OBJECTS, backup.backup_id, *[lambda *_words: None] * 2))
    inventories = [
        unpack(of.name, backup.read(path), of, write) for of, path, write in zip(facts, archives, targets, strict=True)
    ]
    service = CaseService(declared=Sources(trees=(TREE,), objects=(OBJECTS,)))
    since = files_lost_since(dr, [service], contents, inventories)
    # Not ru_maxrss: it begins with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    memory = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    result = {"memory": memory, "sizes": [of.size for of in facts], "lost": since.lost + since.changed}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
