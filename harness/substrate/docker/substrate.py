"""The docker substrate: a site is a network of its own, its nodes are containers, its volumes are the engine's."""

from __future__ import annotations

import os
import secrets as random
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from threading import Lock

from harness.core.errors import HarnessError
from harness.core.node import Site
from harness.images.engine import engine, require_room
from harness.substrate.common.cleanup import Steps
from harness.substrate.common.names import plain
from harness.substrate.docker.ownership import Owned, sweep_engine
from harness.substrate.docker.site import DockerSite
from harness.substrate.embedded.substrate import Embedded

HERE = "replication"  # the site whose work is done beside the drill: it may reach what is published on loopback
ROOM = 2 << 30  # bytes that a drill may need on the engine's disk


@dataclass
class Docker:
    """Sites of containers on this machine's engine. `run`: folder of this run, `logs`: where logs are kept.

    `bounded`: volume -> MiB, the volumes that have a limit and can be filled; `also`: networks that nodes of the
    site `edge` join besides their own, by name.
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
        engine()  # no engine is said before anything is made
        require_room(ROOM)
        self.beside = Embedded(self.run, self.logs)
        self.run, self.logs = self.beside.run, self.beside.logs
        self.owned = Owned(self.run)

    @cached_property
    def here(self) -> str:
        """The address of this machine on the engine's default bridge: every container reaches it.

        Raises HarnessError where the engine runs on another machine and has none.
        """
        for config in engine().networks.get("bridge").attrs["IPAM"]["Config"] or ():
            # Older engines say the gateway only once the network was used; it is the first address.
            return str(config.get("Gateway") or next(ip_network(config["Subnet"]).hosts()))
        raise HarnessError("the engine's default bridge has no address of this machine; use an engine that runs here")

    @property
    def user(self) -> str:
        """Whom containers run as: nobody's privileges, and one who may read the files of this run."""
        return "1000:1000" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"

    def site(self, name: str) -> Site:
        """The site of that name, made empty when it is not there. Raises UsageError, HarnessError."""
        if name == HERE:
            return self.beside.site(name)
        return self.containers(name)

    def containers(self, name: str) -> DockerSite:
        """The site of containers of that name."""
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
        """Copy prepared data, a folder, into a volume of a site that is not running. Raises HarnessError."""
        self.containers(site).volume(volume).unpack(source)

    def sweep(self) -> None:
        """Leave nothing of this run behind but its logs.

        Raises HarnessError for what cannot be ended or removed, once all the rest is; another sweep tries it again.
        """
        with self._lock:
            sites = tuple(self._sites.values())
            self._sites.clear()
        steps = Steps()
        for site in sites:
            with steps.step():
                site.destroy()
        with steps.step():
            sweep_engine(self.run)
        with steps.step():
            self.beside.sweep()
        steps.end(self.run)
