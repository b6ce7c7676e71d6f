"""What a server leaves out of a base backup: all in its data directory that is neither a file nor a folder.

It says so in a warning alone. A link is that too: to the folder of a database that was moved, to a folder of logs.
Source: `sendDir` in `src/backend/backup/basebackup.c` of PostgreSQL.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from harness.core.contents import Gap
from harness.core.errors import BackupFailed
from harness.core.journal import Journal

# Paths begin with `./` in the data directory, with `/` in a tablespace; the quotes are those of the server's language.
SKIPPED = re.compile(r"""["'„“«»](\.?/.+)["'“”«»]""")
# Folders of the data directory without which there is no database.
DATA = ("base", "global", "pg_commit_ts", "pg_logical", "pg_multixact", "pg_tblspc", "pg_twophase", "pg_xact")


def skipped(warnings: Sequence[str], journal: Journal) -> tuple[Gap, ...]:
    """Return what was left out and holds no table; note each warning in the journal.

    `warnings`: what the server said during the base backup. Raises BackupFailed where it left out what holds some.
    """
    gaps, lost = list[Gap](), list[str]()
    for line in warnings:
        journal.mark("log", "base backup", warning=line)
        if (found := SKIPPED.search(line)) is None:
            continue
        path = PurePosixPath(found[1])
        if path.is_absolute() or (path.parts[:1] and path.parts[0] in DATA):
            lost.append(str(path))
        else:
            gaps.append(Gap(f"path {path} of the data directory", "left out", "neither a file nor a folder"))
    if lost:
        raise BackupFailed(
            f"the server left {', '.join(lost[:3])} out of the base backup, {len(lost)} in all, as neither files nor "
            "folders, and tables are there; is it a link? Move what it leads to back, or make a tablespace of it"
        )
    return tuple(gaps)
