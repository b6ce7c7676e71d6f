"""A witness behind a link: a disk that is not mounted is no empty witness; a new one is made as the message says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.repository.witness import FileWitness, Seen

SEEN = Seen(opened={"digest": SYSTEM.wall()})


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk"


def refused(witness: FileWitness, said: str) -> None:
    """Read and write; both are refused, and nothing is made."""
    before = sorted(witness.path.parents[1].rglob("*"))
    with pytest.raises(HarnessError, match=re.escape(said)):
        witness.read("shop")
    with pytest.raises(HarnessError, match=re.escape(said)):
        witness.write("shop", SEEN)
    assert sorted(witness.path.parents[1].rglob("*")) == before


def test_a_file_on_a_new_disk_is_created_as_the_message_says(tmp_path: Path, disk: Path) -> None:
    """The folder is there without the disk as well, and would then be taken for an empty witness."""
    witness = FileWitness(tmp_path / "etc/witness.json")
    disk.mkdir()
    witness.path.parent.mkdir()
    witness.path.symlink_to("../disk/kept.json")
    refused(
        witness,
        f"witness {witness.path}: {witness.path} is a link to {disk / 'kept.json'}, which is not there; "
        "mount its disk; where no witness was kept there yet, create the file, with {} in it",
    )
    (disk / "kept.json").write_text("{}\n")
    witness.write("shop", SEEN)
    assert witness.read("shop") == SEEN
    assert witness.path.is_symlink()
    assert "digest" in (disk / "kept.json").read_text()


def test_a_folder_that_is_a_link_to_a_disk_which_is_not_mounted_is_no_empty_one(tmp_path: Path, disk: Path) -> None:
    witness = FileWitness(tmp_path / "etc/dr/witness.json")
    (tmp_path / "etc").symlink_to(disk)
    refused(
        witness,
        f"witness {witness.path}: {tmp_path / 'etc'} is a link to {disk}, which is not there; "
        "mount its disk; where no witness was kept there yet, create the folder",
    )
    disk.mkdir()
    assert witness.read("shop") == Seen()
    witness.write("shop", SEEN)
    assert witness.read("shop") == SEEN
    assert "digest" in (disk / "dr/witness.json").read_text()
