"""Consistency between stores, a line for each pair."""

from __future__ import annotations

from dataclasses import replace

from harness.core.contents import Contents, TreeFacts
from harness.core.service import Sources
from harness.recovery.consistency import consistency
from tests.memory_estate import BUCKET, NAME, MemoryEstate, Shop
from tests.repository.store_servers import contents


class Two(Shop):
    """A service with two databases."""

    def sources(self) -> Sources:
        return replace(super().sources(), databases=(NAME, "other"))


def of_two() -> Contents:
    (one,) = contents().databases
    databases = (
        replace(one, name=NAME, snapshot_mono=100.0),
        replace(one, name="other", snapshot_mono=98.5),
        replace(one, name="template1", snapshot_mono=0.0),
    )
    trees = (TreeFacts("shop-files", 2, 10, "ab" * 32), TreeFacts(f"bucket {BUCKET}", 1, 10, "ab" * 32))
    return replace(contents(), databases=databases, trees=trees)


def test_skew_and_references_are_named_for_each_pair() -> None:
    lost = ("shop-files: b.txt: no such file",)
    assert consistency((Two(),), of_two(), lost) == (
        "shop and other: snapshots 1.5 s apart",
        "shop and shop-files: 1 of 2 lacking, as of the database's snapshot",
        f"shop and bucket {BUCKET}: none of 1 lacking, as of the database's snapshot",
    )


def test_it_is_in_the_record_of_a_recovery(memory_estate: MemoryEstate) -> None:
    memory_estate.backed_up()
    recovery = memory_estate.recovery()
    restored = recovery.restore(recovery.select(recovery.activate()))
    assert "shop and shop-files: none of 2 lacking, as of the database's snapshot" in restored.consistency
