"""The stock of images: without one every image is imported, and a node that did not link it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn, cast

import pytest

from harness.core.errors import HarnessError, MissingPart
from harness.estate import substrates
from harness.estate.kinds import EXAMPLES
from harness.images.kind.stock import IMAGES, LINKED, Stock
from harness.kubernetes.cluster import Cluster
from harness.substrate.kind import substrate as kind
from harness.substrate.kind.substrate import require_linked, stock_or_none


@dataclass
class Node:
    """A node in which these files are."""

    files: tuple[str, ...] = ()

    def execute(self, script: str) -> str:
        if script.removeprefix("test -e ") not in self.files:
            raise HarnessError("node: ended with code 1: silent")
        return ""


@dataclass
class Made:
    machine: Node
    name: str = "dr-cluster"
    destroyed: list[str] = field(default_factory=list)

    def destroy(self) -> None:
        self.destroyed.append(self.name)


def refusing(error: HarnessError) -> object:
    def refuse() -> NoReturn:
        raise error

    return refuse


def test_a_failed_stock_is_left_out_and_a_missing_image_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kind, "stock", refusing(HarnessError("stock of images: no space left on device")))
    assert stock_or_none() == Stock()
    assert (Stock().mounts, Stock().has("postgres")) == ({}, False)
    monkeypatch.setattr(kind, "stock", refusing(MissingPart("image odoo: run `make images`")))
    with pytest.raises(MissingPart, match="make images"):
        stock_or_none()


def test_a_cluster_whose_node_did_not_link_the_stock_is_destroyed() -> None:
    linked, bare = Made(Node((LINKED,))), Made(Node())
    require_linked(cast("Cluster", linked))
    with pytest.raises(HarnessError, match="cluster dr-cluster: its node did not link the stock of images"):
        require_linked(cast("Cluster", bare))
    assert (linked.destroyed, bare.destroyed) == ([], ["dr-cluster"])


def test_the_stock_has_all_images_of_an_estate() -> None:
    assert {*substrates.INFRASTRUCTURE, *(kind.image(None) for kind in EXAMPLES)} == set(IMAGES)
