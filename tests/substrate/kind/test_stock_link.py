"""Without a stock every image is imported; a node that did not link the one it was given is not taken for linked."""

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


def test_where_no_stock_can_be_made_there_is_none_and_a_missing_image_is_still_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kind, "stock", refusing(HarnessError("stock of images: no space left on device")))
    assert stock_or_none() == Stock()
    assert (Stock().mounts, Stock().has("postgres")) == ({}, False)
    monkeypatch.setattr(kind, "stock", refusing(MissingPart("image odoo: run `make images`")))
    with pytest.raises(MissingPart, match="make images"):
        stock_or_none()


def test_a_node_without_the_link_is_refused_and_its_cluster_lost() -> None:
    linked, bare = Made(Node((LINKED,))), Made(Node())
    require_linked(cast("Cluster", linked))
    with pytest.raises(HarnessError, match="cluster dr-cluster: its node did not link the stock of images"):
        require_linked(cast("Cluster", bare))
    assert (linked.destroyed, bare.destroyed) == ([], ["dr-cluster"])


def test_all_that_the_clusters_of_an_estate_need_is_in_the_stock() -> None:
    assert {*substrates.INFRASTRUCTURE, *(kind.image(None) for kind in EXAMPLES)} == set(IMAGES)
