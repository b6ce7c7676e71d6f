"""Reading of a file in a folder that others may write to: a pipe is not waited for, and a device is not read."""

import errno
import os
import stat
from pathlib import Path


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
