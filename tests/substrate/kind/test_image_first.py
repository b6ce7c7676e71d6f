"""An image that a cluster's node does not have is said before anything is made there that would wait for it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import HarnessError
from harness.core.node import NodeSpec, Task
from harness.scenario import cluster_jobs
from harness.scenario.cluster_jobs import ClusterJobs
from harness.scenario.faults import cluster as faults
from harness.substrate.kind import site as sites
from harness.substrate.kind import substrate as kind
from harness.substrate.kind import task as tasks
from harness.substrate.kind import volume as volumes
from harness.substrate.kind.site import KindSite

SPEC = NodeSpec("odoo", (), image="odoo")
ONCE: Any = Task("one", ("true",))
NOTHING: Any = None


def never(*_words: object, **_more: object) -> None:
    pytest.fail("something was made")


def lacking(image: str) -> None:
    raise HarnessError(f"the node has no image {image}")


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A namespace of a cluster whose node lacks every image."""
    for module in (sites, tasks, volumes, cluster_jobs):
        monkeypatch.setattr(module, "reference", str)
    made = SimpleNamespace(kind="Deployment", manifests=())
    for module in (sites, volumes, cluster_jobs):
        monkeypatch.setattr(module, "filled", lambda *_words, **_more: made)
    monkeypatch.setattr(sites, "write_first_files", lambda *_words: None)
    monkeypatch.setattr(tasks, "config_of", lambda *_words: ())
    monkeypatch.setattr(cluster_jobs, "rendered", never)
    ports, machine = SimpleNamespace(take=lambda: 1), SimpleNamespace(forget_image=never)
    return SimpleNamespace(
        manifests=SimpleNamespace(of=lambda _name: ()),
        claim=lambda _volumes: None,
        require_image=lacking,
        api=SimpleNamespace(apply=never, get=never),
        ports=ports,
        machine=machine,
        cluster=SimpleNamespace(plan=SimpleNamespace(ports={1: 1})),
    )


def start_a_node(namespace: Any) -> None:
    node: Any = SimpleNamespace(spec=SPEC, name="odoo", ports={}, follow_log=never)
    KindSite._start(SimpleNamespace(namespace=namespace, volume=None, api=namespace.api), node)  # type: ignore[arg-type]


def begin_a_task(namespace: Any) -> None:
    workspace: Any = SimpleNamespace(arguments=lambda argv: argv)
    tasks.begin_pod(namespace, ONCE, workspace, "one", "one on dr")


def open_a_volume(namespace: Any) -> None:
    volumes.open_volume(namespace, "files", "token", "volume files")


def apply_the_services(namespace: Any) -> None:
    service = SimpleNamespace(name="odoo", nodes=lambda _place: (SPEC,))
    dr = SimpleNamespace(place=None, peers={})
    jobs: Any = SimpleNamespace(
        drill=SimpleNamespace(environment=SimpleNamespace(services=(service,), dr=dr)),
    )
    ClusterJobs._apply_services(jobs, SimpleNamespace(namespace=namespace, api=namespace.api))  # type: ignore[arg-type]


def install_the_jobs(namespace: Any) -> None:
    ClusterJobs._install(NOTHING, SimpleNamespace(namespace=namespace, api=namespace.api), "backup", {})  # type: ignore[arg-type]


def remove_the_image(namespace: Any) -> None:
    scene: Any = SimpleNamespace(environment=SimpleNamespace(dr=SimpleNamespace(namespace=namespace)))
    faults.remove_image(scene)


@pytest.mark.parametrize(
    "work",
    [start_a_node, begin_a_task, open_a_volume, apply_the_services, install_the_jobs, remove_the_image],
)
def test_nothing_is_made_without_its_image(
    namespace: Any, monkeypatch: pytest.MonkeyPatch, work: Callable[[Any], None]
) -> None:
    monkeypatch.setattr(faults, "cluster_of", lambda site: site)
    monkeypatch.setattr("harness.images.find.reference", str)
    with pytest.raises(HarnessError, match="the node has no image"):
        work(namespace)


def test_a_cluster_whose_node_did_not_link_the_stock_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlinked(_cluster: object) -> None:
        raise HarnessError("its node did not link the stock of images")

    held: Any = SimpleNamespace(folder="stock", mounts=(), has=lambda _image: True)
    owned = SimpleNamespace(shared_network=lambda _name: None)
    one: Any = SimpleNamespace(
        around=SimpleNamespace(owned=owned), images=(), run="run", network="n", manifests=None, cluster_name=str
    )
    for name in ("reference", "kind_program", "make_folder", "folder_of", "information", "Owner", "UndoJournal"):
        monkeypatch.setattr(kind, name, lambda *_words: SimpleNamespace(get=str, tags={}, intend=lambda *_more: None))
    monkeypatch.setattr(
        kind, "clusters", SimpleNamespace(FIRST=0, COUNT=0, Plan=SimpleNamespace, create=lambda _p: None)
    )
    monkeypatch.setattr(kind, "require_linked", unlinked)
    with pytest.raises(HarnessError, match="its node did not link the stock of images"):
        kind.Kind._create_once(one, "dr", held)
