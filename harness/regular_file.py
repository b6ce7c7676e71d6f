"""Files that are read and replaced whole, in a folder that others may write to.

A pipe is not waited for, a device is not read, and nothing is left of a file that could not be replaced.
"""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

OWN = 0o600


def read_regular(path: Path, most: int = -1, *, links: bool = False) -> bytes:
    """Return the bytes of a regular file, at most `most` of them, all for -1. Raises OSError for anything else.

    `links`: whether the last part of the path may be a symbolic link.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    opened = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "is no regular file")
    with os.fdopen(opened, "rb") as file:
        return file.read(most)


def replace_file(path: Path, data: bytes, mode: int = OWN) -> None:
    """Replace a file, synced to its disk, or leave it as it was and nothing beside it. Raises OSError."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise
