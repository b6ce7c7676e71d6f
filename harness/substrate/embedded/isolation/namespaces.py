"""Namespaces of embedded sites: what programs of one site write outside its volumes is seen on no other.

A site's programs see its own folder, at the same path and writable. `/tmp`, `/var/tmp` and `/dev/shm` are its own: what
is written there is lost with the site. The folders of other sites, the logs and the prepared estates are hidden, and
all else is read-only. A site with a wall has a network of its own as well. Processes and System V shared memory are not
separated.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError
from harness.parts.cache import cache_home
from harness.substrate.embedded.process_tree import Owner, family
from harness.substrate.embedded.undo_journal import others_wrote

PROGRAM = Path(__file__).with_name("mount_namespace.py")
PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 - where programs may write on every machine
NOBODY = 65534  # what root is in the namespace: PostgreSQL and nginx refuse or avoid root
OUTSIDE = "outside"  # in the run folder as a site sees it: what its programs wrote to private folders
ESTATES = "estates"  # in the cache: prepared estates, which hold the primary's volumes
# The working folder is changed inside: one that was opened outside would lead out by `..`.
ENTER = 'cd "$0" && unset PWD OLDPWD && exec "$@"'


_found: dict[bool, str] = {}  # what `obstacle` found in this process, without and with a network


@dataclass(slots=True)
class Namespaces:
    """Namespaces of one site, which exist while this or a process of the site does: descriptors.

    `network`: None where the site uses the machine's.
    """

    user: int
    mount: int
    network: int | None = None

    def prefix(self, folder: Path) -> tuple[str, ...]:
        """Return what goes before a command that is to run in the site's namespaces, in this folder of the site."""
        mine = f"/proc/{os.getpid()}/fd"
        namespaces = (f"--user={mine}/{self.user}", f"--mount={mine}/{self.mount}", "--preserve-credentials")
        network = () if self.network is None else (f"--net={mine}/{self.network}",)
        return ("nsenter", *namespaces, *network, "--", "/bin/sh", "-c", ENTER, str(folder))

    def close(self) -> None:
        """Close them: what was written to private folders is lost with the last process in them."""
        for one in (self.user, self.mount, *(() if self.network is None else (self.network,))):
            os.close(one)


def identity() -> tuple[int, int]:
    """Return user id and group id that programs of a site run as: one's own, for root those of nobody."""
    return (NOBODY, NOBODY) if os.getuid() == 0 else (os.getuid(), os.getgid())


def make_namespaces(run: Path, logs: Path, site: Path, *, walled: bool = False) -> Namespaces:
    """Return new namespaces for the site with folder `site`, with `walled` a network among them.

    Raises HarnessError that says what the kernel refused.
    """
    hidden = sorted(map(str, {run, logs, cache_home().resolve() / ESTATES}))
    private = sorted({str(Path(folder).resolve()) for folder in PRIVATE if Path(folder).is_dir()})
    network = "walled" if walled else "open"
    words = (*map(str, identity()), network, str(site), str(run / OUTSIDE), str(len(hidden)), *hidden, *private)
    with subprocess.Popen(
        (sys.executable, "-I", "-S", str(PROGRAM), *words),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        if process.stdout is not None and process.stdout.readline():
            return of_process(process.pid)
        said = process.communicate()[1].decode(errors="replace").strip().splitlines()
    raise HarnessError(f"site {site.name} has no namespaces of its own: {said[-1] if said else 'no reason given'}")


def of_process(pid: int) -> Namespaces:
    """Return the namespaces of a living process. Raises HarnessError when they cannot be opened."""
    own = Path("/proc/self/ns/net").readlink()
    opened: list[int] = []
    try:
        kinds = ("user", "mnt", "net") if Path(f"/proc/{pid}/ns/net").readlink() != own else ("user", "mnt")
        for kind in kinds:
            opened.append(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY))
    except OSError as error:
        for one in opened:
            os.close(one)
        raise HarnessError(f"process {pid}: its namespaces cannot be opened ({error.strerror})") from None
    return Namespaces(*opened)


def joined(run: Path, site: str) -> Namespaces | None:
    """Return the namespaces that another harness made for that site of a run; None when no process is in them."""
    if not others_wrote(run):
        return None
    own = Path("/proc/self/ns/mnt").readlink()
    for process in family(set(), Owner(run, f"{site}/")):
        try:
            if Path(f"/proc/{process.pid}/ns/mnt").readlink() != own:
                return of_process(process.pid)
        except (OSError, HarnessError):
            continue  # it ended meanwhile
    return None


def obstacle(run: Path | None = None, *, walled: bool = False) -> str:
    """Return why sites have no namespaces of their own here, "" where they have: tried once, with an empty site.

    `run`: the run folder in which it is tried, so that a sweep finds what a killed trial left; `walled`: the same for a
    network among them.
    """
    if walled not in _found:
        with tempfile.TemporaryDirectory(dir=run) as folder:
            _found[walled] = _try(Path(folder).resolve(), walled=walled)
    return _found[walled]


def _try(run: Path, *, walled: bool) -> str:
    (run / "sites").mkdir()
    try:
        made = make_namespaces(run, run, run / "sites", walled=walled)
    except (HarnessError, OSError) as error:
        return str(error).rpartition("its own: ")[2]
    try:
        return _refused((*made.prefix(run / "sites"), "true"))
    finally:
        made.close()


def _refused(command: Sequence[str]) -> str:
    try:
        tried = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    said = tried.stderr.strip().splitlines()
    return "" if tried.returncode == 0 else said[-1] if said else f"{command[0]} ended with code {tried.returncode}"
