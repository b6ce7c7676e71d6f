"""Volumes of a real cluster: made, lost, made again, and what is said of one that nobody makes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.errors import TookTooLong
from harness.core.node import NodeSpec, Ready
from harness.kubernetes.api import Api
from harness.substrate.kind_site import KindSite

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


def test_a_volume_that_nobody_makes_is_named(site: KindSite, spec: NodeSpec) -> None:
    api = site.api
    makers = Api(api.where, "local-path-storage", api.kubeconfig, api.context, cache=api.cache)
    makers.scale("Deployment", "local-path-provisioner", 0)
    try:
        assert () in makers.follow("Pod", "app=local-path-provisioner", 40)
        with pytest.raises(TookTooLong, match=r"ready: not within 6 s \(volume data is not made yet"):
            site.launch(replace(spec, ready=Ready(port="talk", patience=6)))
    finally:
        makers.scale("Deployment", "local-path-provisioner", 1)
