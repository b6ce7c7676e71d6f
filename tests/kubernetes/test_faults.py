"""Faults of a real cluster, and the reasons that are reported for pods that do not get ready."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM, wait_until
from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.core.node import NodeSpec, Ready, Task
from harness.images.engine import engine
from harness.images.find import reference
from harness.images.kind.node import kind_program
from harness.kubernetes import cluster as kubernetes_clusters
from harness.kubernetes import disruption
from harness.kubernetes.api import Api
from harness.kubernetes.cluster import Plan
from harness.kubernetes.objects import OWNER
from harness.kubernetes.waiting import await_ready
from harness.substrate.docker.egress import gateway_of
from harness.substrate.kind.manifests import filled
from harness.substrate.kind.node import WorkloadNode
from harness.substrate.kind.site import KindSite
from harness.substrate.kind.substrate import NETWORK
from tests.kubernetes.clusters_under_test import ClustersUnderTest
from tests.substrate.substrates_under_test import server

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]


def launched(site: KindSite, spec: NodeSpec) -> WorkloadNode:
    node = site.launch(spec)
    assert isinstance(node, WorkloadNode)
    return node


def served(tested: ClustersUnderTest, node: WorkloadNode) -> bytes:
    """Ask until it answers: kube-proxy may lag behind pod readiness."""
    return wait_until(lambda: tested.ask(node), patience=10, on=OSError)


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_two_clusters_have_different_identities(tested: ClustersUnderTest) -> None:
    found = {tested.substrate.cluster_site(name).api.identity() for name in ("primary", "dr")}
    assert len(found) == 2
    assert all(len(uid) == 36 for uid in found)


def test_a_missing_image_is_named(site: KindSite, spec: NodeSpec) -> None:
    made = filled(spec, "blackstart/nowhere:1", {"talk": 30_027}, ())
    site.namespace.claim(spec.volumes)
    site.api.apply(made.manifests)
    with pytest.raises(HarnessError, match=r"image \S*blackstart/nowhere:1 is not on the cluster's node") as refused:
        await_ready(site.api, spec.name, 90, what="server on primary")
    assert one_line(refused.value).startswith("server on primary: ")


def test_a_missing_secret_is_named(site: KindSite, spec: NodeSpec) -> None:
    site.namespace.claim(spec.volumes)
    site.namespace.require_image("blackstart")
    node = launched(site, spec)
    image = node.pods[0].containers[0].image
    node.kill()
    made = filled(spec, image, node.ports, ())
    site.api.delete("Secret", "server-env")
    site.api.apply([manifest for manifest in made.manifests if manifest["metadata"]["name"] != "server-env"])
    with pytest.raises(HarnessError, match=r"server on primary: .*(Secret|ConfigMap) server-env is missing; create it"):
        await_ready(site.api, spec.name, 60, what="server on primary")


def test_a_mount_that_comes_late_is_no_program_that_is_late(site: KindSite, spec: NodeSpec) -> None:
    site.namespace.claim(spec.volumes)
    site.namespace.require_image("blackstart")
    made = filled(spec, reference("blackstart"), {"talk": 30_027}, ())
    late = [one for one in made.manifests if one["metadata"]["name"] == "server-files"]
    site.api.apply([manifest for manifest in made.manifests if manifest not in late])
    with pytest.raises(TookTooLong, match=r"started: not within 6 s \(Secret server-files is missing"):
        await_ready(site.api, spec.name, 8, what="server on primary", start=6)
    site.api.apply(late)  # the kubelet tries again within 8 s
    assert await_ready(site.api, spec.name, 8, what="server on primary", start=60)


def test_the_reason_of_an_unschedulable_pod_is_reported(site: KindSite, spec: NodeSpec) -> None:
    made = filled(spec, "blackstart/nowhere:1", {"talk": 30_027}, ())
    container = made.manifests[-1]["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": "64"}}
    site.namespace.claim(spec.volumes)
    site.api.apply(made.manifests)
    with pytest.raises(TookTooLong, match=r"server on primary: ready: not within 3 s \(pod is unschedulable: .*cpu"):
        await_ready(site.api, spec.name, 3, what="server on primary")


def test_a_pod_that_is_never_ready_is_reported_with_its_last_log_lines(site: KindSite, spec: NodeSpec) -> None:
    with pytest.raises(TookTooLong, match=r"server on primary: ready: not within 15 s \(.*its log ends: serving\)"):
        site.launch(replace(spec, ready=Ready(port="talk", path="/nothing", patience=15)))


def test_a_deleted_pod_is_replaced_with_its_data(tested: ClustersUnderTest, site: KindSite, spec: NodeSpec) -> None:
    node = launched(site, spec)
    with site.volume("data").open("note", "wb") as file:
        file.write(b"kept")
    before = {pod.name for pod in node.pods}
    assert disruption.kill_pods(site.api, "server", 30) == tuple(before)
    await_ready(site.api, "server", 30, what="server on primary")
    assert not before & {pod.name for pod in node.pods}
    assert served(tested, node)
    with site.volume("data").open("note", "rb") as file:
        assert file.read() == b"kept"


def test_a_killed_node_stays_down_though_the_kubelet_was_slow(site: KindSite, spec: NodeSpec) -> None:
    """A kubelet restarts killed containers until it knows that their pod was deleted."""
    node, machine = launched(site, spec), site.namespace.machine
    (pod,) = node.pods
    machine.execute("systemctl kill --signal=STOP kubelet")
    back = threading.Timer(2, machine.execute, ("systemctl kill --signal=CONT kubelet",))
    back.start()
    try:
        node.kill()
    finally:
        back.join()
    theirs = machine.execute(f"""ctr -n k8s.io containers ls -q 'labels."io.kubernetes.pod.uid"=={pod.uid}'""").split()
    running = [line.split()[0] for line in machine.execute("ctr -n k8s.io task ls").splitlines() if "RUNNING" in line]
    assert running
    assert not set(theirs) & set(running)


def test_a_drain_evicts_all_pods_and_respects_disruption_budgets(
    tested: ClustersUnderTest, site: KindSite, spec: NodeSpec
) -> None:
    node = launched(site, spec)
    machine = site.namespace.machine.name
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "server", "labels": {"app.kubernetes.io/managed-by": OWNER}},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": "server"}}},
    }
    site.api.apply([budget])
    try:
        with pytest.raises(TookTooLong, match=r"pod server-\S+: evicted: not within 2 s .*disruption budget"):
            disruption.drain(site.api, machine, 2)
        assert tested.ask(node)
        site.api.delete("PodDisruptionBudget", "server")
        assert [name for name in disruption.drain(site.api, machine, 60) if name.startswith("server-")]
        with pytest.raises(TookTooLong, match="pod is unschedulable"):
            await_ready(site.api, "server", 4, what="server on primary")
    finally:
        disruption.uncordon(site.api, machine)
    await_ready(site.api, "server", 40, what="server on primary")


def test_a_stopped_api_server_is_waited_for(tested: ClustersUnderTest, site: KindSite, spec: NodeSpec) -> None:
    node = launched(site, spec)
    machine = site.namespace.machine
    api = site.api
    disruption.stop_api_server(machine)
    try:
        assert tested.ask(node)  # pods do not need it
        hurried = Api(api.where, api.namespace, api.kubeconfig, api.context, 1.0, api.cache)
        with pytest.raises(
            TookTooLong, match=r"cluster bs-\S+-primary-cluster: its API server does not answer"
        ) as away:
            hurried.pods()
        one_line(away.value)
        back = threading.Timer(3, disruption.start_api_server, (machine,))
        back.start()
        assert len(node.pods) == 1  # asked while it is away, answered when it is back
        back.join()
    finally:
        disruption.start_api_server(machine)
    assert api.identity()
    # For the tests that follow: those that watch the API server would ask it again only after up to a minute.
    machine.execute("pkill -KILL -x 'kube-controller|kube-scheduler|kube-proxy'")


def test_the_egress_filter_of_dr_allows_this_machine_and_nothing_else(
    tested: ClustersUnderTest, spec: NodeSpec
) -> None:
    site = tested.substrate.cluster_site("dr")
    node = launched(site, spec)
    outside = gateway_of(tested.substrate.around.owned.outside)
    assert outside != tested.substrate.here
    assert "was denied; the node itself reaches it" in site.prove_egress_filter(outside)
    assert tested.ask(node)
    with socket.create_server((tested.substrate.here, 0)) as sink:
        port = sink.getsockname()[1]
        with site.run(Task("call", ("python3", "-c", CALL.format(host=tested.substrate.here, port=port)))) as running:
            assert running.stdout.read() == b"reached\n"
            assert running.finish(20).code == 0
        name = "import socket\ntry: print(socket.getaddrinfo('example.com', 80))\nexcept OSError: print('no name')"
        with site.run(Task("ask", ("python3", "-c", name))) as running:
            assert running.stdout.read() == b"no name\n"
    egress = site.egress()
    assert egress is not None
    assert (egress.refused[0].packets or 0) >= 2  # the proof's connection, and the name


CALL = "import socket; socket.create_connection(('{host}', {port}), timeout=5); print('reached')"


def test_an_isolated_site_reaches_nothing_outside(tested: ClustersUnderTest, site: KindSite, spec: NodeSpec) -> None:
    node = launched(site, spec)
    across = node.endpoint("talk").from_afar
    with socket.create_server((tested.substrate.here, 0)) as sink:
        call = Task("call", ("python3", "-c", CALL.format(host=tested.substrate.here, port=sink.getsockname()[1])))

        def reached() -> list[bool]:
            """Whether this machine is reached from a pod, and the node from another site."""
            with site.run(call) as running:
                out = running.finish(20).code == 0
            try:
                with socket.create_connection((across.host, across.port), timeout=2) as connection:
                    return [out, connection.recv(10) != b""]
            except OSError:
                return [out, False]

        assert served(tested, node)
        assert reached() == [True, True]
        site.isolate()
        assert reached() == [False, False]
        site.rejoin()
        assert reached() == [True, True]


def test_a_task_within_a_node_sees_its_processes(tested: ClustersUnderTest, site: KindSite, spec: NodeSpec) -> None:
    node = launched(site, spec)
    assert tested.ask(node)
    look = "print('create_server' in open('/proc/1/cmdline').read())"
    with site.run(Task("look", ("python3", "-c", look), within="server")) as running:
        assert running.stdout.read() == b"True\n"
        assert running.finish(20).code == 0
    with pytest.raises(HarnessError, match="look on primary: absent is not running; start it first"):
        site.run(Task("look", ("true",), within="absent"))


def test_a_watch_ends_after_its_patience(site: KindSite) -> None:
    api, began = site.api, SYSTEM.monotonic()
    assert not any(api.follow("Job", "", 1))
    assert 1 <= SYSTEM.monotonic() - began < 20


def test_a_cluster_name_in_use_is_reported(site: KindSite, tmp_path: Path) -> None:
    standing = site.namespace
    plan = replace(standing.cluster.plan, folder=tmp_path, ports={})
    with pytest.raises(UsageError, match=f"cluster {plan.name}: the name is in use") as refused:
        kubernetes_clusters.create(plan)
    one_line(refused.value)


def test_a_missing_node_image_is_reported(tested: ClustersUnderTest, tmp_path: Path) -> None:
    network = tested.substrate.around.owned.shared_network(NETWORK).name
    name = tested.substrate.cluster_name("ghost")
    plan = Plan(name, "blackstart/kind-node:nowhere", tmp_path, {}, str(network), kind_program())
    with pytest.raises(
        HarnessError, match=r"node image blackstart/kind-node:nowhere does not exist; run `make images`"
    ):
        kubernetes_clusters.create(plan)
    label = {"label": f"io.x-k8s.kind.cluster={name}"}
    assert engine().containers.list(all=True, filters=label) == []
    assert reference("kind-node")


def test_a_kubeconfig_without_a_cluster_is_reported(tmp_path: Path) -> None:
    for path, text in ((tmp_path / "none", None), (tmp_path / "bad", "{}"), (tmp_path / "other", OTHER)):
        if text is not None:
            path.write_text(text)
        with pytest.raises(UsageError, match=f"{path}: leads to no cluster") as refused:
            Api("cluster x", "default", path, "kind-x", 1.0).identity()
        one_line(refused.value)


OTHER = """
apiVersion: v1
kind: Config
current-context: production
clusters: [{name: production, cluster: {server: "https://192.0.2.1:6443"}}]
contexts: [{name: production, context: {cluster: production, user: x}}]
users: [{name: x, user: {token: x}}]
"""


def test_two_nodes_of_one_site_reach_each_other(tested: ClustersUnderTest, site: KindSite, token: Path) -> None:
    first, second = (site.launch(server(tested, token, name)) for name in ("one", "Two.2"))
    assert tested.ask(first)
    assert tested.ask(second)
    assert first.endpoint("talk").inside.host == "one"
    with site.run(Task("peer", ("python3", "-c", PEER.format(host="one", port=7000)))) as running:
        assert len(running.stdout.read().split()) == 3


PEER = "import socket; print(socket.create_connection(('{host}', {port}), timeout=5).recv(999).decode())"
