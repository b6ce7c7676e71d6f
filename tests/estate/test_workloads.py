"""A workload of an existing site that cannot get ready is said at once, with the reason of its pod."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import HarnessError
from harness.patience import PATIENCE
from harness.substrate.existing import workloads as module
from harness.substrate.existing.workloads import ClusterWorkloads


@pytest.mark.parametrize(
    ("final", "said"), [(True, "in shop: pod odoo-1: no image; its log ends: silence"), (False, "not within")]
)
def test_a_pod_that_never_gets_ready_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, final: bool, said: str) -> None:
    monkeypatch.setattr(PATIENCE, "container_restart", -1.0)
    monkeypatch.setattr(module, "pod_of", lambda _found: SimpleNamespace(name="odoo-1", ready=False, going=False))
    monkeypatch.setattr(module, "not_ready_reason", lambda _pod: SimpleNamespace(final=final, text="no image"))
    monkeypatch.setattr(module, "last_words", lambda *_words: "silence")
    workload = {"spec": {"replicas": 1, "selector": {"matchLabels": {"app": "odoo"}}}}
    api: Any = SimpleNamespace(
        namespace="shop", get=lambda *_words: workload, follow=lambda *_words: iter(([{}], [{}]))
    )
    with pytest.raises(HarnessError, match=said):
        ClusterWorkloads(api, {"odoo": "deployment/odoo"}).scale("odoo", 1, 5.0)
