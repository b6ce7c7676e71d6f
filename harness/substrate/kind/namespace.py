"""The namespace of a site in its cluster: manifests, NodePorts, claims and images."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.errors import HarnessError
from harness.images.find import archive
from harness.images.kind.node import kind_program, kubectl_program
from harness.kubernetes.api import Api
from harness.kubernetes.cluster import Cluster, load_archive
from harness.kubernetes.deploy import Manifests, scaled_down
from harness.kubernetes.machine import Machine
from harness.kubernetes.objects import MANAGED, OWNER, Manifest, name_of
from harness.substrate.kind.manifests import CLAIM, claim_of, placed


@dataclass(slots=True)
class NodePorts:
    """The published NodePorts of a cluster: each is given to one Service, and reused as late as possible."""

    free: deque[int]
    where: str
    _lock: Lock = field(default_factory=Lock, repr=False)

    def take(self) -> int:
        """Return a port that is not in use. Raises HarnessError when all are."""
        with self._lock:
            if not self.free:
                raise HarnessError(f"{self.where}: all its published ports are in use; publish more of them")
            return self.free.popleft()

    def give(self, numbers: Iterable[int]) -> None:
        """Free ports."""
        with self._lock:
            self.free.extend(numbers)


@dataclass(slots=True)
class ClusterNamespace:
    """One namespace of a running cluster. `manifests`: what `deploy/` has for it."""

    cluster: Cluster
    name: str
    manifests: Manifests
    api: Api = field(init=False, repr=False)
    ports: NodePorts = field(init=False, repr=False)
    _claimed: set[str] = field(default_factory=set)
    _imported: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.api = self.cluster.api(self.name)
        self.manifests = Manifests(tuple(map(self._placed, self.manifests.every)))
        self.ports = NodePorts(deque(self.cluster.plan.ports), f"cluster {self.cluster.name}")

    @property
    def machine(self) -> Machine:
        """The container that is the node of the cluster."""
        return self.cluster.machine

    def create(self) -> None:
        """Create the namespace; it admits only pods of the standard `restricted`. Raises HarnessError."""
        labels = {MANAGED: OWNER, "pod-security.kubernetes.io/enforce": "restricted"}
        self.api.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": labels}}])

    def provision(self) -> None:
        """Apply every manifest with 0 replicas: an activation scales them up. Raises HarnessError."""
        self.api.apply(map(scaled_down, self.manifests.every))

    def _placed(self, manifest: Manifest) -> Manifest:
        return placed(manifest, self.machine.name) if manifest["kind"] == CLAIM else manifest

    def claim(self, volumes: Iterable[str]) -> None:
        """Create the claims of these volumes that do not exist. Raises HarnessError."""
        missing = [volume for volume in volumes if volume not in self._claimed]
        self.api.apply(self._placed(claim_of(volume, self.manifests.claim(name_of(volume)))) for volume in missing)
        self._claimed.update(missing)

    def forget_claims(self, *volumes: str) -> None:
        """Note that the claims of these volumes, or of all, were deleted."""
        self._claimed -= set(volumes or self._claimed)

    def require_image(self, image: str) -> None:
        """Return once an image is on the cluster's node; one that is not in the plan is loaded. Raises HarnessError."""
        if image in self.cluster.plan.archives:
            self.cluster.await_image(image)
        elif image not in self._imported | self.cluster.plan.stocked:
            load_archive(kind_program(), self.cluster.name, archive(image))
            self._imported.add(image)

    def kubectl(self) -> tuple[str, ...]:
        """Return the command line of kubectl for this namespace."""
        plan = self.cluster.plan
        folder = plan.folder / f"{plan.name}.kubectl"
        return (
            str(kubectl_program()), "--kubeconfig", str(plan.kubeconfig), "--cache-dir", str(folder),
            "--namespace", self.name,
        )  # fmt: skip


def folder_of(run: Path) -> Path:
    """Return the folder of the credentials of a run's clusters."""
    return run / "clusters"
