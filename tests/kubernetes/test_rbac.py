"""What the accounts of `deploy/cluster` may do, asked of a real cluster: what is needed, and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kubernetes.clusters_under_test import ClustersUnderTest

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]
CLUSTER = Path(__file__).resolve().parents[2] / "deploy" / "cluster"
RESTORE_TEST, BACKUP = "blackstart-restore-test", "blackstart-backup"
Asks = Callable[[str, str], bool]
HOME = {"restore-test": "dr", "backup": "primary"}  # each account where it is deployed

MAY = (
    "get pods",
    "list pods",
    "watch pods",
    "get pods --subresource=log",
    "get statefulset.apps/postgres",
    "get statefulset.apps/objects",
    *(f"get deployment.apps/{name}" for name in ("odoo", "n8n", "notification", "gateway")),
    *(f"patch deployment.apps/{name} --subresource=scale" for name in ("odoo", "n8n", "notification", "gateway")),
    "patch statefulset.apps/postgres --subresource=scale",
    "patch statefulset.apps/objects --subresource=scale",
    "get namespace/kube-system",
)
MAY_NOT = (
    "get secrets",
    "list secrets",
    "watch secrets",
    "get secret/blackstart-dr",
    "get configmaps",
    "create pods",
    "delete pods",
    "create pods --subresource=exec",
    "create pods --subresource=eviction",
    "create jobs.batch",
    "patch deployment.apps/odoo",
    "delete deployment.apps/odoo",
    "list deployments.apps",
    "get deployment.apps/other",
    "patch deployment.apps/other --subresource=scale",
    "patch statefulset.apps/other --subresource=scale",
    "get persistentvolumeclaims",
    "get namespace/default",
    "get namespace/primary",
    "list namespaces",
    "get nodes",
    "create serviceaccounts --subresource=token",
    "create rolebindings.rbac.authorization.k8s.io",
    "update deployment.apps/odoo",
    "delete persistentvolumeclaims",
    "impersonate users",
    "get pods -n kube-system",
    "get pods --subresource=log -n kube-system",
    "get secrets -n kube-system",
    "get pods -n default",
    "patch deployment.apps/odoo --subresource=scale -n default",
    "list pods --all-namespaces",
    "* *",
)


@pytest.fixture(scope="module")
def may(clusters: ClustersUnderTest) -> Asks:
    """Return a function that asks the cluster whether an account may do something."""
    command = clusters.substrate.cluster_site("dr").namespace.kubectl()

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False)

    run("create", "namespace", "primary")
    for folder, site in HOME.items():
        done = run("apply", "--server-side", "--namespace", site, "-f", str(CLUSTER / folder / "account.yaml"))
        assert done.returncode == 0, done.stderr

    def ask(account: str, what: str) -> bool:
        site = HOME[account.removeprefix("blackstart-")]
        where = [] if " -n " in what else ["--namespace", site]
        done = run("auth", "can-i", *what.split(), *where, f"--as=system:serviceaccount:{site}:{account}")
        answer = done.stdout.strip().splitlines()[-1:]
        assert answer in (["yes"], ["no"]), done.stdout + done.stderr
        assert done.returncode == (0 if answer == ["yes"] else 1)
        return answer == ["yes"]

    return ask


@pytest.mark.parametrize("what", MAY)
def test_the_restore_drill_may(may: Asks, what: str) -> None:
    assert may(RESTORE_TEST, what)


@pytest.mark.parametrize("what", MAY_NOT)
def test_the_restore_drill_may_not(may: Asks, what: str) -> None:
    assert not may(RESTORE_TEST, what)


@pytest.mark.parametrize("what", [*MAY, *MAY_NOT])
def test_the_backup_may_do_nothing_at_all(may: Asks, what: str) -> None:
    assert not may(BACKUP, what)
