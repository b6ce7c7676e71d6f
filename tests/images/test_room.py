"""Nothing is baked, stocked or started on an engine without room, and no choice of images is guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import HarnessError, MissingPart, UsageError
from harness.images import bake as baking
from harness.images.bake import Provider
from harness.images.find import CHOICE, choice
from harness.images.kind import node, stock
from harness.substrate.docker import substrate as docker
from harness.substrate.docker.substrate import Docker

RECIPE: Any = SimpleNamespace(name="odoo", stands_on="", room=1 << 60)


def never(*_words: object, **_more: object) -> None:
    pytest.fail("it was begun")


def bake_an_image(_folder: Path) -> None:
    Provider(choice="")._bake_recipe(RECIPE)


def bake_the_node(folder: Path) -> None:
    node.bake("kind-node:x", folder / "node.tar")


def make_the_stock(folder: Path) -> None:
    stock._make("kind-node:x", {}, folder / "note")


def start_a_drill(folder: Path) -> None:
    Docker(folder / "run", folder / "logs")


@pytest.mark.parametrize(
    ("module", "work"),
    [(baking, bake_an_image), (node, bake_the_node), (stock, make_the_stock), (docker, start_a_drill)],
)
def test_an_engine_without_room_is_said_before_anything_is_made(
    module: ModuleType, work: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(size: int) -> None:
        raise HarnessError(f"the engine has no room for {size} bytes")

    monkeypatch.setattr(node, "_require", lambda: None)
    monkeypatch.setattr(node, "run", never)
    monkeypatch.setattr(baking, "key", never)
    monkeypatch.setattr(Provider, "_stand", lambda *_words: "")
    monkeypatch.setattr(stock, "archive", never)
    monkeypatch.setattr(docker, "engine", lambda: None)
    monkeypatch.setattr(docker, "Embedded", never)
    monkeypatch.setattr(module, "require_room", full)
    with pytest.raises(HarnessError, match="the engine has no room for"):
        work(tmp_path)


def test_a_node_is_not_baked_without_its_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "go", lambda: None)
    monkeypatch.setattr("shutil.which", lambda _program: None)
    monkeypatch.setattr(node, "require_room", never)
    with pytest.raises(MissingPart, match="image kind-node: missing tools: `apt-get install mmdebstrap"):
        bake_the_node(tmp_path)


def test_images_are_baked_or_public(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in ("baked", "public", ""):
        monkeypatch.setenv(CHOICE, asked)
        assert choice() == asked
    monkeypatch.setenv(CHOICE, "backed")
    with pytest.raises(UsageError, match="BLACKSTART_IMAGES=backed: must be `baked` or `public`"):
        choice()
