"""The marker of a repository in a directory, which tells a mounted disk from an empty mount point."""

import os
from contextlib import suppress
from pathlib import Path

from harness.core.errors import UsageError
from harness.repository.store.directory.folders import FILE_MODE, MARKER

FORMAT = b"blackstart-directory/1\n"
USUAL = ("lost+found",)  # what a new file system has


def mark(root: Path) -> str:
    """Make an empty folder a repository; return a warning, "" for none. Raises UsageError for any other folder."""
    try:
        found = sorted({path.name for path in root.iterdir()} - {*USUAL})
        if MARKER in found:
            raise UsageError(f"{root}: is a repository already; nothing was changed")
        if found:
            raise UsageError(f"{root}: is not empty ({found[0]}); name an empty folder")
        if not _tells_case(root):
            raise UsageError(f"{root}: its file system does not tell a from A, so names could clash; use another one")
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            file = os.open(MARKER, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE, dir_fd=folder)
            with os.fdopen(file, "wb") as writing:
                writing.write(FORMAT)
                writing.flush()
                os.fsync(file)
            os.fsync(folder)
        finally:
            os.close(folder)
        if root.stat().st_dev == Path("/").stat().st_dev:
            return f"{root} is on the disk of this machine's system, and is lost with it; is the right disk mounted?"
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{root}: cannot be made a repository: {reason}; make the folder, mount its disk") from None
    return ""


def _tells_case(root: Path) -> bool:
    small, large = root / ".blackstart-case", root / ".BLACKSTART-CASE"
    small.touch(mode=FILE_MODE)
    try:
        return not large.exists()
    finally:
        with suppress(OSError):
            small.unlink()
