"""Volumes of a real cluster: made, lost, made again, and what is said of one that nobody makes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from harness.core.errors import TookTooLong
from harness.core.node import NodeSpec, Ready
from harness.kubernetes.api import Api
from harness.kubernetes.waiting import MAKERS
from harness.substrate.kind.site import KindSite

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]


def test_a_lost_volume_is_empty_when_it_is_there_again(site: KindSite, spec: NodeSpec) -> None:
    node = site.launch(spec)
    free = len(site.standing.ports.free)
    with site.volume("data").open("note", "wb") as file:
        file.write(b"lost")
    site.lose_volume("data")
    assert len(site.standing.ports.free) == free
    assert not node.alive
    node.start()
    assert list(site.volume("data").walk()) == []


def test_a_volume_does_not_wait_for_its_first_pod(site: KindSite) -> None:
    site.standing.claim(("data",))
    for found in site.api.follow("PersistentVolumeClaim", "", 30):
        if [one["status"]["phase"] for one in found] == ["Bound"]:
            return
    pytest.fail("nobody made the volume of a claim that no pod uses")


@pytest.fixture
def makers(site: KindSite) -> Api:
    """The namespace of what makes volumes."""
    return replace(site.api, namespace=MAKERS)


def refused(site: KindSite, spec: NodeSpec) -> str:
    with pytest.raises(TookTooLong) as caught:
        site.launch(replace(spec, ready=Ready(port="talk", patience=10)))
    return str(caught.value)


def test_a_volume_that_nobody_makes_is_named(site: KindSite, spec: NodeSpec, makers: Api) -> None:
    makers.scale("Deployment", "local-path-provisioner", 0)
    try:
        assert () in makers.follow("Pod", "app=local-path-provisioner", 40)
        assert "ready: not within 10 s (volume data is not made yet; its log ends" in refused(site, spec)
    finally:
        makers.scale("Deployment", "local-path-provisioner", 1)


def test_what_its_maker_failed_at_is_said_of_a_volume(site: KindSite, spec: NodeSpec, makers: Api) -> None:
    setup = makers.get("ConfigMap", "local-path-config")
    assert setup is not None
    makers.patch("ConfigMap", "local-path-config", {"data": {"setup": "echo no disk; exit 7"}})
    try:
        said = refused(site, spec)
        assert "volume data is not made yet: Provisioning: " in said
        assert re.search(r"; helper-pod-create-\S+: ended with code 7: no disk", said)
    finally:
        makers.patch("ConfigMap", "local-path-config", {"data": {"setup": setup["data"]["setup"]}})
        for pod in makers.pods():
            if pod.phase == "Failed":  # else what made it waits for it, 120 s
                makers.delete("Pod", pod.name, grace=0)
