"""Program that makes the namespaces of one site; `isolation` runs it, with the standard library alone.

Arguments: user id and group id of the site's programs, `walled` where they get a network of their own and else `open`,
the site's folder, the folder at which what they write outside it is seen, a number N, N folders that are hidden, and
folders that become private. It prints a line once the namespaces exist and waits for the end of its input: meanwhile
the harness opens them, which keeps them.

mount(8) mounts nothing for a user that is not root, and each call of it is a process: the system calls are made here.
Sources: user_namespaces(7), mount_namespaces(7), the kernel's Documentation/filesystems/overlayfs.rst.
"""

import contextlib
import ctypes
import fcntl
import itertools
import os
import re
import socket
import stat
import struct
import sys
from pathlib import Path

NEWNS, NEWUSER, NEWNET = 0x00020000, 0x10000000, 0x40000000  # unshare(2)
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1  # netdevice(7)
NOSUID, NODEV, REC, PRIVATE = 2, 4, 1 << 14, 1 << 18  # mount(2)
DETACH = 2  # umount2(2)
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442  # the same on every architecture that has Python
HERE, CLONE, RECURSIVE, EMPTY_PATH, READ_ONLY = -100, 1, 0x8000, 4, 1  # their flags
NUMBERS = itertools.count()
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - one of its own is mounted there

libc = ctypes.CDLL(None, use_errno=True)


class Attributes(ctypes.Structure):
    """`struct mount_attr` of mount_setattr(2)."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def call(what: str, function: str, *arguments: object) -> int:
    """Call a function of the C library and return its result. Raises OSError that says what failed."""
    result = int(getattr(libc, function)(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(kind: str, target: str, flags: int = NOSUID | NODEV, options: str = "") -> None:
    """Mount a file system, or change how a mount is propagated. Raises OSError."""
    words = (kind.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), os.fsencode(options))
    call(f"{kind} on {target}", "mount", *words)


def set_read_only(path: str, *, on: bool, flags: int = 0) -> None:
    """Make a mount read-only or writable, with RECURSIVE all mounts below it as well. Raises OSError."""
    found = Attributes(READ_ONLY if on else 0, 0 if on else READ_ONLY, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(found))
    call(f"read-only {path}", "syscall", MOUNT_SETATTR, HERE, path.encode(), flags, ctypes.byref(found), size)


def copy_of(path: str) -> int:
    """Return a descriptor of a copy of the mount of `path`, which is mounted nowhere yet. Raises OSError."""
    return call(f"copy of {path}", "syscall", OPEN_TREE, HERE, os.fsencode(path), CLONE | RECURSIVE | os.O_CLOEXEC)


def attach_to(tree: int, path: str) -> None:
    """Mount such a copy on a path that is there. Raises OSError."""
    call(f"mount on {path}", "syscall", MOVE_MOUNT, tree, b"", HERE, os.fsencode(path), EMPTY_PATH)


def attach(tree: int, path: str) -> None:
    """Mount such a copy on a folder, which is made. Raises OSError."""
    Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
    attach_to(tree, path)


def raise_loopback() -> None:
    """Set the loopback interface up: a new network has no other, and it is down. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        found = struct.unpack("16sh22x", fcntl.ioctl(asked, GET_FLAGS, struct.pack("16sh22x", b"lo", 0)))[1]
        fcntl.ioctl(asked, SET_FLAGS, struct.pack("16sh22x", b"lo", found | UP))


def enter(user: int, group: int, *, walled: bool) -> None:
    """Move this process into new namespaces, in which its own user and group are these. Raises OSError."""
    maps = {"setgroups": "deny", "uid_map": f"{user} {os.getuid()} 1", "gid_map": f"{group} {os.getgid()} 1"}
    call("unshare", "unshare", NEWUSER | NEWNS | (NEWNET if walled else 0))
    for name, text in maps.items():
        Path("/proc/self", name).write_text(text, encoding="ascii")
    if walled:
        raise_loopback()
    mount("none", "/", REC | PRIVATE)


def mounted_below(folder: str) -> list[str]:
    """Return where something is mounted below a folder, sorted. Source: proc_pid_mountinfo(5)."""
    found = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    paths = (re.sub(r"\\(\d{3})", lambda one: chr(int(one[1], 8)), line.split(" ")[4]) for line in found)
    return sorted(path for path in paths if path.startswith(f"{folder}/"))


def new_folder(scratch: str) -> str:
    """Return the path of a new folder in `scratch`, apart from what programs write."""
    path = Path(scratch, "work", str(next(NUMBERS)))
    path.mkdir(parents=True)
    return str(path)


def make_private(folder: str, scratch: str, lower: str = "") -> None:
    """Cover a folder with an overlay: what it holds can be read, what is written goes to `scratch`. Raises OSError.

    `lower`: what is read instead of the folder.
    """
    upper, work = scratch + folder, new_folder(scratch)
    Path(upper).mkdir(parents=True, exist_ok=True)
    Path(upper).chmod(stat.S_IMODE(Path(folder).stat().st_mode))
    paths = (re.sub(r"([\\:,])", r"\\\1", one) for one in (lower or folder, upper, work))
    mount("overlay", folder, options="lowerdir={},upperdir={},workdir={},userxattr".format(*paths))


def cover(folder: str, scratch: str) -> None:
    """Make a folder private even where something is mounted below it. Raises OSError.

    An overlay may not show what lies below a mount of another user namespace, and is refused then. So what the folder
    holds is mounted once more, on an overlay over empty copies of its names: folders are made private one by one;
    files, and what is mounted there, can be read only.
    """
    mounted = mounted_below(folder)
    if not mounted:
        try:
            make_private(folder, scratch)
        except OSError:
            if not (mounted := mounted_below(folder)):
                raise
        else:
            return
    names, trees = new_folder(scratch), {}
    for entry in list(os.scandir(folder)):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            if entry.is_symlink():
                Path(names, entry.name).symlink_to(Path(entry).readlink())
                continue
            if is_folder := entry.is_dir():
                # The table of mounts grows with each folder: it is not read again for one that has none below.
                deeper = any(path.startswith(f"{entry.path}/") for path in mounted)
                with contextlib.suppress(OSError):  # of a kind that no overlay covers: it is seen as it is
                    (cover if deeper else make_private)(entry.path, scratch)
            trees[entry.path] = copy_of(entry.path)
            Path(names, entry.name).mkdir() if is_folder else Path(names, entry.name).touch()
    make_private(folder, scratch, names)
    for path, tree in trees.items():
        attach_to(tree, path)
        os.close(tree)


def enclose(site: str, outside: str, hidden: list[str], private: list[str]) -> None:
    """Lay out the file system: `site` can be written, `hidden` is empty, `private` is its own, all else is read-only.

    Raises OSError.
    """
    own = copy_of(site)
    set_read_only("/", on=True, flags=RECURSIVE)
    set_read_only("/proc", on=False)
    mount("tmpfs", SHARED_MEMORY, options="mode=700")
    scratch = copy_of(SHARED_MEMORY)
    for folder in private:
        cover(folder, SHARED_MEMORY)
    Path(SHARED_MEMORY + SHARED_MEMORY).mkdir(parents=True)
    call("umount", "umount2", SHARED_MEMORY.encode(), DETACH)
    for folder in hidden:
        if Path(folder).is_dir():
            mount("tmpfs", folder, options="mode=700")
    attach(own, site)
    attach(scratch, outside)
    attach(call("copy", "syscall", OPEN_TREE, HERE, (outside + SHARED_MEMORY).encode(), CLONE), SHARED_MEMORY)


if __name__ == "__main__":
    user, group, network, site, outside, number, *folders = sys.argv[1:]
    try:
        enter(int(user), int(group), walled=network == "walled")
        enclose(site, outside, folders[: int(number)], folders[int(number) :])
    except OSError as error:
        sys.exit(error.strerror)
    sys.stdout.write("made\n")
    sys.stdout.flush()
    sys.stdin.read()
