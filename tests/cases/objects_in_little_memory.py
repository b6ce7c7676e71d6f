"""A program: backs up, restores and checks a bucket; prints memory and time of each of these, as JSON.

Its arguments: a folder, the two object stores as JSON, as `files_in_little_memory` has them, and the bucket. Its
memory is the most that the process held while it did that, in KiB; the backup is in the folder.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from harness.backup.pack import pack_objects
from harness.backup.unpack import unpack
from harness.core.contents import Contents, DatabaseFacts, SystemFacts
from harness.core.service import Objects, Sources
from harness.recovery.restore_files import files_lost_since, not_restored
from harness.recovery.write_files import into_bucket
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.directory.marker import mark
from tests.cases.estate import CaseService
from tests.cases.files_in_little_memory import place
from tests.repository.store_servers import Recipients

PEAK = Path("/proc/self/clear_refs"), "5"
found: dict[str, dict[str, float]] = {}


@contextmanager
def measured(name: str) -> Iterator[None]:
    """Note peak and time of a block. Not ru_maxrss: it cannot be begun anew."""
    gc.collect()
    PEAK[0].write_text(PEAK[1], encoding="ascii")
    began = time.monotonic()
    yield
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found[name] = {
        "memory": int(status.partition("VmHWM:")[2].split()[0]),
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    """Back up, restore, check, and check again as before sign-off."""
    folder, stores, objects = Path(sys.argv[1]), json.loads(sys.argv[2]), Objects(sys.argv[3])
    primary, dr = place(folder, stores[0]), place(folder, stores[1])
    recipients, offsite = Recipients(), folder / "offsite"
    offsite.mkdir(0o700)
    mark(offsite)
    repository = recipients.repository(DirectoryStore(offsite), "case")
    with measured("begin"):
        writer = recipients.begin(repository)
    with measured("backup"):
        archive = pack_objects(primary, objects, None)
        writer.add("trees/1", archive.chunks())
        database = DatabaseFacts("a", "", "", "", 0, datetime(2026, 1, 1, tzinfo=UTC), 0.0, ())
        contents = Contents(SystemFacts("1", "18.1", 1), (database,), (archive.facts,), ())
        writer.commit(contents)
    with measured("restore"):
        backup = repository.latest_valid(recipients.dr[0]).backup
        write = into_bucket(dr, objects, backup.backup_id, *[lambda *_words: None] * 2)
        inventories = [unpack(archive.name, backup.read("trees/1"), archive.facts, write)]
    services = [CaseService(declared=Sources(objects=(objects,)))]
    with measured("check"):
        lost = not_restored(dr, services, contents, inventories)
    with measured("sign-off"):
        since = files_lost_since(dr, services, contents, inventories)
    found["objects"] = {"count": archive.facts.files, "lost": len(lost + since.lost + since.changed)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
