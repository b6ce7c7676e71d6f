"""Nodes of clusters: the shared stock of images is read-only, and systemd limits containers only where that works."""

from __future__ import annotations

import pytest

from harness.core.errors import HarnessError
from harness.core.node import NodeSpec
from harness.images.engine import information
from harness.images.find import reference
from harness.images.kind.stock import IMAGES
from harness.kubernetes.machine import CTR
from harness.substrate.kind.site import KindSite

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

LAYERS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
# By all its names: only then are its layers cleared away.
FORGET = """
digest=$({ctr} images ls | awk '$1 ~ "/{image}$" {{print $3}}')
[ -n "$digest" ] && {ctr} images ls | awk -v digest=$digest '$3 == digest {{print $1}}' | xargs {ctr} images rm --sync
"""


def test_a_node_has_the_images_of_the_stock_at_its_start(site: KindSite) -> None:
    plan = site.namespace.cluster.plan
    assert plan.stocked >= set(IMAGES) - {"blackstart"}  # the sources of that one change daily
    held = site.namespace.machine.execute(f"{CTR} images ls -q").splitlines()
    lacking = [image for image in plan.stocked if not any(line.endswith(f"/{reference(image)}") for line in held)]
    assert not lacking


def test_a_node_cannot_change_the_stock(site: KindSite) -> None:
    machine = site.namespace.machine
    with pytest.raises(HarnessError, match="Read-only file system"):
        machine.execute("touch /stock/mine")
    count = f"find /stock/{LAYERS} -mindepth 3 | wc -l; ls /var/lib/containerd/{LAYERS} | wc -l"
    files, linked = map(int, machine.execute(count).split())
    machine.execute(FORGET.format(ctr=CTR, image=reference("traefik")))
    left, own = map(int, machine.execute(count).split())
    assert left == files > 0
    assert own < linked


def test_an_image_that_is_not_in_the_stock_is_loaded(site: KindSite) -> None:
    site.namespace.require_image("nginx")
    assert reference("nginx") in site.namespace.machine.execute(f"{CTR} images ls -q")


def test_systemd_sets_limits_only_where_no_container_is_frozen_for_that(site: KindSite, spec: NodeSpec) -> None:
    site.launch(spec)
    pids = f"{CTR} task ls | awk '/^[0-9a-f]/ {{print $2}}'"
    found = site.namespace.machine.execute(f"for pid in $({pids}); do cat /proc/$pid/cgroup; done")
    assert "kubepods" in found
    assert ("cri-containerd-" in found) is (information()["CgroupVersion"] != "1")
