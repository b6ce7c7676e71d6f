"""The manifests of `deploy/cluster`: what they promise is in them, and fits their declarations."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.app import app
from harness.core.errors import Refused
from harness.estate.config import load_config
from harness.estate.promises import load_promises
from harness.images.kind.node import kubectl_program
from harness.kubernetes.deploy import Manifests, rendered
from harness.restore_test.targets import PUBLIC, parse_targets, read_targets, signature_of
from harness.signing import new_signing_pair, read_verify_key

CLUSTER = Path(__file__).resolve().parents[2] / "deploy" / "cluster"
FOLDERS = ("backup", "restore-test")
WAL = "wal"


def manifests(folder: str) -> list[dict[str, Any]]:
    named = yaml.safe_load((CLUSTER / folder / "kustomization.yaml").read_text())["resources"]
    files = [file for file in named if file.endswith(".yaml")]
    return [one for file in files for one in yaml.safe_load_all((CLUSTER / folder / file).read_text())]


def only(folder: str, kind: str) -> dict[str, Any]:
    (found,) = [one for one in manifests(folder) if one["kind"] == kind]
    return found


def pod(folder: str) -> dict[str, Any]:
    outer = (
        only(folder, "Deployment")["spec"] if folder == WAL else only(folder, "CronJob")["spec"]["jobTemplate"]["spec"]
    )
    spec: dict[str, Any] = outer["template"]["spec"]
    return spec


@pytest.mark.engine
@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_rendered(folder: str) -> None:
    found: Manifests = rendered(kubectl_program(), CLUSTER / folder)
    assert {"CronJob", "ServiceAccount", "ConfigMap"} <= {one["kind"] for one in found.every}
    (job,) = [one for one in found.every if one["kind"] == "CronJob"]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"blackstart/blackstart:{metadata.version('blackstart')}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_never_runs_twice_at_once_and_never_for_ever(folder: str) -> None:
    spec = only(folder, "CronJob")["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] > 0
    assert spec["successfulJobsHistoryLimit"] > 0
    assert spec["failedJobsHistoryLimit"] > 0
    job = spec["jobTemplate"]["spec"]
    assert job["backoffLimit"] == 0
    assert job["activeDeadlineSeconds"] > 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.engine
def test_the_receiver_of_wal_has_the_backups_declaration_and_image() -> None:
    found = rendered(kubectl_program(), CLUSTER / WAL).every
    (receiver,) = [one for one in found if one["kind"] == "Deployment"]
    (job,) = [one for one in found if one["kind"] == "CronJob"]
    (declared,) = [one["metadata"]["name"] for one in found if one["kind"] == "ConfigMap"]
    pods = [receiver["spec"]["template"]["spec"], job["spec"]["jobTemplate"]["spec"]["template"]["spec"]]
    for one in pods:
        assert [volume["configMap"]["name"] for volume in one["volumes"] if "configMap" in volume] == [declared]
        assert one["containers"][0]["image"] == f"blackstart/blackstart:{metadata.version('blackstart')}"
    accounts = {one["metadata"]["name"] for one in found if one["kind"] == "ServiceAccount"}
    assert {one["serviceAccountName"] for one in pods} == accounts
    assert {one["metadata"]["namespace"] for one in found} == {"primary"}


def test_the_receiver_of_wal_is_alone_and_may_ship_what_it_has_before_it_ends() -> None:
    deployment, found = only(WAL, "Deployment"), pod(WAL)
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    config = load_config(CLUSTER / "backup" / "estate.toml")
    assert found["terminationGracePeriodSeconds"] > 2 * config.backup.wal_seconds
    assert found["automountServiceAccountToken"] is False
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    policy = only(WAL, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert policy == deployment["spec"]["selector"]["matchLabels"]
    assert policy.items() <= labels.items()
    assert labels["app.kubernetes.io/component"] == "task"  # whom the base lets reach the database


def test_the_receiver_of_wal_runs_a_command_that_there_is() -> None:
    (container,) = pod(WAL)["containers"]
    program, *words = container["command"]
    assert program == "blackstart"
    found = CliRunner().invoke(app, [*words, "--help"])
    assert found.exit_code == 0, found.output
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert words[-1] == "/etc/blackstart/estate.toml"
    assert mounts["/etc/blackstart"] == "estate"


@pytest.mark.parametrize("folder", [*FOLDERS, WAL])
def test_it_runs_as_nobody_on_a_root_that_cannot_be_written(folder: str) -> None:
    found = pod(folder)
    assert found["securityContext"]["runAsNonRoot"] is True
    (container,) = found["containers"]
    inner = container["securityContext"]
    assert (inner["readOnlyRootFilesystem"], inner["allowPrivilegeEscalation"]) == (True, False)
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]
    secrets = {v["name"] for v in found["volumes"] if "secret" in v}
    assert all(m["readOnly"] for m in container["volumeMounts"] if m["name"] in secrets)


@pytest.mark.parametrize("folder", [*FOLDERS, WAL])
def test_every_path_of_its_declaration_is_mounted(folder: str) -> None:
    existing = load_config(CLUSTER / ("backup" if folder == WAL else folder) / "estate.toml").existing
    assert existing is not None
    mounted = {mount["mountPath"] for mount in pod(folder)["containers"][0]["volumeMounts"]}
    site = existing.primary or existing.dr
    assert site is not None
    assert existing.offsite is not None
    read = () if folder == WAL else site.volumes.values()  # WAL is of the database alone
    wanted = {site.secrets, existing.offsite.secrets, *read}
    assert {str(path) for path in wanted} <= mounted


def test_the_backup_has_no_token_and_cannot_change_the_files_it_reads() -> None:
    found = pod("backup")
    assert found["automountServiceAccountToken"] is False
    assert {one["kind"] for one in manifests("backup")}.isdisjoint({"Role", "ClusterRole", "RoleBinding"})
    (odoo,) = [m for m in found["containers"][0]["volumeMounts"] if m["name"] == "odoo"]
    assert odoo["readOnly"] is True


def test_the_drill_may_scale_exactly_the_workloads_that_are_declared() -> None:
    existing = load_config(CLUSTER / "restore-test" / "estate.toml").existing
    assert existing is not None
    assert existing.dr is not None
    assert existing.dr.cluster is not None
    declared = set(existing.dr.cluster.workloads.values())
    rules = only("restore-test", "Role")["rules"]
    named = {
        f"{resource.partition('/')[0].removesuffix('s')}/{name}"
        for rule in rules
        for resource in rule["resources"]
        if resource.endswith("/scale")
        for name in rule["resourceNames"]
    }
    assert named == declared
    assert not [rule for rule in rules if {"secrets", "configmaps", "*"} & {*rule["resources"], *rule["verbs"]}]


def test_the_drill_reads_productions_repository_and_no_more() -> None:
    existing = load_config(CLUSTER / "restore-test" / "estate.toml").existing
    assert existing is not None
    assert existing.offsite is not None
    assert existing.offsite.read_only
    assert existing.targets_key == Path("/secrets/dr") / PUBLIC  # in a Secret: not beside the list that it verifies
    assert "restore test" in load_promises(CLUSTER / "restore-test" / "budgets.toml")


def test_the_list_of_drill_targets_that_comes_with_it_is_not_signed() -> None:
    """Whoever applies the manifests has to write his own list and to sign it; both files are in the ConfigMap."""
    file = CLUSTER / "restore-test" / "drill-targets.toml"
    (target,) = parse_targets(file, file.read_bytes())
    assert target.cluster
    (generated,) = yaml.safe_load((file.parent / "kustomization.yaml").read_text())["configMapGenerator"]
    assert {file.name, signature_of(file).name} <= set(generated["files"])
    with pytest.raises(Refused, match="not signed; sign the list with `blackstart targets sign`"):
        read_targets(file, read_verify_key(new_signing_pair()[1]))
