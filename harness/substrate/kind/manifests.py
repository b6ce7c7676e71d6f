"""The manifests of one node: those of `deploy/`, or plain ones made of its spec; filled in."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.core.errors import HarnessError
from harness.core.node import NodeSpec
from harness.core.render import secrets_in
from harness.kubernetes.deploy import WORKLOADS
from harness.kubernetes.objects import MANAGED, NAME, OWNER, Manifest, name_of
from harness.substrate.containers.workspace import FILES, TMP, VOLUMES, Shell

USER = 1000  # and its group: nobody's, and the same for all of a site
SIZE = "2Gi"  # of a volume that no manifest tells of
SAFE: Manifest = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
CLAIM = "PersistentVolumeClaim"
PLACE = "volume.kubernetes.io/selected-node"  # the scheduler's word to the provisioner of volumes
PATIENT = 60  # failures of a probe until a node of ours is taken out of service: frozen is silent, not gone


@dataclass(frozen=True, slots=True)
class Filled:
    """What to apply for a node, in that order; `kind`: of its workload."""

    manifests: tuple[Manifest, ...]
    kind: str


def filled(
    spec: NodeSpec, image: str, ports: Mapping[str, int], given: tuple[Manifest, ...], hidden: Iterable[str] = ()
) -> Filled:
    """Return a node's manifests with one replica. `ports`: its ports of the cluster's node; `given`: from `deploy/`.

    `hidden`: variables of its environment that are secrets although they mention none.
    Raises UsageError, HarnessError for what cannot be filled in, before anything is applied.
    """
    shell, name = Shell.of(spec), name_of(spec.name)
    args, env = shell.arguments(spec.argv), surroundings(shell, name, hidden)
    workload = next((one for one in given if one["kind"] in WORKLOADS), None) or _plain(spec, shell, name)
    _fill(workload, spec, image, args)
    workload["spec"]["replicas"] = 1
    others = [one for one in given if one["kind"] not in (*WORKLOADS, "Service", "ConfigMap", "Secret")]
    return Filled((*others, *env, *_service(spec, shell, name, ports), workload), workload["kind"])


def surroundings(shell: Shell, name: str, hidden: Iterable[str] = ()) -> tuple[Manifest, ...]:
    """Return the ConfigMap of what is said aloud, the Secret of what is not, and the Secret of the files.

    What mentions a secret is not said aloud, and what is `hidden` is not. Raises HarnessError.
    """
    env = shell.environment()
    untold = {key for key, text in shell.env.items() if secrets_in(text)} | set(hidden)
    aloud = {key: value for key, value in env.items() if key not in untold}
    return (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(f"{name}-env", name), "data": aloud},
        _secret(f"{name}-env", name, {key: env[key] for key in untold}),
        _secret(f"{name}-files", name, {key_of(file): text for file, text in shell.contents().items()}),
    )


def _secret(name: str, node: str, data: Mapping[str, str]) -> Manifest:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": meta(name, node), "data": encoded}


def key_of(file: str) -> str:
    """Return the key under which a file lies in its Secret, where no `/` may stand."""
    return file.replace("/", "..")


def meta(name: str, node: str) -> Manifest:
    """Return the metadata of an object of a node."""
    return {"name": name, "labels": {NAME: node, MANAGED: OWNER}}


def claim_of(volume: str, given: Manifest | None = None) -> Manifest:
    """Return the claim of a volume: `given`, or a plain one."""
    return given or {
        "apiVersion": "v1",
        "kind": CLAIM,
        "metadata": meta(name_of(volume), name_of(volume)),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": SIZE}}},
    }


def placed(claim: Manifest, node: str) -> Manifest:
    """Return a claim whose volume is made on a node at once, and not when its first pod is scheduled.

    A scheduler that still remembers a lost claim of that name as bound would never say where the new one goes, and its
    pod would wait for ever.
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


def pod_of_ours(container: Manifest, shell: Shell, node: str, labels: Manifest) -> Manifest:
    """Return the template of a pod with one container, which finds its environment, files and volumes."""
    mounts, volumes = mounts_of(shell.volumes, node, tuple(shell.files))
    whole = {
        "imagePullPolicy": "IfNotPresent",
        "envFrom": [{"configMapRef": {"name": f"{node}-env"}}, {"secretRef": {"name": f"{node}-env"}}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": SAFE,
        "volumeMounts": mounts,
        **({"workingDir": shell.folder} if shell.folder else {}),
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


def _plain(spec: NodeSpec, shell: Shell, name: str) -> Manifest:
    container: Manifest = {"name": name, "ports": _container_ports(shell)}
    if probe := _probe(spec, shell):
        container["readinessProbe"] = {**probe, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": PATIENT}
    labels = {NAME: name, MANAGED: OWNER}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta(name, name),
        "spec": {
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {NAME: name}},
            "template": pod_of_ours(container, shell, name, labels),
        },
    }


def _container_ports(shell: Shell) -> list[Manifest]:
    return [{"name": name_of(port)[:15], "containerPort": number} for port, number in shell.ports.items()]


def _probe(spec: NodeSpec, shell: Shell) -> Manifest:
    ready = spec.ready
    if ready.argv:
        return {"exec": {"command": shell.arguments(ready.argv)}}
    if ready.path:
        return {"httpGet": {"path": ready.path, "port": shell.ports[ready.port]}}
    return {"tcpSocket": {"port": shell.ports[ready.port]}} if ready.port else {}


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
        if found["name"] == "files":  # a file of a folder cannot be a key by its own name
            found["secret"]["items"] = [{"key": key_of(file), "path": file} for file in spec.files]


def _service(spec: NodeSpec, shell: Shell, name: str, ports: Mapping[str, int]) -> tuple[Manifest, ...]:
    if not spec.ports:
        return ()
    listed = [
        {"name": name_of(port)[:15], "port": number, "targetPort": number, "nodePort": ports[port], "protocol": "TCP"}
        for port, number in shell.ports.items()
    ]
    body = {"type": "NodePort", "selector": {NAME: name}, "ports": listed}
    return ({"apiVersion": "v1", "kind": "Service", "metadata": meta(name, name), "spec": body},)
