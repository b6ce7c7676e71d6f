"""Tries whether programs of the DR site can read what those of the destroyed primary wrote.

Before the strike a task on the primary writes a file to each folder outside its volumes that it may write to, and lists
what its programs wrote there. After it a task on DR tries to read all of them, and the primary's own folder.
"""

import os
import secrets as random
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import Finding, HarnessError
from harness.core.journal import Journal
from harness.core.node import Site, Task
from harness.core.text import some
from harness.patience import PATIENCE
from harness.substrate.embedded.isolation.namespaces import OUTSIDE, PRIVATE, obstacle
from harness.substrate.embedded.substrate import EmbeddedSite

MOST = 100  # files of programs that are tried
SHOWN = 3  # paths that a line names
FOLDERS = (*PRIVATE, "/dev/shm")  # noqa: S108 - those that are the site's own
# Each prints paths, with NUL after each. `$1`: what is written; then the folders.
LEAVE = 'name=$1; shift; for at; do printf x >"$at/$name" && printf "%s/%s\\0" "$at" "$name"; done 2>/dev/null; true'
WRITTEN = 'cd "$1" && find . -path ./work -prune -o -type f ! -name "$2" -print0'
READ = (
    'for at; do if [ -d "$at" ]; then ls -A "$at" | grep -q .; else cat "$at" >/dev/null; fi 2>/dev/null '
    '&& printf "%s\\0" "$at"; done; true'
)


@dataclass(frozen=True, slots=True)
class Traces:
    """What the primary left. `tried`: paths that DR must not be able to read; `written`: files of its programs.

    `living`: whether that holds even of a primary that lives on, because each site has namespaces of its own.
    """

    tried: tuple[str, ...]
    written: tuple[str, ...] = ()
    living: bool = True


def leave_traces(primary: Site, journal: Journal) -> Traces | None:
    """Write to every folder that the primary's programs may write to; return what there is, None on other substrates.

    Raises HarnessError when the task fails, or when the primary could write nowhere: nothing could be shown.
    """
    if not isinstance(primary, EmbeddedSite):
        return None
    own = str(primary.folder)
    folders = (own, f"/proc/{os.getpid()}/root{own}")  # the second: by way of a process that sees all folders
    if not primary.namespaced:
        journal.mark("isolation", "primary site", by="preflight", reason=obstacle())
        return Traces((own,), living=False)
    name, run = f"blackstart-{random.token_hex(8)}", primary.run_folder
    markers = _paths(primary, LEAVE, name, *FOLDERS, str(run), own)
    if not markers:
        raise HarnessError("isolation: a task on the primary could write to none of its own folders; see its log")
    found = _written(primary, run, name)
    new = tuple(path for path in found if not os.path.lexists(path))  # others were there before, and can be read
    journal.mark("isolation", "primary site", by="namespaces", markers=len(markers), written=len(found))
    return Traces((*folders, *markers, *new[:MOST]), found)


def try_traces(dr: Site, traces: Traces, journal: Journal) -> str:
    """Try to read all of it on the DR site; return a line for the record.

    What DR's own programs wrote under the same name in the meantime is no trace. Raises Finding that names what was
    read, HarnessError when the task fails.
    """
    own = _written(dr, dr.run_folder) if isinstance(dr, EmbeddedSite) and dr.namespaced else ()
    read = [path for path in _paths(dr, READ, *traces.tried) if path not in own]
    journal.mark("isolation tried", "dr site", tried=len(traces.tried), read=len(read))
    if read:
        raise Finding(f"a program on dr can read what those of the lost primary wrote: {some(read, SHOWN)}")
    line = f"a program on dr can read none of {len(traces.tried)} paths of the lost primary"
    if traces.written:
        line += f"; outside its volumes its programs had written {some(traces.written, SHOWN)}"
    return line


def _written(site: Site, run: Path, but: str = "") -> tuple[str, ...]:
    """Return the files outside its volumes that the programs of a site wrote, sorted, without those named `but`."""
    found = _paths(site, WRITTEN, str(run / OUTSIDE), but)
    return tuple(sorted(path.removeprefix(".") for path in found))


def _paths(site: Site, script: str, *words: str) -> tuple[str, ...]:
    task = Task("isolation", ("sh", "-c", script, "sh", *words))
    with site.run(task) as running:
        said = running.stdout.read()
        done = running.finish(PATIENCE.isolation_task)
    if done.code:
        raise HarnessError(f"isolation: a task on {site.name} ended with code {done.code}: {done.errors}")
    return tuple(os.fsdecode(path) for path in said.split(b"\0") if path)
