"""Primary and dr as Kubernetes clusters made by kind; all other sites are containers beside them."""

import contextlib
import secrets as random
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Literal

from harness.core.errors import HarnessError, MissingPart, PortInUse
from harness.core.node import Site
from harness.images.engine import information
from harness.images.find import archive, reference
from harness.images.kind.node import kind_program, kubectl_program
from harness.images.kind.stock import DROP_IN, IMAGES, LINKED, Stock, stock
from harness.kubernetes import cluster as clusters
from harness.kubernetes.deploy import FOLDER, Manifests, rendered
from harness.substrate.common.error_collector import ErrorCollector
from harness.substrate.common.filesystem import make_folder, plain
from harness.substrate.common.ports import take_port
from harness.substrate.docker.egress import gateway_of
from harness.substrate.docker.ownership import Owned
from harness.substrate.docker.substrate import Docker
from harness.substrate.embedded.process_tree import Owner, end_all
from harness.substrate.embedded.undo_journal import UndoJournal
from harness.substrate.kind.namespace import ClusterNamespace, folder_of
from harness.substrate.kind.site import KindSite

SITES = ("primary", "dr")
FILTERED = ("dr",)  # sites with an egress filter
NETWORK = "kind"  # the network of a run's clusters and of the front door
TRIES = 3  # to create a cluster whose ports other programs took first


@dataclass
class Kind:
    """The kind substrate: two clusters. `run`: folder of this run, `logs`: folder of its logs.

    `clusters`: its sites that are clusters. `strategy`: with `pilot-light` the cluster of dr is created from the
    beginning, scaled to 0; with `cold` when it is first used. `images`: to be imported into each cluster, in that
    order, except for those that the stock has. `bounded`: volume -> MiB, the volumes outside the clusters that have
    a limit and can be filled.
    """

    run: Path
    logs: Path
    strategy: Literal["pilot-light", "cold"] = "pilot-light"
    images: tuple[str, ...] = IMAGES
    bounded: dict[str, int] = field(default_factory=dict)
    clusters: tuple[str, ...] = SITES
    name: str = "kind"
    around: Docker = field(init=False, repr=False)
    token: str = field(default_factory=lambda: random.token_hex(16), repr=False)
    _sites: dict[str, KindSite] = field(default_factory=dict)
    _creating: dict[str, Future[ClusterNamespace]] = field(default_factory=dict, repr=False)
    _waited: list[Future[ClusterNamespace]] = field(default_factory=list, repr=False)
    _begun: bool = False
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(len(SITES)), repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        kind_program()  # a missing program is reported before anything is made
        self.around = Docker(self.run, self.logs, bounded=self.bounded)
        self.run, self.logs = self.around.run, self.around.logs
        self.around.also = (self.network,)

    @property
    def here(self) -> str:
        """The address of this machine on the network of the clusters, which every pod and container reaches.

        It is not cached: after a sweep the network is another one, and has another address.
        """
        return gateway_of(self.around.owned.shared_network(NETWORK))

    @property
    def network(self) -> str:
        """The name of the network of its clusters."""
        return self.around.owned.name(NETWORK, "net")

    @cached_property
    def manifests(self) -> Manifests:
        """The manifests of `deploy/` for clusters of kind. Raises MissingPart, HarnessError."""
        return rendered(kubectl_program(), FOLDER / "overlays" / "kind")

    def site(self, name: str) -> Site:
        """Return the site of that name, created empty when it does not exist; a cluster is created at its first use."""
        if name in self.clusters:
            return self.cluster_site(name)
        if plain("site", name) == "edge":
            self.around.owned.shared_network(NETWORK)  # by which the front door reaches the clusters
        return self.around.site(name)

    def cluster_site(self, name: str) -> KindSite:
        """Return the site of that name, which is a cluster."""
        with self._lock:
            if name not in self._sites:
                self._sites[name] = KindSite(
                    name,
                    self.run,
                    self.logs / name,
                    UndoJournal(self.run),
                    lambda: self._cluster_of(name),
                    self.token,
                    (self.here,) if name in FILTERED else (),
                    provisioned=self.strategy == "pilot-light",
                )
            return self._sites[name]

    def _cluster_of(self, name: str) -> ClusterNamespace:
        """Return a new cluster of a site; with pilot light the one of the other site is created at the same time."""
        with self._lock:
            held = stock_or_none()
            if self.strategy == "pilot-light" and not self._begun:
                self._creating = {site: self._pool.submit(self._create, site, held) for site in self.clusters}
            self._begun = True
            creating = self._creating.pop(name, None) or self._pool.submit(self._create, name, held)
            self._waited.append(creating)
        return creating.result()

    def _create(self, site: str, held: Stock) -> ClusterNamespace:
        for _ in range(TRIES - 1):
            try:
                return self._create_once(site, held)
            except PortInUse:
                continue
        return self._create_once(site, held)

    def _create_once(self, site: str, held: Stock) -> ClusterNamespace:
        self.around.owned.shared_network(NETWORK)
        stocked = frozenset(image for image in {*IMAGES, *self.images} if held.has(image))
        ports = {clusters.FIRST + number: take_port() for number in range(clusters.COUNT)}
        plan = clusters.Plan(
            name=self.cluster_name(site),
            node_image=reference("kind-node"),
            folder=make_folder(folder_of(self.run)),
            ports={inside: port.number for inside, port in ports.items()},
            network=self.network,
            kind=kind_program(),
            tags=Owner(self.run, f"{site}/cluster").tags,
            mounts=held.mounts,
            stocked=stocked,
            archives={image: archive(image) for image in self.images if image not in stocked},
            old_cgroups=information().get("CgroupVersion") == "1",
        )
        UndoJournal(self.run).intend(site, f"cluster {plan.name}", "kind")
        for port in ports.values():
            port.hand_over(f"cluster {plan.name}")
        cluster = clusters.create(plan)
        if held.folder:
            require_linked(cluster)
        return ClusterNamespace(cluster, site, self.manifests)

    def cluster_name(self, site: str) -> str:
        """Return the name of a site's cluster, different from those of any other run."""
        return self.around.owned.name(site, "cluster")

    def import_volume(self, site: str, volume: str, source: Path) -> None:
        """Copy a folder of prepared data into a volume of a site that is not running. Raises HarnessError."""
        if site not in self.clusters:
            self.around.import_volume(site, volume, source)
            return
        self.cluster_site(site).volume(volume).unpack(source)

    def sweep(self) -> None:
        """Remove everything that this run made, except its logs.

        Raises HarnessError for what cannot be removed, after all the rest was; another sweep tries it again.
        """
        with self._lock:
            sites = tuple(self._sites.values())
            self._sites.clear()
            creating = (*self._creating.values(), *self._waited)
            self._creating, self._waited, self._begun = {}, [], False
        cleanup, ended = ErrorCollector(), False
        with cleanup.step():
            end_creation(self.run)
            ended = True
        for future in creating:
            if not future.cancel() and ended:  # otherwise it may not end
                future.exception()  # its error was raised where the cluster was needed
        for site in sites:
            with cleanup.step():
                site.destroy()
        with cleanup.step():
            sweep_clusters(self.run)
        with cleanup.step():
            self.around.sweep()
        cleanup.raise_errors(self.run)


def stock_or_none() -> Stock:
    """Return the stock of images, an empty one where it cannot be created: every image is imported then.

    Raises MissingPart when an image is missing.
    """
    try:
        return stock()
    except MissingPart:
        raise
    except HarnessError:
        return Stock()


def require_linked(cluster: clusters.Cluster) -> None:
    """Do nothing where the node of a new cluster linked the stock; otherwise destroy it and raise HarnessError."""
    try:
        cluster.machine.execute(f"test -e {LINKED}")
    except HarnessError:
        with contextlib.suppress(HarnessError):  # the original error is reported
            cluster.destroy()
        raise HarnessError(
            f"cluster {cluster.name}: its node did not link the stock of images; was the stock removed, or does the "
            f"image of the node ignore {DROP_IN}?"
        ) from None


def sweep_clusters(run: Path) -> int:
    """Remove the clusters of a run, also one of a crashed harness; return their number. Raises HarnessError."""
    run = run.resolve()
    ended = end_creation(run)
    prefix = Owned(run).name("", "").rstrip("-") + "-"
    swept = clusters.sweep(prefix)
    # A request to the engine of a process that was killed then may have been carried out meanwhile.
    return swept + (clusters.sweep(prefix) if ended else 0)


def end_creation(run: Path) -> int:
    """SIGKILL the processes that create clusters of a run; return their number. Raises TookTooLong."""
    return sum(end_all(set(), Owner(run, f"{site}/cluster")) for site in SITES)
