"""Clusters of one node, created by kind: creation, import of images, destruction."""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import HarnessError, MissingPart, PortInUse, UsageError
from harness.kubernetes.api import Api
from harness.kubernetes.machine import Machine, machines
from harness.patience import PATIENCE

LOOPBACK = "127.0.0.1"
FIRST, COUNT = 30_000, 28  # published NodePorts
IMPORTS = 2  # archives that a node imports at once
ARCHIVES = "/archives"  # folder of archives of images in the node
RUNC = 'plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options'  # section of containerd's configuration
ALONE = {"leader-elect": "false"}  # saves 4 s at the start, and the wait for an old lease at a restart


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of a cluster. `folder`: for its private kubeconfig; `ports`: NodePort -> port of loopback.

    `network`: an existing network of the engine; `kind`: path of the program; `tags`: environment of the processes that
    create it, by which a sweep finds them; `mounts`: path on the engine's machine -> path in the node, read-only;
    `stocked`: names of the images that these mounts provide; `archives`: name of another image -> its archive;
    `old_cgroups`: whether the engine's machine has cgroups of version 1.
    """

    name: str
    node_image: str
    folder: Path
    ports: Mapping[int, int]
    network: str
    kind: Path
    tags: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    stocked: frozenset[str] = frozenset()
    archives: Mapping[str, Path] = field(default_factory=dict)
    old_cgroups: bool = False

    @property
    def kubeconfig(self) -> Path:
        """The file of its credentials; the user's own kubeconfig is not changed."""
        return self.folder / f"{self.name}.kubeconfig"

    def text(self) -> str:
        """Return kind's configuration (JSON is YAML). Format: kind.x-k8s.io/v1alpha4."""
        folders = sorted({archive.parent for archive in self.archives.values()})
        mounts = {**self.mounts, **{str(found): f"{ARCHIVES}/{number}" for number, found in enumerate(folders)}}
        node = {
            "role": "control-plane",
            "extraPortMappings": [
                {"containerPort": inside, "hostPort": outside, "listenAddress": LOOPBACK}
                for inside, outside in self.ports.items()
            ],
            "extraMounts": [
                {"hostPath": outside, "containerPath": inside, "readOnly": True} for outside, inside in mounts.items()
            ],
        }
        parts: list[dict[str, object]] = [
            {
                "kind": "ClusterConfiguration",
                "controllerManager": {"extraArgs": ALONE},
                "scheduler": {"extraArgs": ALONE},
            }
        ]
        whole = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "name": self.name, "nodes": [node]}
        if self.old_cgroups:
            # With cgroups v1, runc freezes a container while systemd sets its limits, which fails on a busy machine
            # ("unable to freeze", kubernetes issue 131087). A pod that is started only once fails then, such as those
            # of the volume provisioner, which waits 120 s for one. Without systemd nothing is frozen.
            parts.append({"kind": "KubeletConfiguration", "cgroupDriver": "cgroupfs"})
            whole["containerdConfigPatches"] = [f"[{RUNC}]\nSystemdCgroup = false"]
        return json.dumps({**whole, "kubeadmConfigPatches": list(map(json.dumps, parts))})

    def inside(self, image: str) -> str:
        """Return the path of an image's archive in the node."""
        folders = sorted({archive.parent for archive in self.archives.values()})
        archive = self.archives[image]
        return f"{ARCHIVES}/{folders.index(archive.parent)}/{archive.name}"


@dataclass(slots=True)
class Cluster:
    """A running cluster. Images are imported in the background; `await_image` waits for one."""

    plan: Plan
    machine: Machine
    address: str
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(IMPORTS), repr=False)
    _images: dict[str, Future[None]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Its name for kind."""
        return self.plan.name

    def api(self, namespace: str) -> Api:
        """Return the client of its API for one namespace."""
        plan = self.plan
        cache = plan.folder / f"{plan.name}.discovery.json"
        return Api(f"cluster {plan.name}", namespace, plan.kubeconfig, f"kind-{plan.name}", cache=cache)

    def begin_imports(self) -> None:
        """Start the import of every archive of the plan, in its order."""
        for image in self.plan.archives:
            self._images[image] = self._pool.submit(self.machine.import_image, self.plan.inside(image))

    def await_image(self, image: str) -> None:
        """Return once an image of the plan is imported. Raises HarnessError."""
        if image in self._images:
            self._images[image].result()

    def destroy(self) -> None:
        """SIGKILL its node and remove it with its volumes. Raises HarnessError."""
        self.machine.destroy()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.plan.kubeconfig.unlink(missing_ok=True)


def create(plan: Plan) -> Cluster:
    """Create a cluster; return it once its API server answers and its node is ready, while images are still imported.

    Raises HarnessError, MissingPart, PortInUse, UsageError: one line each.
    """
    machine = Machine(f"{plan.name}-control-plane")
    if machine.exists:
        raise _name_in_use(plan.name)
    _kind(plan)
    cluster = Cluster(plan, machine, "")
    try:
        cluster.address = machine.address(plan.network)
        cluster.begin_imports()
        _await_node(cluster)
    except BaseException:
        with contextlib.suppress(HarnessError):  # the original error is reported
            cluster.destroy()
        raise
    return cluster


def _kind(plan: Plan) -> None:
    command = [str(plan.kind), "create", "cluster", "--name", plan.name, "--image", plan.node_image]
    command += ["--kubeconfig", str(plan.kubeconfig), "--config", "-"]
    own = {"KIND_EXPERIMENTAL_DOCKER_NETWORK": plan.network, "KIND_EXPERIMENTAL_PROVIDER": "docker"}
    try:
        done = subprocess.run(
            command, input=plan.text(), env={**os.environ, **own, **plan.tags}, capture_output=True, text=True,
            check=False, timeout=PATIENCE.cluster_create,
        )  # fmt: skip
    except FileNotFoundError:
        raise MissingPart(f"{plan.kind}: not found; `make images` builds kind") from None
    except subprocess.TimeoutExpired:
        Machine(f"{plan.name}-control-plane").destroy()
        raise HarnessError(
            f"cluster {plan.name}: kind did not create it within {PATIENCE.cluster_create:g} s; is the machine busy?"
        ) from None
    if done.returncode:
        raise _explained(plan, done.stderr)


def _name_in_use(name: str) -> UsageError:
    return UsageError(f"cluster {name}: the name is in use; `kind delete cluster --name {name}`, or sweep")


def _explained(plan: Plan, stderr: str) -> HarnessError:
    """Return the error for the output of a failed kind."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no output")
    text = stderr.lower()
    if "already exist" in text:
        return _name_in_use(plan.name)
    if "cannot connect to the docker daemon" in text or "docker: not found" in text:
        return MissingPart(f"cluster {plan.name}: no container engine answers; install Docker Engine and start it")
    if "failed to pull image" in text or "no such image" in text or "unable to find image" in text:
        return MissingPart(f"cluster {plan.name}: the node image {plan.node_image} does not exist; run `make images`")
    if "port is already allocated" in text or "address already in use" in text:
        return PortInUse(f"cluster {plan.name}: a port of loopback is in use; try again: {lines[-1]}")
    return HarnessError(f"cluster {plan.name}: kind could not create it: {said.removeprefix('ERROR: ')}")


def _await_node(cluster: Cluster) -> None:
    reason = "no node"
    for nodes in cluster.api("default").follow("Node", "", PATIENCE.cluster_ready):
        for node in nodes:
            found = {c["type"]: c for c in node.get("status", {}).get("conditions", ())}.get("Ready", {})
            if found.get("status") == "True":
                return
            reason = str(found.get("message", "no condition"))
    raise HarnessError(
        f"cluster {cluster.name}: its node is not ready within {PATIENCE.cluster_ready:g} s: {' '.join(reason.split())}"
    )


def load_archive(kind: Path, cluster: str, archive: Path) -> None:
    """Load an image that is not in the plan into a cluster. Raises HarnessError."""
    try:
        done = subprocess.run(
            [str(kind), "load", "image-archive", str(archive), "--name", cluster],
            capture_output=True, text=True, check=False, timeout=PATIENCE.cluster_create,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise HarnessError(
            f"cluster {cluster}: {archive.name} not loaded within {PATIENCE.cluster_create:g} s; is the machine busy?"
        ) from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"kind ended with code {done.returncode}"]
        raise HarnessError(f"cluster {cluster}: {archive.name} cannot be loaded: {said[-1]}")


def sweep(prefix: str) -> int:
    """Remove every cluster whose name begins with `prefix`; return how many there were. Raises HarnessError."""
    found = machines(prefix)
    for machine in found:
        machine.destroy()
    return len(found)
