"""Sites of containers on this machine's engine, and the few that are processes beside them."""

import os
import secrets as random
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.node import Site
from harness.images.engine import engine, require_room
from harness.substrate.common.error_collector import ErrorCollector
from harness.substrate.common.filesystem import plain
from harness.substrate.docker.egress import gateway_of
from harness.substrate.docker.ownership import Owned, sweep_engine
from harness.substrate.docker.site import DockerSite
from harness.substrate.embedded.substrate import Embedded

HERE = "replication"  # the site whose tasks are processes of this machine: they reach ports published on loopback
ROOM = 2 << 30  # bytes that a drill may need on the engine's disk


@dataclass
class Docker:
    """The docker substrate: this machine's container engine. `run`: folder of this run, `logs`: folder of its logs.

    `bounded`: volume -> MiB, the volumes that have a limit and can be filled; `also`: names of further networks that
    nodes of the site `edge` join.
    """

    run: Path
    logs: Path
    bounded: dict[str, int] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    name: str = "docker"
    beside: Embedded = field(init=False, repr=False)
    owned: Owned = field(init=False, repr=False)
    token: str = field(default_factory=lambda: random.token_hex(16), repr=False)
    _sites: dict[str, DockerSite] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        engine()  # a missing engine is reported before anything is made
        require_room(ROOM)
        self.beside = Embedded(self.run, self.logs)
        self.run, self.logs = self.beside.run, self.beside.logs
        self.owned = Owned(self.run)

    @property
    def here(self) -> str:
        """The address of this machine on the network of the containers, which every one of them reaches.

        It is not cached: after a sweep the network is another one, and has another address. Raises HarnessError.
        """
        return gateway_of(self.owned.outside)

    @property
    def user(self) -> str:
        """The user of containers, `uid:gid`: unprivileged, and able to read the files of this run."""
        return "1000:1000" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"

    def site(self, name: str) -> Site:
        """Return the site of that name, created empty when it does not exist. Raises UsageError, HarnessError."""
        if name == HERE:
            return self.beside.site(name)
        return self.containers(name)

    def containers(self, name: str) -> DockerSite:
        """Return the site of containers of that name, created empty when it does not exist. Raises UsageError."""
        with self._lock:
            if plain("site", name) not in self._sites:
                self._sites[name] = DockerSite(
                    name,
                    self.owned,
                    self.logs / name,
                    self.run / "sites" / name / "files",
                    self.user,
                    self.token,
                    self.bounded,
                    self.also if name == "edge" else (),
                )
            return self._sites[name]

    def import_volume(self, site: str, volume: str, source: Path) -> None:
        """Copy a folder of prepared data into a volume of a site that is not running. Raises HarnessError."""
        self.containers(site).volume(volume).unpack(source)

    def sweep(self) -> None:
        """Remove everything that this run made, except its logs.

        Raises HarnessError for what cannot be removed, after all the rest was; another sweep tries it again.
        """
        with self._lock:
            sites = tuple(self._sites.values())
            self._sites.clear()
        cleanup = ErrorCollector()
        for site in sites:
            with cleanup.step():
                site.destroy()
        with cleanup.step():
            sweep_engine(self.run)
        with cleanup.step():
            self.beside.sweep()
        cleanup.raise_errors(self.run)
