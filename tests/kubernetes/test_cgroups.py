"""How containers of pods are limited: what stops them for that loses some of their starts on a busy machine."""

from __future__ import annotations

import pytest

from harness.core.node import NodeSpec
from harness.images.engine import information
from harness.kubernetes.machine import CTR
from harness.substrate.kind.site import KindSite

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]


def test_systemd_limits_containers_only_where_it_stops_none_for_that(site: KindSite, spec: NodeSpec) -> None:
    site.launch(spec)
    pids = f"{CTR} task ls | awk '/^[0-9a-f]/ {{print $2}}'"
    found = site.namespace.machine.execute(f"for pid in $({pids}); do cat /proc/$pid/cgroup; done")
    assert "kubepods" in found
    assert ("cri-containerd-" in found) is (information()["CgroupVersion"] != "1")
