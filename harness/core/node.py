"""The ports between what is drilled and where it runs: nodes, tasks, sites, substrates.

A service describes a node once; a site launches it. Strings in `argv`, `env`, `files` and `ready` may hold
placeholders that only the place where it runs can fill in (`harness.core.render`):

    @{port:NAME}     the port number, as seen by the node itself
    @{bind:NAME}     the address to listen on
    @{volume:NAME}   the folder where that volume of the site is found
    @{file:NAME}     the path of a file of this node
    @{secret:NAME}   the value behind a secret reference; in `env` and `files` only, never in `argv`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One port of a node: as its peers in the site reach it, as clients on loopback do, and as other sites do.

    `across` is None where other sites reach it as clients do, and where they need not reach it.
    """

    inside: Address
    outside: Address
    across: Address | None = None

    @property
    def from_afar(self) -> Address:
        """Where a node of another site finds it."""
        return self.across or self.outside


@dataclass(frozen=True, slots=True)
class Ready:
    """When a node may be called started. Exactly one of the three is used, the first that is set.

    `argv`: a command that ends with 0; `path`: an HTTP GET on `port` that answers `status`; else `port`
    accepts a connection. `patience` is in seconds.
    """

    port: str = ""
    path: str = ""
    status: int = 200
    argv: tuple[str, ...] = ()
    patience: float = 60.0


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What to run, as the site that it is made for runs it (`runs_images`).

    `argv`: the whole command where nodes are processes of this machine; where they are containers, the arguments of
    the image's entry point. `image`: its name in `harness.images.table`, for the latter alone.
    `ports`: names; numbers are chosen by the place. `published`: port -> addresses of this machine at which clients
    find it besides. `public`: nodes of other sites reach it. `volumes`: names, shared by all nodes and tasks of a site.
    `secrets`: name -> reference (`env:` or `file:`). `files`: name -> text, written 0600.
    `first_run`: commands for embedded, run in order while the first volume is empty; `first_files`: path in the first
    volume -> text that is put there while it is empty, on every substrate. `leaves`: files outside its volumes that it
    makes whatever it is told, and leaves behind when it is killed.
    """

    name: str
    argv: tuple[str, ...]
    image: str = ""
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    stop_signal: str = "TERM"
    ready: Ready = Ready()
    first_run: tuple[tuple[str, ...], ...] = ()
    first_files: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    public: bool = False
    leaves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """One-shot work beside the data: `pg_dump`, `pg_restore`, `odoo-bin`. Placeholders as in NodeSpec.

    `argv`: the whole command, everywhere; `image`: what its container is made of where tasks are containers.
    `within`: the node in whose container it must run there, to signal its processes.
    """

    name: str
    argv: tuple[str, ...]
    image: str = ""
    volumes: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = field(default=b"", repr=False)
    within: str = ""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a task ended: its exit code and the last lines it wrote to standard error."""

    code: int
    errors: str


class Running(Protocol):
    """A task under way. Leaving the `with` block ends it, and all it started, if it still runs."""

    @property
    def stdout(self) -> IO[bytes]:
        """What it writes, unbuffered by us."""
        ...

    def finish(self, patience: float) -> Completed:
        """Wait for its end, at most `patience` seconds; raises TookTooLong."""
        ...

    def __enter__(self) -> Running: ...

    def __exit__(self, *details: object) -> None: ...


class Node(Protocol):
    """One running thing that a drill can hurt."""

    @property
    def spec(self) -> NodeSpec:
        """What it was launched from."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it exists, frozen or not."""
        ...

    def start(self) -> None:
        """Start it and return once it is ready; a running node is left alone. Raises HarnessError."""
        ...

    def kill(self) -> None:
        """End it with no chance to tidy up; its data stays."""
        ...

    def endpoint(self, port: str) -> Endpoint:
        """Where its port of that name is."""
        ...


class Volume(Protocol):
    """Named storage of a site. Paths are relative, with `/`; none may leave the volume."""

    def open(self, path: str, mode: str) -> IO[bytes]:
        """Open for `rb` or `wb`; parents are made, files are 0600. Raises OSError."""
        ...

    def walk(self) -> Iterator[str]:
        """Every file in it, by relative path, in sorted order."""
        ...

    def remove(self, path: str) -> None:
        """Delete one file, or a folder with all in it; what is not there is left alone."""
        ...

    @property
    def size(self) -> int:
        """Bytes in all its files."""
        ...


class Site(Protocol):
    """A place where nodes run together and are lost together."""

    @property
    def name(self) -> str:
        """`primary`, `dr`, `offsite`, `edge`."""
        ...

    def launch(self, spec: NodeSpec) -> Node:
        """Start one node and return once it is ready. Raises HarnessError with its last log lines."""
        ...

    def run(self, task: Task) -> Running:
        """Start one-shot work."""
        ...

    def volume(self, name: str) -> Volume:
        """The volume of that name, made when it is not there."""
        ...

    def destroy(self) -> None:
        """Lose it: every node and task killed, every volume removed. Logs are kept."""
        ...


class Substrate(Protocol):
    """What sites are made of."""

    @property
    def name(self) -> str:
        """What the drill record calls it."""
        ...

    @property
    def here(self) -> str:
        """The address of the machine that runs the drill, as nodes reach it."""
        ...

    def site(self, name: str) -> Site:
        """The site of that name, made empty when it is not there."""
        ...

    def import_volume(self, site: str, volume: str, source: Path) -> None:
        """Copy prepared data, a folder, into a volume of a site that is not running. Raises HarnessError."""
        ...

    def sweep(self) -> None:
        """Leave nothing of this run behind but its logs."""
        ...


@runtime_checkable
class RunsImages(Protocol):
    """A site that knows containers: every spec and task for it names an image when `runs_images` is true."""

    @property
    def runs_images(self) -> bool:
        """Whether its nodes and tasks are containers; otherwise they are processes of this machine."""
        ...


def runs_images(site: Site) -> bool:
    """Return whether nodes and tasks of a site are containers of images, not processes of this machine."""
    return isinstance(site, RunsImages) and site.runs_images


@runtime_checkable
class Freezable(Protocol):
    """A node or a running task that can be stopped in mid-thought and resumed."""

    def freeze(self) -> None:
        """Stop it without ending it: alive, and silent."""
        ...

    def thaw(self) -> None:
        """Let it go on."""
        ...


@runtime_checkable
class Isolatable(Protocol):
    """A node, or a whole site, that can be cut off from all others."""

    def isolate(self) -> None:
        """Cut it off."""
        ...

    def rejoin(self) -> None:
        """Let it be reached again."""
        ...


@runtime_checkable
class Fillable(Protocol):
    """A volume that can be filled to its last byte."""

    def fill(self) -> None:
        """Leave no room."""
        ...

    def drain(self) -> None:
        """Give the room back."""
        ...


@runtime_checkable
class Stoppable(Protocol):
    """A node that can be asked to end in good order."""

    def stop(self, patience: float) -> None:
        """Ask it to end; kill it when `patience` seconds were not enough."""
        ...
