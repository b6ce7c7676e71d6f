"""Manifests of one node: those of `deploy/`, or generated ones, with image, environment, files and ports filled in."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.core.errors import HarnessError
from harness.core.node import NodeSpec
from harness.core.render import secrets_in
from harness.kubernetes.deploy import WORKLOADS
from harness.kubernetes.objects import MANAGED, NAME, OWNER, Manifest, name_of
from harness.substrate.common.workspace import Workspace
from harness.substrate.containers.workspace import FILES, TMP, VOLUMES, working_folder, workspace_of

USER = 1000  # user and group of all containers of a site
SIZE = "2Gi"  # of a volume that is in no manifest
SAFE: Manifest = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
POD: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
CLAIM = "PersistentVolumeClaim"
PLACE = "volume.kubernetes.io/selected-node"  # annotation by which the scheduler tells the provisioner the node
FAILURES = 60  # of a readiness probe until the Service drops a pod: a frozen node stays in service, silent


@dataclass(frozen=True, slots=True)
class Filled:
    """The manifests of a node, in the order in which they are applied; `kind`: of its workload."""

    manifests: tuple[Manifest, ...]
    kind: str


def filled(
    spec: NodeSpec, image: str, ports: Mapping[str, int], given: tuple[Manifest, ...], hidden: Iterable[str] = ()
) -> Filled:
    """Return a node's manifests with one replica. `ports`: port -> NodePort; `given`: its manifests in `deploy/`.

    `hidden`: variables of its environment that are secret although they have no placeholder of a secret.
    Raises UsageError, HarnessError for a spec that cannot be filled in, before anything is applied.
    """
    workspace, name = workspace_of(spec), name_of(spec.name)
    args, env = workspace.arguments(spec.argv), config_of(workspace, name, hidden)
    workload = next((one for one in given if one["kind"] in WORKLOADS), None) or _generated(spec, workspace, name)
    _fill(workload, spec, image, args)
    workload["spec"]["replicas"] = 1
    others = [one for one in given if one["kind"] not in (*WORKLOADS, "Service", "ConfigMap", "Secret")]
    return Filled((*others, *env, *_service(workspace, name, ports), workload), workload["kind"])


def config_of(workspace: Workspace, name: str, hidden: Iterable[str] = ()) -> tuple[Manifest, ...]:
    """Return the ConfigMap of the plain environment, the Secret of the secret one, and the Secret of the files.

    Variables with the placeholder of a secret are secret, and those that are `hidden`. Raises HarnessError.
    """
    env = workspace.environment()
    private = {key for key, text in workspace.spec.env.items() if secrets_in(text)} | set(hidden)
    public = {key: value for key, value in env.items() if key not in private}
    return (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(f"{name}-env", name), "data": public},
        _secret(f"{name}-env", name, {key: env[key] for key in private}),
        _secret(f"{name}-files", name, {key_of(file): text for file, text in workspace.contents().items()}),
    )


def _secret(name: str, node: str, data: Mapping[str, str]) -> Manifest:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": meta(name, node), "data": encoded}


def key_of(file: str) -> str:
    """Return the key of a file in its Secret, where `/` is not allowed."""
    return file.replace("/", "..")


def meta(name: str, node: str) -> Manifest:
    """Return the metadata of an object of a node."""
    return {"name": name, "labels": {NAME: node, MANAGED: OWNER}}


def claim_of(volume: str, given: Manifest | None = None) -> Manifest:
    """Return the claim of a volume: `given`, or a generated one."""
    return given or {
        "apiVersion": "v1",
        "kind": CLAIM,
        "metadata": meta(name_of(volume), name_of(volume)),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": SIZE}}},
    }


def placed(claim: Manifest, node: str) -> Manifest:
    """Return a claim whose volume is provisioned on a node at once, and not when its first pod is scheduled.

    A scheduler that still has a deleted claim of that name in its cache would never choose a node for the new one, and
    its pod would stay pending.
    """
    metadata = claim["metadata"]
    return {**claim, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), PLACE: node}}}


def mounts_of(volumes: tuple[str, ...], node: str, files: tuple[str, ...]) -> tuple[list[Manifest], list[Manifest]]:
    """Return the mounts of a container, and the volumes of its pod."""
    items = [{"key": key_of(file), "path": file} for file in files]
    mounts: list[Manifest] = [{"name": "tmp", "mountPath": TMP}]
    found: list[Manifest] = [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}}]
    if files:
        mounts.append({"name": "files", "mountPath": FILES, "readOnly": True})
        secret = {"secretName": f"{node}-files", "defaultMode": 0o440, "items": items}
        found.append({"name": "files", "secret": secret})
    for volume in volumes:
        mounts.append({"name": f"data-{name_of(volume)}", "mountPath": f"{VOLUMES}/{volume}"})
        found.append({"name": f"data-{name_of(volume)}", "persistentVolumeClaim": {"claimName": name_of(volume)}})
    return mounts, found


def pod_template(container: Manifest, workspace: Workspace, node: str, labels: Manifest) -> Manifest:
    """Return the template of a pod with one container, and with the environment, files and volumes of its workspace."""
    mounts, volumes = mounts_of(workspace.spec.volumes, node, tuple(workspace.spec.files))
    folder = working_folder(workspace.spec)
    whole = {
        "imagePullPolicy": "IfNotPresent",
        "envFrom": [{"configMapRef": {"name": f"{node}-env"}}, {"secretRef": {"name": f"{node}-env"}}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": SAFE,
        "volumeMounts": mounts,
        **({"workingDir": folder} if folder else {}),
        **container,
    }
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": POD,
        "containers": [whole],
        "volumes": volumes,
    }
    return {"metadata": {"labels": labels}, "spec": spec}


def _generated(spec: NodeSpec, workspace: Workspace, name: str) -> Manifest:
    ports = [{"name": name_of(port)[:15], "containerPort": at.port} for port, at in workspace.ports.items()]
    container: Manifest = {"name": name, "ports": ports}
    if probe := _probe(spec, workspace):
        container["readinessProbe"] = {**probe, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": FAILURES}
    labels = {NAME: name, MANAGED: OWNER}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta(name, name),
        "spec": {
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {NAME: name}},
            "template": pod_template(container, workspace, name, labels),
        },
    }


def _probe(spec: NodeSpec, workspace: Workspace) -> Manifest:
    ready = spec.ready
    if ready.argv:
        return {"exec": {"command": workspace.arguments(ready.argv)}}
    if ready.path:
        return {"httpGet": {"path": ready.path, "port": workspace.ports[ready.port].port}}
    return {"tcpSocket": {"port": workspace.ports[ready.port].port}} if ready.port else {}


def _fill(workload: Manifest, spec: NodeSpec, image: str, args: list[str]) -> None:
    pod = workload["spec"]["template"]["spec"]
    container = pod["containers"][0]
    container["image"] = image
    if args:
        container["args"] = args
    mounted = {mount["mountPath"] for mount in container.get("volumeMounts", ())}
    for volume in spec.volumes:
        if f"{VOLUMES}/{volume}" not in mounted:
            raise HarnessError(f"deploy: the manifest of {spec.name} does not mount volume {volume}; mount its claim")
    for found in pod.get("volumes", ()):
        if found["name"] == "files":  # the path of a file in a folder is not allowed as a key
            found["secret"]["items"] = [{"key": key_of(file), "path": file} for file in spec.files]


def _service(workspace: Workspace, name: str, ports: Mapping[str, int]) -> tuple[Manifest, ...]:
    listed = [
        {"name": name_of(port)[:15], "port": at.port, "targetPort": at.port, "nodePort": ports[port], "protocol": "TCP"}
        for port, at in workspace.ports.items()
    ]
    if not listed:
        return ()
    body = {"type": "NodePort", "selector": {NAME: name}, "ports": listed}
    return ({"apiVersion": "v1", "kind": "Service", "metadata": meta(name, name), "spec": body},)
