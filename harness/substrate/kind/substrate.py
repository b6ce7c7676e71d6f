"""The kind substrate: primary and dr are Kubernetes clusters; what is outside of both is containers beside them."""

from __future__ import annotations

import contextlib
import secrets as random
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Literal

from docker.models.networks import Network

from harness.core.errors import HarnessError, MissingPart
from harness.core.node import Site
from harness.images.engine import information
from harness.images.find import archive, reference
from harness.images.kind.stock import DROP_IN, IMAGES, LINKED, Stock, stock
from harness.images.programs import kind_program, kubectl_program
from harness.kubernetes import cluster as clusters
from harness.kubernetes.deploy import FOLDER, Manifests, rendered
from harness.substrate.common.cleanup import Steps
from harness.substrate.common.filesystem import make_folder
from harness.substrate.common.names import plain
from harness.substrate.common.ports import Taken, take_port
from harness.substrate.docker.ownership import Owned
from harness.substrate.docker.substrate import Docker
from harness.substrate.embedded.process_tree import NODE_TAG, RUN_TAG, Owner, end_all
from harness.substrate.embedded.start_journal import Started
from harness.substrate.kind.cluster import Standing, folder_of
from harness.substrate.kind.site import KindSite

SITES = ("primary", "dr")
WALLED = ("dr",)
NETWORK = "kind"  # the network of a run's clusters; the front door stands on it too
TRIES = 3  # of a cluster whose ports somebody else took meanwhile


@dataclass
class Kind:
    """Two clusters and what is around them. `run`: folder of this run, `logs`: where logs are kept.

    `strategy`: `pilot-light` has the cluster of dr stand from the beginning, with nothing running in it; `cold` makes
    it when it is first used. `images`: what is brought into each cluster, the first that are needed first, but for what
    the stock has. `bounded`: volume -> MiB, those around the clusters that have a limit and can be filled.
    """

    run: Path
    logs: Path
    strategy: Literal["pilot-light", "cold"] = "pilot-light"
    images: tuple[str, ...] = IMAGES
    bounded: dict[str, int] = field(default_factory=dict)
    name: str = "kind"
    around: Docker = field(init=False, repr=False)
    token: str = field(default_factory=lambda: random.token_hex(16), repr=False)
    _sites: dict[str, KindSite] = field(default_factory=dict)
    _making: dict[str, Future[Standing]] = field(default_factory=dict, repr=False)
    _waited: list[Future[Standing]] = field(default_factory=list, repr=False)
    _lit: bool = False
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(len(SITES)), repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        kind_program()  # what lacks is said before anything is made
        self.around = Docker(self.run, self.logs, bounded=self.bounded)
        self.run, self.logs = self.around.run, self.around.logs
        self.around.also = (self.network,)

    @property
    def here(self) -> str:
        """The address of this machine on the network of the clusters; every pod and container reaches it.

        Asked anew each time: after a sweep the network is another one, and has another address.
        """
        return gateway_of(self.around.owned.network(NETWORK))

    @property
    def network(self) -> str:
        """The name of the network on which its clusters are."""
        return self.around.owned.name(NETWORK, "net")

    @cached_property
    def manifests(self) -> Manifests:
        """What `deploy/` has for clusters of kind. Raises MissingPart, HarnessError."""
        return rendered(kubectl_program(), FOLDER / "overlays" / "kind")

    def site(self, name: str) -> Site:
        """The site of that name, made empty when it is not there. A cluster is made when it is first used."""
        if name in SITES:
            return self.cluster_site(name)
        if plain("site", name) == "edge":
            self.around.owned.network(NETWORK)  # the front door reaches the clusters by it
        return self.around.site(name)

    def cluster_site(self, name: str) -> KindSite:
        """The site of that name, which is a cluster."""
        with self._lock:
            if name not in self._sites:
                self._sites[name] = KindSite(
                    name,
                    self.run,
                    self.logs / name,
                    Started(self.run),
                    lambda: self._stand(name),
                    self.token,
                    (self.here,) if name in WALLED else (),
                    lit=self.strategy == "pilot-light",
                )
            return self._sites[name]

    def _stand(self, name: str) -> Standing:
        """Return a new cluster for a site; with a pilot light that of the other site is begun along with the first."""
        with self._lock:
            held = stock_or_none()
            if self.strategy == "pilot-light" and not self._lit:
                self._making = {site: self._pool.submit(self._create, site, held) for site in SITES}
            self._lit = True
            making = self._making.pop(name, None) or self._pool.submit(self._create, name, held)
            self._waited.append(making)
        return making.result()

    def _create(self, site: str, held: Stock) -> Standing:
        for _ in range(TRIES - 1):
            try:
                return self._create_once(site, held)
            except (clusters.Taken, Taken):
                continue
        return self._create_once(site, held)

    def _create_once(self, site: str, held: Stock) -> Standing:
        self.around.owned.network(NETWORK)
        stocked = frozenset(image for image in {*IMAGES, *self.images} if held.has(image))
        ports = {clusters.FIRST + number: take_port() for number in range(clusters.COUNT)}
        plan = clusters.Plan(
            name=self.cluster_name(site),
            node_image=reference("kind-node"),
            folder=make_folder(folder_of(self.run)),
            ports={inside: port.number for inside, port in ports.items()},
            network=self.network,
            kind=kind_program(),
            tags={RUN_TAG: str(self.run), NODE_TAG: f"{site}/cluster"},
            mounts=held.mounts,
            stocked=stocked,
            archives={image: archive(image) for image in self.images if image not in stocked},
            old_cgroups=information().get("CgroupVersion") == "1",
        )
        Started(self.run).intend(site, f"cluster {plan.name}", "kind")
        for port in ports.values():
            port.hand_over(f"cluster {plan.name}")
        cluster = clusters.create(plan)
        if held.folder:
            require_linked(cluster)
        return Standing(cluster, site, self.manifests)

    def cluster_name(self, site: str) -> str:
        """Return what the cluster of a site is called, unlike that of any other run."""
        return self.around.owned.name(site, "cluster")

    def import_volume(self, site: str, volume: str, source: Path) -> None:
        """Copy prepared data, a folder, into a volume of a site that is not running. Raises HarnessError."""
        if site not in SITES:
            self.around.import_volume(site, volume, source)
            return
        self.cluster_site(site).volume(volume).unpack(source)

    def sweep(self) -> None:
        """Leave nothing of this run behind but its logs.

        Raises HarnessError for what cannot be ended or removed, once all the rest is; another sweep tries it again.
        """
        with self._lock:
            sites = tuple(self._sites.values())
            self._sites.clear()
            making = (*self._making.values(), *self._waited)
            self._making, self._waited, self._lit = {}, [], False
        steps, ended = Steps(), False
        with steps.step():
            end_makers(self.run)
            ended = True
        for future in making:
            if not future.cancel() and ended:  # else it may go on without end
                future.exception()  # why it failed was said to who asked for it
        for standing in sites:
            with steps.step():
                standing.destroy()
        with steps.step():
            sweep_clusters(self.run)
        with steps.step():
            self.around.sweep()
        steps.end(self.run)


def stock_or_none() -> Stock:
    """Return the stock of images, an empty one where none can be made: every image is imported then.

    Raises MissingPart when an image is not there.
    """
    try:
        return stock()
    except MissingPart:
        raise
    except HarnessError:
        return Stock()


def require_linked(cluster: clusters.Cluster) -> None:
    """Do nothing where the node of a new cluster linked the stock; else the cluster is lost. Raises HarnessError."""
    try:
        cluster.machine.execute(f"test -e {LINKED}")
    except HarnessError:
        with contextlib.suppress(HarnessError):  # the first error says what is wrong
            cluster.destroy()
        raise HarnessError(
            f"cluster {cluster.name}: its node did not link the stock of images; was that removed meanwhile, or does "
            f"the node's image not heed {DROP_IN}?"
        ) from None


def sweep_clusters(run: Path) -> int:
    """Remove the clusters of a run, in another process too, after a SIGKILL; return how many. Raises HarnessError."""
    run = run.resolve()
    ended = end_makers(run)
    prefix = Owned(run).name("", "").rstrip("-") + "-"
    swept = clusters.sweep(prefix)
    # What was asked of the engine by a program that was ended then may have come of it meanwhile.
    return swept + (clusters.sweep(prefix) if ended else 0)


def end_makers(run: Path) -> int:
    """End what is just making clusters of a run; return how many processes that was. Raises TookTooLong."""
    return sum(end_all(set(), Owner(run, f"{site}/cluster")) for site in SITES)


def gateway_of(network: Network) -> str:
    """Return the address of this machine on a network of the engine. Raises HarnessError where it has none there."""
    for found in network.attrs["IPAM"]["Config"] or ():
        if "Gateway" in found:
            return str(found["Gateway"])
    raise HarnessError(f"network {network.name}: this machine has no address on it; pods cannot reach the drill")
