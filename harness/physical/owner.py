"""Who owns a restored data folder: root gives it to the owner of the empty folder that was there before."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from harness.core.errors import RestoreFailed, UsageError

Identity = tuple[int, int]  # device and inode


def identity_of(folder: Path) -> Identity | None:
    """Return device and inode of a folder, None where none is."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def take_over(folder: Path) -> os.stat_result | None:
    """Make a folder, or take the one that is there for its user alone, root's meanwhile where root runs this.

    Return owner and mode of the one that was there. Raises UsageError for a link, and where root cannot have it.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        return None
    try:  # who owns the folder above may put a link in its place: by a descriptor, nothing is changed elsewhere
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        raise UsageError(f"--into {folder}: is a link, or no folder; name a folder") from None
    try:
        was = os.fstat(descriptor)
        if was.st_uid != os.geteuid() == 0:
            # PostgreSQL's programs are run in a namespace where root owns nothing of others.
            os.fchown(descriptor, 0, 0)
        os.fchmod(descriptor, 0o700)
    except OSError as error:
        why = f"belongs to another user, and cannot be taken over meanwhile ({error.strerror})"
        raise UsageError(f"--into {folder}: {why}; name a new folder, or run this as that user") from None
    finally:
        os.close(descriptor)
    return was


def hand_over(was: os.stat_result, folders: Mapping[Path, Identity | None], mode: int = 0o700) -> None:
    """Give folders, with all in them, to the owner that `was`, and the folders `mode`. Who is not root gives the mode.

    The new owner may own the folder above and put a link, or another folder, in the place of one: each must be the one
    that it was, and is worked on by descriptors. It becomes his after what is in it, so that he changes nothing before.
    Raises RestoreFailed for a folder that is another one, OSError.
    """
    root = os.geteuid() == 0
    for folder, identity in folders.items():
        if identity is None:
            continue
        replaced = RestoreFailed(f"{folder}: something else took its place meanwhile, and is given to nobody")
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            raise replaced from None
        try:
            found = os.fstat(descriptor)
            if (found.st_dev, found.st_ino) != identity:
                raise replaced
            if root:
                for _, places, files, at in os.fwalk(".", topdown=False, dir_fd=descriptor):
                    for name in (*places, *files):
                        os.chown(name, was.st_uid, was.st_gid, dir_fd=at, follow_symlinks=False)
                os.fchown(descriptor, was.st_uid, was.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(mode))
        finally:
            os.close(descriptor)
