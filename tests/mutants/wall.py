"""Wall around the tests of a mutant that could write or remove outside their folder: they can change that folder alone.

A process behind it has a mount namespace in which everything but its own folder is read-only, `/dev/shm` and `/run` are
empty ones of its own, and a namespace of processes in which it sees, and can end, its own children alone. It is root
where the caller is. Linux 5.12; the caller is root, or the machine lets users make namespaces.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from harness.substrate.embedded.isolation.mount_namespace import (
    NEWNS,
    NEWUSER,
    PRIVATE,
    REC,
    RECURSIVE,
    attach_to,
    call,
    copy_of,
    mount,
    mounted_below,
    set_read_only,
)
from tests.mutants.catalogue import ROOT

NEWPID = 0x20000000  # unshare(2)
OWN = ("/proc", "/dev/shm", "/run")  # noqa: S108 - mounts that are of the process behind the wall alone
PROBED = (ROOT, Path.home(), Path("/"), Path("/etc"), Path("/var/tmp"), Path(tempfile.gettempdir()))  # noqa: S108
OPEN = 71  # exit code of a process that could not make the wall


def enter(scratch: Path) -> None:
    """Put this process behind the wall, and go on in a child of it; `scratch` is the folder that it can change.

    The process that called waits for that child, and ends with its code. Temporary files go to `scratch`. Raises
    OSError where the machine has no such namespaces, AssertionError when something outside could be changed.
    """
    user, group = os.getuid(), os.getgid()
    call("unshare", "unshare", NEWNS | NEWPID | (NEWUSER if user else 0))
    if user:
        for name, text in {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}.items():
            Path("/proc/self", name).write_text(text, encoding="ascii")
    if pid := os.fork():
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) % 256)
    mount("none", "/", REC | PRIVATE)
    own = copy_of(str(scratch))
    set_read_only("/", on=True, flags=RECURSIVE)
    attach_to(own, str(scratch))
    os.close(own)
    mount("proc", "/proc")
    settings = copy_of("/proc/sys")
    attach_to(settings, "/proc/sys")
    set_read_only("/proc/sys", on=True)
    for folder in OWN[1:]:
        mount("tmpfs", folder)
    os.chdir(Path.cwd())  # the working directory is still on the mount from before
    (scratch / "t").mkdir()
    tempfile.tempdir = os.environ["TMPDIR"] = str(scratch / "t")
    require_closed(scratch)


def require_closed(scratch: Path) -> None:
    """Raise AssertionError unless nothing outside `scratch` can be changed, and no process outside can be seen."""
    for path in ("/", *mounted_below("")):
        if Path(path).is_relative_to(scratch) or (Path(path).is_relative_to("/proc") and path != "/proc/sys"):
            continue
        with contextlib.suppress(FileNotFoundError):  # below another mount
            read_only = os.statvfs(path).f_flag & os.ST_RDONLY
            assert path in OWN or read_only, f"{path} can be written behind the wall"
    for folder in PROBED:
        try:
            descriptor, name = tempfile.mkstemp(dir=folder)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES):
                continue
            raise
        os.close(descriptor)
        Path(name).unlink()
        raise AssertionError(f"{folder} can be written behind the wall")
    with tempfile.NamedTemporaryFile(dir=scratch):
        pass
    others = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    assert others == [os.getpid()], f"processes {others} are seen behind the wall"


def obstacle() -> str:
    """Return why no wall can be made on this machine, "" where one can; a process has made one, and probed it."""
    with tempfile.TemporaryDirectory() as folder:
        reading, writing = os.pipe()
        if not (pid := os.fork()):
            try:
                enter(Path(folder).resolve())
            except BaseException as error:  # noqa: BLE001 - it is said, whatever it is
                os.write(writing, f"{error}"[:500].encode())
                os._exit(OPEN)
            os._exit(0)
        os.close(writing)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(reading, "rb") as said:
            why = said.read().decode()
        return why or ("" if status == 0 else f"the process behind the wall ended with status {status}")
