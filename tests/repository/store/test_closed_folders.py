"""A folder that may not be read is passed over by a listing, and by no removal, which would say that it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness.repository.store.directory.files import DirectoryStore

ROOT = Path(__file__).resolve().parents[3]
AS_USER = ("unshare", "--user", "--map-user=1234", "--map-group=1234")
SCRIPT = """
import sys
from pathlib import Path
from harness.core.errors import HarnessError
from harness.repository.catalogue import Repository
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.expunge import all_below
from harness.repository.upkeep.reaper import reap
store = DirectoryStore(Path(sys.argv[1]))
print([one.key for one in store.list("e/data/")])
found = reap(Repository(store, "e"), 0)
print(*found.removed, found.note)
try:
    print([one.key for one in all_below(store, "e/wal/")])
except HarnessError as error:
    print(error)
print([one.key for one in store.list("e/")])
"""
FIRST, SECOND = (f"20200101T00000{n}.000000Z-0123456789" for n in (1, 2))


def run(root: Path) -> list[str]:
    done = subprocess.run(
        [*AS_USER, sys.executable, "-c", SCRIPT, str(root)],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout.splitlines()


def test_a_removal_names_the_folder_that_may_not_be_read_and_goes_on(directory: DirectoryStore) -> None:
    """It said `removed`, and the folder stayed."""
    for name in (FIRST, SECOND):
        directory.put(f"e/intent/{name}.json", (b"{}",))
        directory.put(f"e/data/{name}/databases/shop", (b"x",))
    directory.put("e/wal/run/wal/1", (b"x",))
    closed = [directory.root / "e/data" / FIRST / "databases", directory.root / "e/wal/run/wal"]
    for folder in closed:
        folder.chmod(0)
    try:
        listed, reaped, wal, left = run(directory.root)
        assert listed == f"['e/data/{SECOND}/databases/shop']"
        place = f"store {directory.root}, e/data/{FIRST}/databases/"
        assert reaped.startswith(f"{SECOND} not removed: {FIRST}: {place}: cannot be listed: permission denied; give")
        assert wal.startswith(f"store {directory.root}, e/wal/run/wal/: cannot be listed: permission denied")
        assert SECOND not in left
        assert FIRST in left  # its intent: the next run tries again
    finally:
        for folder in closed:
            folder.chmod(0o700)
    _, reaped, wal, left = run(directory.root)
    assert (reaped.strip(), wal, left) == (FIRST, *["['e/wal/run/wal/1']"] * 2)
