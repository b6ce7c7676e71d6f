"""The manifests of `deploy/` say what the specs say, and are fit for a cluster that is strict."""

from __future__ import annotations

import copy
import json
from importlib import metadata
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, MissingPart
from harness.core.node import Address, NodeSpec
from harness.core.render import secrets_in
from harness.core.service import S3, Place, Route, Sql
from harness.images.kind.node import kubectl_program
from harness.images.table import image
from harness.kubernetes.deploy import FOLDER, WORKLOADS, Manifests, rendered
from harness.kubernetes.objects import NAME, Manifest
from harness.postgres.server import server_spec as postgres_spec
from harness.s3.server import server_spec as objects_spec
from harness.services.gateway.app import Gateway
from harness.services.n8n.app import N8n
from harness.services.notification.app import Notification
from harness.services.odoo.app import Odoo
from harness.substrate.containers.workspace import FILES, VOLUMES, working_folder, workspace_of
from tests.substrate.fake import Fake

# The programs that the specs name, and kubectl, which comes with the images.
pytestmark = [pytest.mark.programs, pytest.mark.engine]

OVERLAYS = ("kind", "primary", "dr")
NODES = ("postgres", "objects", "odoo", "n8n", "notification", "gateway")
VERSION = metadata.version("blackstart")
INWARD = "broker"  # a port that only its own pod uses
SECRETS = (
    "postgres-superuser", "s3-access", "s3-secret", "odoo-db", "odoo-admin", "n8n-db", "n8n-key", "notification-db",
    "gateway-users",
)  # fmt: skip


@pytest.fixture(scope="module")
def manifests() -> dict[str, Manifests]:
    return {name: rendered(kubectl_program(), FOLDER / "overlays" / name) for name in OVERLAYS}


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch) -> dict[str, NodeSpec]:
    monkeypatch.setenv("NOT_SECRET", "x")
    secrets = dict.fromkeys(SECRETS, "env:NOT_SECRET")
    sql, objects = Address("postgres", 5432), Address("objects", 9000)
    site = Fake(runs_images=True).site("primary")
    place = Place(
        site,
        Sql(sql, sql, "postgres", "env:NOT_SECRET"),
        S3(objects, objects, "env:NOT_SECRET", "env:NOT_SECRET"),
        secrets,
        {"odoo": Address("odoo", 8069)},
        {"notifications": "json://sink"},
    )
    routes = (Route("/", "odoo", strip=False, auth=True),)
    services = (Odoo(), N8n(), Notification(), Gateway(routes=routes))
    found = [postgres_spec(site, secrets=secrets), objects_spec(site, secrets=secrets)]
    found += [node for service in services for node in service.nodes(place)]
    return {node.name: node for node in found}


def workload(manifests: dict[str, Manifests], node: str, overlay: str = "kind") -> Manifest:
    found = [m for m in manifests[overlay].every if m["kind"] in WORKLOADS and m["metadata"]["name"] == node]
    assert len(found) == 1, f"{node}: {len(found)} workloads in {overlay}"
    return copy.deepcopy(found[0])


def container(manifests: dict[str, Manifests], node: str) -> Manifest:
    return dict(workload(manifests, node)["spec"]["template"]["spec"]["containers"][0])


def one(manifests: dict[str, Manifests], kind: str, name: str, overlay: str = "kind") -> Manifest:
    found = [m for m in manifests[overlay].every if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{kind} {name}: {len(found)} in {overlay}"
    return found[0]


def test_every_node_of_the_estate_has_a_manifest_and_no_other_has(
    manifests: dict[str, Manifests], specs: dict[str, NodeSpec]
) -> None:
    for overlay in OVERLAYS:
        named = {m["metadata"]["name"] for m in manifests[overlay].every if m["kind"] in WORKLOADS}
        assert named == set(NODES) == set(specs)


@pytest.mark.parametrize("node", NODES)
def test_image_arguments_and_ports_are_those_of_the_spec(
    node: str, manifests: dict[str, Manifests], specs: dict[str, NodeSpec]
) -> None:
    spec, workspace, found = specs[node], workspace_of(specs[node]), container(manifests, node)
    assert found["image"] == (image(spec.image).public or f"blackstart/notifier:{VERSION}")
    assert found.get("args", []) == workspace.arguments(spec.argv)
    assert {p["name"]: p["containerPort"] for p in found["ports"]} == {
        name: address.port for name, address in workspace.ports.items()
    }
    service = one(manifests, "Service", node)["spec"]
    assert {p["name"]: p["port"] for p in service["ports"]} == {
        name: address.port for name, address in workspace.ports.items() if name != INWARD
    }
    assert service["selector"] == workload(manifests, node)["spec"]["selector"]["matchLabels"] == {NAME: node}


@pytest.mark.parametrize("node", NODES)
def test_environment_is_that_of_the_spec_without_its_secrets(
    node: str, manifests: dict[str, Manifests], specs: dict[str, NodeSpec]
) -> None:
    spec, workspace = specs[node], workspace_of(specs[node])
    private = {name for name, text in spec.env.items() if secrets_in(text)}
    expected = {name: text for name, text in workspace.environment().items() if name not in private}
    assert one(manifests, "ConfigMap", f"{node}-env")["data"] == expected
    sources = container(manifests, node)["envFrom"]
    assert sources[0] == {"configMapRef": {"name": f"{node}-env"}}
    assert sources[1]["secretRef"]["name"] == f"{node}-env"


@pytest.mark.parametrize("node", NODES)
def test_volumes_and_files_are_those_of_the_spec(
    node: str, manifests: dict[str, Manifests], specs: dict[str, NodeSpec]
) -> None:
    spec = specs[node]
    pod = workload(manifests, node)["spec"]["template"]["spec"]
    named = {volume["name"]: volume for volume in pod["volumes"]}
    claims = {
        mount["mountPath"]: named[mount["name"]]["persistentVolumeClaim"]["claimName"]
        for mount in pod["containers"][0]["volumeMounts"]
        if "persistentVolumeClaim" in named[mount["name"]]
    }
    assert claims == {f"{VOLUMES}/{volume}": volume for volume in spec.volumes}
    assert pod["containers"][0].get("workingDir") == working_folder(spec)
    for volume in spec.volumes:
        assert one(manifests, "PersistentVolumeClaim", volume)["spec"]["accessModes"] == ["ReadWriteOnce"]
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert (FILES in mounts) == bool(spec.files)
    if spec.files:
        assert named["files"]["secret"]["secretName"] == f"{node}-files"


@pytest.mark.parametrize("node", NODES)
def test_readiness_is_asked_as_the_spec_says(
    node: str, manifests: dict[str, Manifests], specs: dict[str, NodeSpec]
) -> None:
    ready, found = specs[node].ready, container(manifests, node)
    probe = found["readinessProbe"]
    if ready.argv:
        assert probe["exec"]["command"] == workspace_of(specs[node]).arguments(ready.argv)
    else:
        assert probe["httpGet"] == {"path": ready.path, "port": ready.port}
    assert "livenessProbe" in found


@pytest.mark.parametrize("node", NODES)
def test_a_pod_has_no_more_rights_than_it_needs(node: str, manifests: dict[str, Manifests]) -> None:
    pod = workload(manifests, node)["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for found in (*pod["containers"], *pod.get("initContainers", ())):
        assert found["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(found["resources"]["requests"])
        assert "memory" in found["resources"]["limits"]
    assert "hostPath" not in json.dumps(pod)


@pytest.mark.parametrize("node", NODES)
def test_a_drain_takes_no_more_than_one_pod_of_a_node(node: str, manifests: dict[str, Manifests]) -> None:
    budget = one(manifests, "PodDisruptionBudget", node)["spec"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": {NAME: node}}}


def test_no_secret_is_in_the_manifests(manifests: dict[str, Manifests]) -> None:
    assert not [m for overlay in OVERLAYS for m in manifests[overlay].every if m["kind"] == "Secret"]


def test_only_production_is_at_work_and_reaches_out(manifests: dict[str, Manifests]) -> None:
    replicas = {
        overlay: {workload(manifests, node, overlay)["spec"]["replicas"] for node in NODES} for overlay in OVERLAYS
    }
    assert replicas == {"kind": {0}, "primary": {1}, "dr": {0}}
    outward = {o: [m for m in manifests[o].every if m["metadata"]["name"] == "outward"] for o in OVERLAYS}
    assert [len(outward[overlay]) for overlay in OVERLAYS] == [0, 1, 0]
    assert one(manifests, "NetworkPolicy", "nobody", "dr")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_a_namespace_is_the_overlays_affair(manifests: dict[str, Manifests]) -> None:
    def spaces(overlay: str) -> set[str | None]:
        return {m["metadata"].get("namespace") for m in manifests[overlay].every if m["kind"] != "Namespace"}

    assert (spaces("kind"), spaces("primary"), spaces("dr")) == ({None}, {"primary"}, {"dr"})
    for site in ("primary", "dr"):
        labels = one(manifests, "Namespace", site, site)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_on_kind_every_service_has_a_port_of_the_node(manifests: dict[str, Manifests]) -> None:
    assert {m["spec"]["type"] for m in manifests["kind"].every if m["kind"] == "Service"} == {"NodePort"}


def test_what_cannot_be_rendered_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="no manifests there"):
        rendered(kubectl_program(), tmp_path)
    (tmp_path / "kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
    with pytest.raises(HarnessError, match=r"cannot be rendered: .*nowhere\.yaml") as refused:
        rendered(kubectl_program(), tmp_path)
    assert "\n" not in str(refused.value)
