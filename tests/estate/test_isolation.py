"""Sites of one machine that cannot be kept apart, and services that a substrate of images cannot run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import UsageError
from harness.drill.environment import DrillEnvironment
from harness.estate.isolation import require_separate
from harness.estate.substrates import SUBSTRATES, SubstrateKind
from harness.repository.format.recipients import new_pair
from harness.restore_test.preflight import require_recipient

SHARED = "services.shop.argv: /srv/shop"


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A declaration with a path that both sites would use, on a machine without namespaces."""
    monkeypatch.setattr("harness.estate.isolation.obstacle", lambda **_more: "not permitted")
    monkeypatch.setattr("harness.estate.isolation.outside_volumes", lambda _config: (SHARED,))
    return SimpleNamespace(services={})


def test_a_path_that_both_sites_would_use_is_refused(together: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{SHARED}: outside its volumes, and both sites would use it"):
        require_separate(together)
    with pytest.raises(UsageError, match="both sites would use it"):
        DrillEnvironment(together, None, tmp_path / "run", tmp_path / "logs", None)  # type: ignore[arg-type]


def test_a_service_without_an_image_is_refused_where_sites_are_made_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = SimpleNamespace(image=lambda table: table)
    monkeypatch.setattr("harness.estate.substrates.kind_of", lambda _config, _name: kind)
    monkeypatch.setattr("harness.images.engine.engine", lambda: None)
    monkeypatch.setattr(SubstrateKind, "image_versions", lambda *_words: {})
    monkeypatch.setattr(SubstrateKind, "programs", lambda *_words: ())
    docker: Any = SUBSTRATES["docker"]
    docker.require(SimpleNamespace(services={"shop": "an image"}))
    with pytest.raises(UsageError, match=r"services\.shop: declares no image, and a site on docker is made of images"):
        docker.require(SimpleNamespace(services={"shop": ""}))


def test_a_key_that_opens_no_backup_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(new_pair()[0])
    reference, others = f"file:{tmp_path}/key.pem", [SimpleNamespace(recipients=("ab" * 16,))]
    require_recipient(reference, ())
    with pytest.raises(UsageError, match=r"key.pem: this key \(.*\) opens no backup; they are sealed to abababababab"):
        require_recipient(reference, others)  # type: ignore[arg-type]
