"""Volumes of a real cluster: provisioned, deleted, provisioned again, and errors of the provisioner."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from harness.core.errors import TookTooLong
from harness.core.node import NodeSpec, Ready
from harness.kubernetes.api import Api
from harness.kubernetes.waiting import PROVISIONER
from harness.substrate.kind.site import KindSite

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]


def test_a_deleted_volume_is_empty_after_it_was_provisioned_again(site: KindSite, spec: NodeSpec) -> None:
    node = site.launch(spec)
    free = len(site.namespace.ports.free)
    with site.volume("data").open("note", "wb") as file:
        file.write(b"lost")
    site.lose_volume("data")
    assert len(site.namespace.ports.free) == free
    assert not node.alive
    node.start()
    assert list(site.volume("data").walk()) == []


def test_a_volume_is_provisioned_before_its_first_pod(site: KindSite) -> None:
    site.namespace.claim(("data",))
    for found in site.api.follow("PersistentVolumeClaim", "", 30):
        if [one["status"]["phase"] for one in found] == ["Bound"]:
            return
    pytest.fail("the volume of a claim that no pod uses was not provisioned")


@pytest.fixture
def provisioner(site: KindSite) -> Api:
    """The API, for the namespace of the volume provisioner."""
    return replace(site.api, namespace=PROVISIONER)


def refused(site: KindSite, spec: NodeSpec) -> str:
    with pytest.raises(TookTooLong) as caught:
        site.launch(replace(spec, ready=Ready(port="talk", patience=10)))
    return str(caught.value)


def test_a_volume_that_is_not_provisioned_is_named(
    site: KindSite, spec: NodeSpec, provisioner: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.pod_start", 10.0)
    provisioner.scale("Deployment", "local-path-provisioner", 0)
    try:
        assert () in provisioner.follow("Pod", "app=local-path-provisioner", 40)
        assert "started: not within 10 s (volume data is not provisioned yet; its log ends" in refused(site, spec)
    finally:
        provisioner.scale("Deployment", "local-path-provisioner", 1)


@pytest.mark.night
def test_an_error_of_the_provisioner_is_reported(site: KindSite, spec: NodeSpec, provisioner: Api) -> None:
    setup = provisioner.get("ConfigMap", "local-path-config")
    assert setup is not None
    provisioner.patch("ConfigMap", "local-path-config", {"data": {"setup": "echo no disk; exit 7"}})
    try:
        said = refused(site, spec)
        assert "volume data is not provisioned yet: Provisioning: " in said
        assert re.search(r"; helper-pod-create-\S+: ended with code 7: no disk", said)
    finally:
        provisioner.patch("ConfigMap", "local-path-config", {"data": {"setup": setup["data"]["setup"]}})
        for pod in provisioner.pods():
            if pod.phase == "Failed":  # otherwise the provisioner waits for it, 120 s
                provisioner.delete("Pod", pod.name, grace=0)
