"""Interfaces between services and substrates: nodes, tasks, volumes, sites, substrates.

A service describes a node for a site; the site launches it. Strings in `argv`, `env`, `files` and `ready` may contain
placeholders that the site fills in (`harness.core.render`):

    @{port:NAME}     the port number, as seen by the node itself
    @{bind:NAME}     the address to listen on
    @{volume:NAME}   the folder at which that volume of the site is mounted
    @{file:NAME}     the path of a file of this node
    @{secret:NAME}   the value of a secret reference; in `env` and `files` only, never in `argv`
    @{pgpass:NAME}   the same, escaped for a password file of libpq

`@{file:NAME|json}` is the same within a string of JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Addresses of a port: for peers of its site, for clients on loopback, for other sites (None: as for clients)."""

    inside: Address
    outside: Address
    across: Address | None = None

    @property
    def from_afar(self) -> Address:
        """The address for nodes of other sites."""
        return self.across or self.outside


@dataclass(frozen=True, slots=True)
class Ready:
    """Readiness probe of a node: the first that is set of `argv`, `path` and `port`, which accepts a connection."""

    port: str = ""
    path: str = ""  # an HTTP GET on `port` that answers `status`
    status: int = 200
    argv: tuple[str, ...] = ()  # a command that exits with 0
    patience: float = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """Specification of a node for one site (whether its command runs in an image: see RunsImages)."""

    name: str
    argv: tuple[str, ...]  # the whole command; where nodes are containers, the arguments of the image's entry point
    image: str = ""  # its name in `harness.images.table`, for containers only
    ports: tuple[str, ...] = ()  # names; the site chooses the numbers
    volumes: tuple[str, ...] = ()  # names, shared by nodes and tasks of a site
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)  # name -> reference (`env:` or `file:`)
    files: Mapping[str, str] = field(default_factory=dict)  # name -> text, written with mode 0600
    needs: tuple[str, ...] = ()
    stop_signal: str = "TERM"
    ready: Ready = Ready()
    first_run: tuple[tuple[str, ...], ...] = ()  # commands for embedded, in order, while the first volume is empty
    first_files: Mapping[str, str] = field(default_factory=dict)  # path in the first volume -> text, while it is empty
    published: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # port -> more addresses of this machine
    public: bool = False  # nodes of other sites reach it
    leaves: tuple[str, ...] = ()  # files outside its volumes that its program creates, and leaves behind after SIGKILL


@dataclass(frozen=True, slots=True)
class Task:
    """Specification of a one-shot task on a site: `pg_dump`, `odoo-bin`. Placeholders as in NodeSpec."""

    name: str
    argv: tuple[str, ...]  # the whole command, on every site
    image: str = ""  # of its container, where tasks are containers
    volumes: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = field(default=b"", repr=False)
    within: str = ""  # the node in whose container it runs there, because it signals that node's processes


@dataclass(frozen=True, slots=True)
class Completed:
    """Result of a task: its exit code; of its standard error the first lines with `error: ` and the last lines."""

    code: int
    errors: str


class Running(Protocol):
    """A running task. Leaving the `with` block kills it and all processes that it started."""

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output."""

    def finish(self, patience: float) -> Completed:
        """Wait for its end, at most `patience` seconds, and return its result; raises TookTooLong."""

    def __enter__(self) -> Running: ...

    def __exit__(self, *details: object) -> None: ...


class Node(Protocol):
    """A server program of a site, on which faults are injected."""

    @property
    def spec(self) -> NodeSpec:
        """The specification that it was launched from."""

    @property
    def alive(self) -> bool:
        """Whether its process or container exists, frozen or not."""

    def start(self) -> None:
        """Start it and return once it is ready; does nothing for a running node. Raises HarnessError."""

    def kill(self) -> None:
        """SIGKILL it and all processes that it started; its volumes are kept."""

    def endpoint(self, port: str) -> Endpoint:
        """Return the addresses of its port of that name; raises HarnessError for a name it does not have."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a volume has at a path. `kind`: FILE, FOLDER, or what else it is in words, such as "is a symbolic link"."""

    path: str
    kind: str
    size: int = 0  # bytes
    mode: int = 0o600  # permission bits
    mtime: float = 0.0  # seconds since 1970


FILE, FOLDER = "is a file", "is a folder"  # of `Entry.kind`
MODE = {FILE: 0o777, FOLDER: 0o3777}  # bits of a mode that are kept: no setuid; setgid and sticky of folders alone


Skips = Callable[[str], bool]  # whether a path of a volume is passed over; true of all below such a path as well


class Readable(Protocol):
    """The content of an open file or object."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, b"" at the end; raises OSError."""


class Files(Protocol):
    """What is in a volume, and the facts of each file. Nothing is read or written through a symbolic link."""

    def scan(self, folder: str, skips: Skips | None = None) -> Iterator[Entry]:
        """Yield all below `folder` ("": all) but what `skips` names, sorted, a folder after what is in it. OSError."""

    def inspect(self, path: str) -> Entry:
        """Return what is at a path; raises OSError, UsageError for a path that leads out of the volume."""

    def adjust(self, entry: Entry) -> Entry:
        """Give a file or a folder, which is created, mode and mtime of `entry`; return what it has then. OSError."""


class Volume(Files, Protocol):
    """Named storage of a site. Paths are relative, with `/`, and must stay inside the volume."""

    def open(self, path: str, mode: str) -> IO[bytes]:
        """Open for `rb` or `wb`; parents are made, files have mode 0600. Raises OSError."""

    def walk(self) -> Iterator[str]:
        """Yield the relative path of every file in it, sorted."""

    def remove(self, path: str) -> None:
        """Delete a file, or a folder recursively; a missing path is no error."""

    @property
    def size(self) -> int:
        """Total size of its files in bytes."""


class Site(Protocol):
    """A failure domain: nodes and volumes that are lost together."""

    @property
    def name(self) -> str:
        """Its name: `primary`, `dr`, `offsite`, `edge`."""

    def launch(self, spec: NodeSpec) -> Node:
        """Start one node and return it once it is ready. Raises HarnessError with its last log lines."""

    def run(self, task: Task) -> Running:
        """Start a one-shot task and return it; raises HarnessError when it cannot be started."""

    def volume(self, name: str) -> Volume:
        """Return the volume of that name, created when it does not exist."""

    def destroy(self) -> None:
        """Kill every node and task with SIGKILL and remove every volume. Logs are kept."""


class Substrate(Protocol):
    """The technology that sites are made of: processes, containers, Kubernetes clusters."""

    @property
    def name(self) -> str:
        """Its name in the drill record."""

    @property
    def here(self) -> str:
        """Address at which nodes reach the machine that runs the drill."""

    def site(self, name: str) -> Site:
        """Return the site of that name, created empty when it does not exist."""

    def import_volume(self, site: str, volume: str, source: Path) -> None:
        """Copy a folder of prepared data into a volume of a site that is not running. Raises HarnessError."""

    def sweep(self) -> None:
        """Remove everything that this run created, except its logs."""


@runtime_checkable
class RunsImages(Protocol):
    """A site that can run containers: when `runs_images` is true, its specs and tasks must name an image."""

    @property
    def runs_images(self) -> bool:
        """Whether its nodes and tasks are containers, not processes of this machine."""


def runs_images(site: Site) -> bool:
    """Return whether nodes and tasks of a site are containers, not processes of this machine."""
    return isinstance(site, RunsImages) and site.runs_images


@runtime_checkable
class Freezable(Protocol):
    """A node, or a whole site with all its nodes, that can be suspended (SIGSTOP) and resumed (SIGCONT)."""

    def freeze(self) -> None:
        """Suspend all its processes, so that they exist and answer no request; raises HarnessError."""

    def thaw(self) -> None:
        """Resume its processes; does nothing for running ones. Raises HarnessError."""


@runtime_checkable
class Logged(Protocol):
    """A node whose log is on this machine."""

    def last_log(self) -> tuple[str, ...]:
        """Return the last lines of its log, oldest first, without empty ones."""


@runtime_checkable
class Isolatable(Protocol):
    """A node, or a whole site with its inner connections and tasks intact, that can be partitioned from the network."""

    def isolate(self) -> None:
        """Drop all traffic between it and the outside, open connections included. Raises HarnessError."""

    def rejoin(self) -> None:
        """End the partition; its addresses stay the same. Raises HarnessError."""


@runtime_checkable
class Fillable(Protocol):
    """A volume of limited size, that can be filled completely."""

    def fill(self) -> None:
        """Fill all free space, so that the next write fails with ENOSPC."""

    def drain(self) -> None:
        """Free the space that `fill` used."""


@runtime_checkable
class Stoppable(Protocol):
    """A node that can be shut down gracefully."""

    def stop(self, patience: float) -> None:
        """Send its stop signal, and SIGKILL after `patience` seconds."""
