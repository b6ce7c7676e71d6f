"""A site's cluster as it stands: its ports, its manifests, what was prepared in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.errors import HarnessError
from harness.images.find import archive
from harness.images.programs import kind_program, kubectl_program
from harness.kubernetes.api import Api
from harness.kubernetes.cluster import Cluster, load_archive
from harness.kubernetes.deploy import WORKLOADS, Manifests
from harness.kubernetes.objects import MANAGED, OWNER, Manifest, name_of
from harness.kubernetes.waiting import await_emptied
from harness.substrate.kind.manifests import CLAIM, claim_of, placed

KINDS = ("Deployment", "StatefulSet", "Job", "Service", "ConfigMap", "Secret", CLAIM)
EMPTIED = 60.0


@dataclass(slots=True)
class NodePorts:
    """The published ports of a node: each given to one, and used again as late as can be."""

    free: deque[int]
    where: str
    _lock: Lock = field(default_factory=Lock, repr=False)

    def take(self) -> int:
        """Return a port that nobody has. Raises HarnessError when all are taken."""
        with self._lock:
            if not self.free:
                raise HarnessError(f"{self.where}: all its published ports are taken; publish more of them")
            return self.free.popleft()

    def give(self, numbers: Iterable[int]) -> None:
        """Take ports back."""
        with self._lock:
            self.free.extend(numbers)


@dataclass(slots=True)
class Standing:
    """A cluster with one namespace of it."""

    cluster: Cluster
    namespace: str
    manifests: Manifests
    api: Api = field(init=False, repr=False)
    ports: NodePorts = field(init=False, repr=False)
    _claimed: set[str] = field(default_factory=set)
    _imported: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.api = self.cluster.api(self.namespace)
        self.manifests = Manifests(tuple(map(self._placed, self.manifests.every)))
        self.ports = NodePorts(deque(self.cluster.plan.ports), f"cluster {self.cluster.name}")

    def prepare(self) -> None:
        """Make the namespace; nothing runs in it that the strictest standard for pods forbids. Raises HarnessError."""
        labels = {MANAGED: OWNER, "pod-security.kubernetes.io/enforce": "restricted"}
        self.api.apply(
            [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}}]
        )

    def light(self) -> None:
        """Have every manifest applied, with no replica: what an activation scales. Raises HarnessError."""
        self.api.apply(_at_rest(one) for one in self.manifests.every)

    def _placed(self, manifest: Manifest) -> Manifest:
        return placed(manifest, self.cluster.machine.name) if manifest["kind"] == CLAIM else manifest

    def await_images(self) -> None:
        """Return once every image that was planned for is in the node. Raises HarnessError."""
        for image in self.cluster.plan.archives:
            self.cluster.await_image(image)

    def claim(self, volumes: Iterable[str]) -> None:
        """Have the claims of these volumes. Raises HarnessError."""
        lacking = [volume for volume in volumes if volume not in self._claimed]
        self.api.apply(self._placed(claim_of(volume, self.manifests.claim(name_of(volume)))) for volume in lacking)
        self._claimed.update(lacking)

    def require_image(self, image: str) -> None:
        """Return once an image is in the node; one that was not planned for is brought there. Raises HarnessError."""
        if image in self.cluster.plan.archives:
            self.cluster.await_image(image)
        elif image not in self._imported | self.cluster.plan.stocked:
            load_archive(kind_program(), self.cluster.name, archive(image))
            self._imported.add(image)

    def kubectl(self) -> tuple[str, ...]:
        """Return the command that speaks to this namespace."""
        plan = self.cluster.plan
        folder = plan.folder / f"{plan.name}.kubectl"
        return (
            str(kubectl_program()), "--kubeconfig", str(plan.kubeconfig), "--cache-dir", str(folder),
            "--namespace", self.namespace,
        )  # fmt: skip

    def forget_claim(self, volume: str) -> None:
        """Take notice that a claim was lost."""
        self._claimed.discard(volume)

    def empty(self) -> None:
        """Delete all that was made in the namespace, and return once it is gone. Raises HarnessError."""
        for kind in KINDS:
            self.api.delete_all(kind, f"{MANAGED}={OWNER}", grace=0)
        self.api.delete_all("Pod", f"{MANAGED}={OWNER}", grace=0)
        self._claimed.clear()
        self.ports = NodePorts(deque(self.cluster.plan.ports), f"cluster {self.cluster.name}")
        await_emptied(self.api, f"{MANAGED}={OWNER}", EMPTIED)

    def destroy(self) -> None:
        """Lose the cluster. Raises HarnessError."""
        self.cluster.destroy()


def _at_rest(manifest: Manifest) -> Manifest:
    if manifest["kind"] not in WORKLOADS:
        return manifest
    return {**manifest, "spec": {**manifest["spec"], "replicas": 0}}


def folder_of(run: Path) -> Path:
    """Return where the credentials of a run's clusters lie."""
    return run / "clusters"
