"""Faults of Kubernetes clusters. The Kubernetes client is imported when needed, because its import is slow."""

from __future__ import annotations

from threading import Timer
from typing import TYPE_CHECKING

from harness.core.errors import HarnessError
from harness.estate.registry import kind_of, load_service
from harness.estate.site import DATABASE, EstateSite
from harness.patience import PATIENCE
from harness.scenario.faults.fault import Fault, Scene, When
from harness.scenario.faults.recovery import dr_secret, replace_secret

if TYPE_CHECKING:
    from harness.substrate.kind.site import KindSite

KIND = "needs_kubernetes"
UNAVAILABLE = 10.0  # seconds until a stopped control plane is started again
IMAGE = "notifier"


def cluster_of(site: EstateSite) -> KindSite:
    """Return the cluster of a site; raises HarnessError when the site is not a cluster."""
    from harness.substrate.kind.site import KindSite  # noqa: PLC0415

    if not isinstance(site.site, KindSite):
        raise HarnessError(f"site {site.site.name} is not a Kubernetes cluster; run this drill with --substrate=kind")
    return site.site


def kill_pod(scene: Scene) -> None:
    """Delete the primary's database pod without grace period; its workload creates a new pod."""
    from harness.kubernetes import disruption  # noqa: PLC0415

    disruption.kill_pods(cluster_of(scene.environment.primary).api, DATABASE, PATIENCE.pod_evicted)


def drain_node(scene: Scene) -> None:
    """Drain the primary's only node and uncordon it."""
    from harness.kubernetes import disruption  # noqa: PLC0415

    site = cluster_of(scene.environment.primary)
    node = site.namespace.machine.name
    try:
        disruption.drain(site.api, node, PATIENCE.pod_evicted)
    finally:
        disruption.uncordon(site.api, node)


def primary_pods(scene: Scene) -> frozenset[str]:
    """Return the UIDs of the primary's running pods."""
    api = cluster_of(scene.environment.primary).api
    return frozenset(pod.uid for pod in api.pods() if pod.alive and not pod.going)


def lose_database_volume(site: EstateSite) -> None:
    """Delete the volume claim of a site's database with its data, so that the site can no longer serve."""
    cluster_of(site).lose_volume(DATABASE)


def database_claim(scene: Scene) -> str:
    """Return the UID of the primary's database volume claim, "" without one."""
    api = cluster_of(scene.environment.primary).api
    return str((api.get("PersistentVolumeClaim", DATABASE) or {}).get("metadata", {}).get("uid", ""))


def remove_image(scene: Scene) -> None:
    """Remove the notification service's image from DR's node."""
    from harness.images.find import reference  # noqa: PLC0415

    site = cluster_of(scene.environment.dr)
    site.namespace.require_image(IMAGE)
    site.namespace.machine.forget_image(reference(IMAGE))


def images_on_node(scene: Scene) -> int:
    """Return the number of images of the notification service on DR's node."""
    from harness.kubernetes.machine import CTR  # noqa: PLC0415

    machine = cluster_of(scene.environment.dr).namespace.machine
    return sum(IMAGE in line for line in machine.execute(f"{CTR} images ls -q").splitlines())


def cordon_node(scene: Scene) -> None:
    """Cordon DR's only node, so that no new pod is scheduled."""
    from harness.kubernetes import disruption  # noqa: PLC0415

    site = cluster_of(scene.environment.dr)
    disruption.cordon(site.api, site.namespace.machine.name)


def unschedulable(scene: Scene) -> bool:
    """Return whether DR's node is unschedulable."""
    site = cluster_of(scene.environment.dr)
    node = site.api.get("Node", site.namespace.machine.name) or {}
    return bool(node.get("spec", {}).get("unschedulable"))


def stop_api_server(scene: Scene) -> None:
    """Stop DR's API server."""
    from harness.kubernetes import disruption  # noqa: PLC0415

    disruption.stop_api_server(cluster_of(scene.environment.dr).namespace.machine)


def stop_api_server_briefly(scene: Scene) -> None:
    """Stop DR's API server and start it again after ten seconds."""
    from harness.kubernetes import disruption  # noqa: PLC0415

    stop_api_server(scene)
    machine = cluster_of(scene.environment.dr).namespace.machine
    back = Timer(UNAVAILABLE, disruption.start_api_server, (machine,))
    back.start()
    scene.later(back.join)


def api_server_runs(scene: Scene) -> bool:
    """Return whether an API server process runs on DR's node."""
    machine = cluster_of(scene.environment.dr).namespace.machine
    return bool(machine.execute("pgrep -x kube-apiserver || true").strip())


def database_password(scene: Scene) -> str:
    """The name of the secret of the service that takes the client load: its password on the database server."""
    config = scene.environment.config
    if (name := load_service(config)) is None:
        raise HarnessError("no service of this estate takes numbered writes")
    return kind_of(config, name).secrets(name, config.services[name])[0].name


FAULTS = (
    Fault("a killed database pod", When.NOW, kill_pod, None, primary_pods, KIND, target="the primary cluster"),
    Fault("a drained node", When.NOW, drain_node, None, primary_pods, KIND, target="the primary cluster"),
    Fault(
        "the loss of its database volume", When.STRIKE, lambda s: s.drill.strike(destroy=lose_database_volume), None,
        database_claim, KIND, target="the primary",
    ),
    Fault(
        "a control plane that is unavailable for ten seconds", When.BEFORE_RECOVERY, stop_api_server_briefly, None,
        api_server_runs, KIND, target="the DR site",
    ),
    Fault(
        "an image is missing in the DR cluster", When.BEFORE_RECOVERY, remove_image, None, images_on_node, KIND,
        named=IMAGE,
    ),
    Fault(
        "the DR cluster has a wrong password", When.BEFORE_RECOVERY,
        lambda s: replace_secret(s, database_password(s), b"not the one"), None,
        lambda s: dr_secret(s, database_password(s)), KIND, named=r"\S+ on dr.*password authentication failed",
    ),
    Fault(
        "the DR node is cordoned", When.BEFORE_RECOVERY, cordon_node, None, unschedulable, KIND,
        named="unschedulable",
    ),
    Fault(
        "the DR control plane stays unavailable", When.BEFORE_RECOVERY, stop_api_server, None, api_server_runs, KIND,
        named=r"cluster bs-\S+-dr-cluster: its API server does not answer",
    ),
)  # fmt: skip
